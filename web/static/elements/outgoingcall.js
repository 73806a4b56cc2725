// @ts-check
import { drawAvatar, fill, find, write } from '../dom.js';
import { roomPath } from '../roomlinks.js';
import { wordsFor } from '../words.js';
import { say } from '../words/page.js';

/**
 * @import { App } from '../app.js'
 * @import { CallEnd } from '../sdk/room/call.js'
 * @import { Call } from '../sdk/turnpike.js'
 * @import { User } from '../sdk/server/messages.js'
 */

/** The dialog of an outgoing call, until it is answered or cancelled. */
export class OutgoingCall extends HTMLElement {
  /** @type {App | undefined} */
  #app;

  /** @param {App} app */
  watch(app) {
    this.#app = app;
    fill(this, 'outgoing-call');
  }

  /** @param {User} user */
  async call(user) {
    const dialog = find(this, 'dialog', HTMLDialogElement);
    if (dialog.open) return;
    write(this, 'h2', say('call.ringing', { name: user.name }));
    drawAvatar(this, user.name);
    const cancelled = new AbortController();
    const signal = cancelled.signal;
    const cancel = () => cancelled.abort();
    find(this, 'button', HTMLButtonElement).addEventListener('click', cancel, { signal });
    dialog.addEventListener('cancel', cancel, { signal });
    dialog.showModal();
    try {
      const client = await this.#app?.session.settled();
      if (client) await this.#answered(await client.call(user.user, { signal }), signal);
    } catch (error) {
      if (!signal.aborted) this.#app?.notice.show(wordsFor(error));
    } finally {
      cancelled.abort();
      dialog.close();
    }
  }

  /**
   * Resolves when the call has led to a room or ended.
   *
   * @param {Call} call
   * @param {AbortSignal} signal aborts when our user cancels the call
   * @returns {Promise<void>}
   */
  #answered(call, signal) {
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => call.cancel().then(resolve));
      call.on('answered', ({ room }) => {
        this.#app?.navigate(roomPath(room.id));
        resolve();
      });
      call.on('ended', (end) => {
        if (!signal.aborted) this.#unanswered(call.user.name, end);
        resolve();
      });
    });
  }

  /**
   * @param {string} name
   * @param {CallEnd} end
   */
  #unanswered(name, { outcome, reason }) {
    if (outcome === 'hangup') return;
    const declined = outcome === 'declined';
    const title = say(declined ? 'call.declined' : 'call.unanswered', { name });
    const text = outcome === 'gone' ? say('call.gone') : reason || say('call.later');
    this.#app?.notice.show({ code: declined ? 'declined' : 'unanswered', title, text });
  }
}

customElements.define('tp-outgoing-call', OutgoingCall);
