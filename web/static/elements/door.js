// @ts-check
import { drawAvatar, fill, find, write } from '../dom.js';
import { wordsFor } from '../words.js';

/**
 * @import { App } from '../app.js'
 * @import { PeerInfo } from '../sdk/messages.js'
 * @import { Room } from '../sdk/turnpike.js'
 */

/** Who waits to be let in, for those who may let them in; nothing if nobody does. */
export class Door extends HTMLElement {
  /**
   * @param {App} app
   * @param {Room} room
   * @param {AbortSignal} signal ends the watch
   */
  watch(app, room, signal) {
    fill(this, 'door');
    room.on('knock', ({ detail: { peer } }) => this.#add(app, room, peer, true), { signal });
    room.on('knock-over', ({ detail: { peer } }) => this.#remove(peer), { signal });
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
   * @param {boolean} tell it is news
   */
  #add(app, room, peer, tell) {
    const row = document.createElement('li');
    row.dataset.session = peer.session;
    fill(row, 'door-row');
    write(row, '.who', peer.name);
    drawAvatar(row, peer.name);
    this.#onClick(app, row, 'admit', `Admit ${peer.name}`, () => room.admit(peer.session));
    this.#onClick(app, row, 'refuse', `Refuse ${peer.name}`, () => room.refuse(peer.session));
    this.#list.append(row);
    if (tell) write(this, '[role=status]', `${peer.name} waits to come in.`);
    this.#count();
  }

  /**
   * @param {App} app
   * @param {HTMLElement} row
   * @param {string} testid
   * @param {string} label
   * @param {() => Promise<void>} act
   */
  #onClick(app, row, testid, label, act) {
    const button = find(row, `[data-testid=${testid}]`, HTMLButtonElement);
    button.setAttribute('aria-label', label);
    button.addEventListener('click', async () => {
      const buttons = row.querySelectorAll('button');
      for (const each of buttons) each.disabled = true;
      try {
        await act();
      } catch (error) {
        app.notice.show(wordsFor(error));
        for (const each of buttons) each.disabled = false;
      }
    });
  }

  /** Focus that was in the row goes to the next one. @param {PeerInfo} peer */
  #remove(peer) {
    const row = this.#list.querySelector(`[data-session="${CSS.escape(peer.session)}"]`);
    const focused = !!row?.contains(document.activeElement);
    const next = row?.nextElementSibling ?? row?.previousElementSibling;
    row?.remove();
    if (focused && next) find(next, '[data-testid=admit]', HTMLButtonElement).focus();
    this.#count();
  }

  #count() {
    this.toggleAttribute('data-empty', this.#list.children.length === 0);
  }
}

customElements.define('tp-door', Door);
