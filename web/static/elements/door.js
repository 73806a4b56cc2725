// @ts-check
import { drawAvatar, fill, find, findButton, write } from '../dom.js';

/**
 * @import { App } from '../app.js'
 * @import { PeerInfo } from '../sdk/server/messages.js'
 * @import { Room } from '../sdk/turnpike.js'
 */

/** The people who wait to be let in, for those who may let them in; empty if nobody waits. */
export class Door extends HTMLElement {
  /**
   * @param {App} app
   * @param {Room} room
   * @param {AbortSignal} signal ends the watch
   */
  watch(app, room, signal) {
    fill(this, 'door');
    room.on('knock', ({ peer }) => this.#add(app, room, peer, true), { signal });
    room.on('knock-over', ({ peer }) => this.#remove(peer), { signal });
    for (const peer of room.knocks.values()) this.#add(app, room, peer, false);
    this.#count();
  }

  get #list() {
    return find(this, 'ul', HTMLUListElement);
  }

  /**
   * @param {App} app
   * @param {Room} room
   * @param {PeerInfo} peer
   * @param {boolean} isNews
   */
  #add(app, room, peer, isNews) {
    const row = document.createElement('li');
    row.dataset.session = peer.session;
    fill(row, 'door-row');
    write(row, '.who', peer.name);
    drawAvatar(row, peer.name);
    this.#onAnswer(app, row, 'admit', `Admit ${peer.name}`, () => room.admit(peer));
    this.#onAnswer(app, row, 'refuse', `Refuse ${peer.name}`, () => room.refuse(peer));
    this.#list.append(row);
    if (isNews) write(this, '[role=status]', `${peer.name} waits to come in.`);
    this.#count();
  }

  /**
   * @param {App} app
   * @param {HTMLElement} row
   * @param {string} testid
   * @param {string} label
   * @param {() => Promise<void>} act
   */
  #onAnswer(app, row, testid, label, act) {
    const button = findButton(row, testid);
    button.setAttribute('aria-label', label);
    button.addEventListener('click', async () => {
      const buttons = row.querySelectorAll('button');
      for (const each of buttons) each.disabled = true;
      if (await app.notice.attempt(act)) return;
      for (const each of buttons) each.disabled = false;
    });
  }

  /** Moves the focus to the next row, if it was in this one. @param {PeerInfo} peer */
  #remove(peer) {
    const row = this.#list.querySelector(`[data-session="${CSS.escape(peer.session)}"]`);
    const focused = !!row?.contains(document.activeElement);
    const next = row?.nextElementSibling ?? row?.previousElementSibling;
    row?.remove();
    if (focused && next) findButton(next, 'admit').focus();
    this.#count();
  }

  #count() {
    this.toggleAttribute('data-empty', this.#list.children.length === 0);
  }
}

customElements.define('tp-door', Door);
