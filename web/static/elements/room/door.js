// @ts-check
import { drawAvatar, fill, find, findButton, giveFocus, press, write } from '../../dom.js';
import { say } from '../../words/room.js';

/**
 * @import { App } from '../../app.js'
 * @import { PeerInfo } from '../../sdk/server/messages.js'
 * @import { Room } from '../../sdk/turnpike.js'
 */

/** When a row goes, the next one comes into its place. The second press of two is not meant for that. */
const QUIET_MS = 400;

/** The people who wait to be let in, for those who may let them in; empty if nobody waits. */
export class Door extends HTMLElement {
  /** Call for the user until somebody who waits is answered. @type {Map<string, AbortController>} by session */
  #calls = new Map();
  /** Ends data-quiet, during which nothing is answered. @type {ReturnType<typeof setTimeout> | undefined} */
  #quiet;

  /**
   * @param {App} app
   * @param {Room} room
   * @param {AbortSignal} signal ends the watch
   */
  watch(app, room, signal) {
    fill(this, 'door');
    room.on('knock', ({ peer }) => this.#add(app, room, peer, true), { signal });
    room.on('knock-over', ({ peer }) => this.#remove(peer), { signal });
    room.on('knock-renamed', ({ peer }) => this.#name(peer), { signal });
    signal.addEventListener('abort', () => this.#calls.forEach((call) => call.abort()));
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
    this.#onAnswer(app, row, 'admit', () => room.admit(peer));
    this.#onAnswer(app, row, 'refuse', () => room.refuse(peer));
    this.#list.append(row);
    this.#name(peer);
    this.#count();
    if (isNews) this.#announce(app, peer);
  }

  /**
   * @param {App} app
   * @param {PeerInfo} peer
   */
  #announce(app, peer) {
    const title = say('controls.waits', { name: peer.name });
    write(this, '[role=status]', title);
    const call = new AbortController();
    this.#calls.set(peer.session, call);
    app.attention.call({ title, text: say('controls.open-page'), sound: 'knock' }, call.signal);
  }

  /** Shows the name of somebody who waits. @param {PeerInfo} peer */
  #name(peer) {
    const row = this.#row(peer);
    if (!row) return;
    write(row, '.who', peer.name);
    drawAvatar(row, peer.name);
    findButton(row, 'admit').setAttribute('aria-label', say('controls.admit-name', { name: peer.name }));
    findButton(row, 'refuse').setAttribute('aria-label', say('controls.refuse-name', { name: peer.name }));
  }

  /** @param {PeerInfo} peer */
  #row(peer) {
    return this.#list.querySelector(`[data-session="${CSS.escape(peer.session)}"]`);
  }

  /**
   * @param {App} app
   * @param {HTMLElement} row
   * @param {string} testid
   * @param {() => Promise<void>} act
   */
  #onAnswer(app, row, testid, act) {
    const button = findButton(row, testid);
    button.addEventListener('click', () => {
      if (!this.hasAttribute('data-quiet')) press(button, () => app.notice.attempt(act), row.querySelectorAll('button'));
    });
  }

  /** Moves the focus to the next row, if it was in this one, or to the page. @param {PeerInfo} peer */
  #remove(peer) {
    this.#calls.get(peer.session)?.abort();
    this.#calls.delete(peer.session);
    const row = this.#row(peer);
    const focused = !!row?.contains(document.activeElement);
    const next = row?.nextElementSibling ?? row?.previousElementSibling;
    row?.remove();
    this.toggleAttribute('data-quiet', true);
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.removeAttribute('data-quiet'), QUIET_MS);
    if (focused) giveFocus(next && findButton(next, 'admit'));
    this.#count();
  }

  #count() {
    this.toggleAttribute('data-empty', this.#list.children.length === 0);
  }
}

customElements.define('tp-door', Door);
