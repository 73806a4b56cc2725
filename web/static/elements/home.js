// @ts-check
import { fill, find, findButton, press, write } from '../dom.js';
import { otherLanguage } from '../language.js';
import { newRoomId, readRoom, roomPath } from '../roomlinks.js';
import { storeInvite, storeLanguage, storeTicket, storedInvite } from '../storage.js';
import { wordsOf } from '../words.js';
import { say } from '../words/home.js';
import { NameForm } from './name.js';
import { OnlineList } from './online.js';

/** @import { App } from '../app.js' */

/** A mesh sends everybody's picture to everybody. The server allows more; the page offers what works well. */
const MAX_SIZE = 8;

/** The start page: our name, rooms to make and to join, and people to call. */
export class HomePage extends HTMLElement {
  #ended = new AbortController();
  heading = '';

  /** @param {App} app */
  constructor(app) {
    super();
    this.app = app;
  }

  connectedCallback() {
    fill(this, 'home');
    find(this, 'tp-name', NameForm).watch(this.app);
    find(this, 'tp-online', OnlineList).watch(this.app, () => this.#named());
    this.app.session.on('state', () => this.#showFiles(), { signal: this.#ended.signal });
    this.#showFiles();
    this.#offerLanguage();
    const size = find(this, 'select', HTMLSelectElement);
    for (let people = MAX_SIZE; people >= 2; people--) size.add(new Option(people === 2 ? say('home.two-people') : say('home.people', { count: people }), String(people)));
    find(this, 'form.create', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      press(findButton(this, 'create-room'), () => this.#create(Number(size.value), find(this, '[name=waiting]', HTMLInputElement).checked));
    });
    find(this, 'form.join', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#join(find(this, '[name=room]', HTMLInputElement).value);
    });
  }

  /** Offers the other language. The page begins anew in it, and the session goes on. */
  #offerLanguage() {
    const button = findButton(this, 'language');
    const { language, tag } = otherLanguage();
    button.lang = tag;
    button.addEventListener('click', () => {
      storeLanguage(language);
      location.reload();
    });
  }

  disconnectedCallback() {
    this.#ended.abort();
  }

  /** Members may send files, and guests where they need no invite. */
  #showFiles() {
    const { state, client } = this.app.session;
    find(this, '.to-files', HTMLElement).hidden = state !== 'online' || (client.role === 'guest' && storedInvite() !== undefined);
  }

  /**
   * Leads to the lobby of a new room, which is made when its maker goes in.
   *
   * @param {number} size
   * @param {boolean} waitingRoom
   */
  async #create(size, waitingRoom) {
    if (waitingRoom) this.app.attention.ask().catch(() => {}); // Somebody who wants to be asked wants to notice it.
    if (await this.#named() && this.isConnected) this.app.navigate(roomPath(newRoomId()), { newRoom: { create: true, size, waitingRoom } });
  }

  /** Whether we have the name that the user has typed. */
  #named() {
    return find(this, 'tp-name', NameForm).commit();
  }

  /** @param {string} text */
  async #join(text) {
    const room = readRoom(text, location.origin);
    if (!room) {
      write(this, '.join .field-error', text.trim() === '' ? say('home.no-id') : wordsOf('bad-room').text);
      find(this, '[name=room]', HTMLInputElement).focus();
      return;
    }
    write(this, '.join .field-error', '');
    if (!(await this.#named()) || !this.isConnected) return;
    if (room.invite) {
      storeInvite(room.invite);
      storeTicket(undefined);
      location.assign(roomPath(room.id));
      return;
    }
    this.app.navigate(roomPath(room.id));
  }
}

customElements.define('tp-home', HomePage);
