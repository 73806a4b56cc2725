// @ts-check
import { drawAvatar, fill, find, findButton, write } from '../dom.js';
import { roomPath } from '../roomlinks.js';

/**
 * @import { App } from '../app.js'
 * @import { Call } from '../sdk/turnpike.js'
 */

/** The dialog of an incoming call. Camera and microphone stay off until the user accepts. */
export class IncomingCall extends HTMLElement {
  /** @param {App} app */
  watch(app) {
    fill(this, 'incoming-call');
    app.session.on('call', ({ call }) => this.#ring(app, call));
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
    call.on('end', (end) => {
      close();
      if (end.event === 'cancel') this.#missed(app, call, end.reason);
    }, { signal: ended.signal });
    const { signal } = ended;
    findButton(this, 'accept').addEventListener('click', () => {
      close();
      accept(app, call);
    }, { signal });
    findButton(this, 'decline').addEventListener('click', () => call.decline(), { signal });
    dialog.addEventListener('cancel', () => call.decline(), { signal });
    write(this, 'h2', `${call.user.name} is calling`);
    drawAvatar(this, call.user.name);
    document.title = `${call.user.name} is calling`;
    dialog.showModal();
    find(this, 'h2', HTMLHeadingElement).focus(); // If a button had the focus, a key typed for the chat would answer the call.
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
  await app.notice.attempt(async () => {
    const room = await call.accept();
    app.navigate(roomPath(room.id));
  });
}

customElements.define('tp-incoming-call', IncomingCall);
