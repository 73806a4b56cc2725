// @ts-check

/** @import { Session } from '../session.js' */

const TEXT = { connecting: 'Connecting…', online: 'Online', offline: 'Offline, trying again…', closed: 'Not signed in' };

/** Says in the header how the connection to the server is. */
export class Status extends HTMLElement {
  /** @param {Session} session */
  watch(session) {
    session.on('state', ({ detail }) => this.#show(detail));
    this.#show('connecting');
  }

  /** @param {keyof typeof TEXT} state */
  #show(state) {
    this.dataset.state = state;
    this.textContent = TEXT[state];
  }
}

customElements.define('tp-status', Status);
