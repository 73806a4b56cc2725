// @ts-check
import { drawAvatar, fill, find, write } from '../dom.js';
import { roomPath } from '../rooms.js';
import { wordsFor } from '../words.js';

/**
 * @import { App } from '../app.js'
 * @import { Call } from '../sdk/turnpike.js'
 */

/** The dialog of a call that comes in. Nothing is asked of camera or microphone before it is accepted. */
export class Ring extends HTMLElement {
  /** @param {App} app */
  watch(app) {
    fill(this, 'ring');
    app.session.on('call', ({ detail: call }) => this.#ring(app, call));
  }

  /**
   * @param {App} app
   * @param {Call} call
   */
  #ring(app, call) {
    const dialog = find(this, 'dialog', HTMLDialogElement);
    if (dialog.open) {
      call.decline();
      return;
    }
    const ended = new AbortController();
    const title = document.title;
    const close = () => {
      ended.abort();
      dialog.close();
      document.title = title;
    };
    call.on('end', ({ detail }) => {
      close();
      if (detail.event === 'cancel') this.#missed(app, call, detail.reason);
    }, { signal: ended.signal });
    this.#onClick('accept', ended.signal, () => {
      close();
      accept(app, call);
    });
    this.#onClick('decline', ended.signal, () => call.decline());
    dialog.addEventListener('cancel', () => call.decline(), { signal: ended.signal });
    write(this, 'h2', `${call.user.name} is calling`);
    drawAvatar(this, call.user.name);
    document.title = `${call.user.name} is calling`;
    dialog.showModal();
    find(this, 'h2', HTMLHeadingElement).focus(); // On a button, a key typed for the chat would answer the call.
  }

  /**
   * @param {string} testid
   * @param {AbortSignal} signal
   * @param {() => void} listener
   */
  #onClick(testid, signal, listener) {
    find(this, `[data-testid=${testid}]`, HTMLButtonElement).addEventListener('click', listener, { signal });
  }

  /**
   * @param {App} app
   * @param {Call} call
   * @param {string} reason
   */
  #missed(app, call, reason) {
    if (reason === 'answered-elsewhere') return;
    app.notice.show({ code: 'missed', title: `You missed a call from ${call.user.name}`, text: 'They stopped ringing before you answered.' });
  }
}

/**
 * @param {App} app
 * @param {Call} call
 */
async function accept(app, call) {
  try {
    const room = await call.accept();
    app.navigate(roomPath(room.id));
  } catch (error) {
    app.notice.show(wordsFor(error));
  }
}

customElements.define('tp-ring', Ring);
