// @ts-check
import { drawIcon, fill, find, write } from '../../dom.js';
import { say } from '../../words/room.js';

/**
 * @import { App } from '../../app.js'
 * @import { Room } from '../../sdk/turnpike.js'
 */

/** Says that the room is locked, and lets moderators lock and unlock it. */
export class Lock extends HTMLElement {
  /**
   * @param {App} app
   * @param {Room} room
   * @param {AbortSignal} signal ends the watch
   */
  watch(app, room, signal) {
    fill(this, 'lock');
    const update = () => this.#update(room);
    for (const event of /** @type {const} */ (['host', 'locked', 'unlocked'])) room.on(event, update, { signal });
    this.#button.addEventListener('click', () => this.#toggle(app, room), { signal });
    update();
  }

  get #button() {
    return find(this, 'button', HTMLButtonElement);
  }

  /** @param {Room} room */
  #update(room) {
    const button = this.#button;
    write(this, '.locked-sign', room.locked && !room.moderates ? say('controls.locked') : '');
    button.hidden = !room.moderates;
    button.title = say(room.locked ? 'controls.unlock' : 'controls.lock');
    write(button, 'span', say(room.locked ? 'controls.unlock-short' : 'controls.lock-short'));
    drawIcon(button, room.locked ? 'lock' : 'lock-off');
    this.toggleAttribute('data-locked', room.locked);
  }

  /**
   * @param {App} app
   * @param {Room} room
   */
  async #toggle(app, room) {
    await app.notice.attempt(() => (room.locked ? room.unlock() : room.lock()));
  }
}

customElements.define('tp-lock', Lock);
