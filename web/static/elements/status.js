// @ts-check
import { say } from '../words/page.js';

/**
 * @import { Session, SessionState } from '../session.js'
 */

/** Shorter interruptions are not shown, since nothing is lost. */
const CALM_MS = 1000;
const BACK_MS = 4000;

/** Shows the state of the connection to the server, in the header. */
export class Status extends HTMLElement {
  #wasOnline = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Session} session */
  watch(session) {
    session.on('state', (state) => this.#update(state));
    this.#show('connecting');
  }

  /** @param {SessionState} state */
  #update(state) {
    if (state === 'online') {
      this.#wasOnline = true;
      if (this.dataset.state === 'back') return;
      if (this.dataset.state !== 'reconnecting') return this.#show('online');
      this.#show('back');
      this.#timer = setTimeout(() => this.#show('online'), BACK_MS);
    } else if (state === 'closed' || !this.#wasOnline) {
      this.#show(state === 'reconnecting' ? 'offline' : state);
    } else if (this.dataset.state === 'back') {
      this.#show('reconnecting');
    } else if (this.dataset.state !== 'reconnecting') {
      this.#timer ??= setTimeout(() => this.#show('reconnecting'), CALM_MS);
    }
  }

  /** @param {SessionState | 'back'} state */
  #show(state) {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.dataset.state = state;
    const text = say(`status.${state}`);
    if (this.textContent !== text) this.textContent = text;
  }
}

customElements.define('tp-status', Status);
