// @ts-check
import { drawAvatar, fill, find, findButton, write } from '../dom.js';
import { roomPath } from '../roomlinks.js';
import { asIs, say } from '../words/page.js';

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
    const title = say('call.rings', { name: asIs(call.user.name) });
    write(this, 'h2', say('call.rings', { name: call.user.name }));
    drawAvatar(this, call.user.name);
    this.#warn(app.room);
    app.attention.call({ title, text: say('call.answer-here'), sound: 'ring' }, signal);
    dialog.showModal();
    find(this, 'h2', HTMLHeadingElement).focus(); // If a button had the focus, a key typed for the chat would answer the call.
  }

  /** Says that to answer is to leave. @param {Room | undefined} room that we are in */
  #warn(room) {
    write(this, '.leaves', room ? say('call.leaves', { room: asIs(room.id) }) : '');
    write(this, '[data-testid=accept] span', say(room ? 'call.leave-and-answer' : 'call.accept'));
  }

  /**
   * @param {App} app
   * @param {Call} call
   */
  #missed(app, call) {
    app.notice.show({ code: 'missed', title: say('call.missed', { name: call.user.name }), text: say('call.missed-why') });
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
