// @ts-check
import { drawAvatar, fill, find, findButton, isolate, write } from '../dom.js';
import { roomPath } from '../roomlinks.js';

/**
 * @import { App } from '../app.js'
 * @import { Call, Room } from '../sdk/turnpike.js'
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
    const close = () => {
      ended.abort();
      dialog.close();
    };
    call.on('ended', ({ outcome, by }) => {
      close();
      if (by !== 'me' && outcome !== 'answered-elsewhere') this.#missed(app, call);
    }, { signal: ended.signal });
    const { signal } = ended;
    findButton(this, 'accept').addEventListener('click', () => {
      close();
      accept(app, call);
    }, { signal });
    findButton(this, 'decline').addEventListener('click', () => call.decline(), { signal });
    dialog.addEventListener('cancel', () => call.decline(), { signal });
    const title = `${call.user.name} is calling`;
    write(this, 'h2', `${isolate(call.user.name)} is calling`);
    drawAvatar(this, call.user.name);
    this.#warn(app.room);
    app.attention.call({ title, text: 'Open this page to answer.', sound: 'ring' }, signal);
    dialog.showModal();
    find(this, 'h2', HTMLHeadingElement).focus(); // If a button had the focus, a key typed for the chat would answer the call.
  }

  /** Says that to answer is to leave. @param {Room | undefined} room that we are in */
  #warn(room) {
    write(this, '.leaves', room ? `You are in the room ${room.id}. If you answer, you leave it.` : '');
    write(this, '[data-testid=accept] span', room ? 'Leave this room and answer' : 'Accept');
  }

  /**
   * @param {App} app
   * @param {Call} call
   */
  #missed(app, call) {
    app.notice.show({ code: 'missed', title: `You missed a call from ${isolate(call.user.name)}`, text: 'They stopped ringing before you answered.' });
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
