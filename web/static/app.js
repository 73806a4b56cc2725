// @ts-check
import { Attention } from './attention.js';
import { find, sayPage } from './dom.js';
import { IncomingCall } from './elements/incomingcall.js';
import { Notice } from './elements/notice.js';
import { OutgoingCall } from './elements/outgoingcall.js';
import { Status } from './elements/status.js';
import { wordsLoaded } from './language.js';
import { loadPart } from './parts.js';
import { inviteOf, readAddress, roomOf, roomPath } from './roomlinks.js';
import { Session } from './session.js';
import { storeInvite, storeTicket } from './storage.js';
import { wordsFor, wordsOf } from './words.js';
import { say } from './words/page.js';

/**
 * The whole page: the signed-in session, and the view for the address in the address bar. The session outlives every
 * change of view.
 */
export class App {
  /** @type {unknown} the error with which the server refused us, until we try again */
  #refusal;
  /** Counts what is shown in the place of what was there, so that a view that loads too slowly comes over nothing else. */
  #shown = 0;
  /** The path of the view that is shown. */
  #path = '';

  constructor() {
    keepInvite();
    this.session = new Session();
    this.attention = new Attention();
    this.notice = find(document, 'tp-notice', Notice);
    this.main = find(document, 'main', HTMLElement);
  }

  /** The room that the page shows and that we are in. */
  get room() {
    return this.session.client.rooms.get(roomOf(location.pathname));
  }

  start() {
    const { session } = this;
    session.on('state', (state) => (document.documentElement.dataset.state = ['connecting', 'online'].includes(state) ? state : 'offline'));
    session.on('online', ({ how }) => ['replayed', 'restored'].includes(how) && this.#leaveStrayRooms());
    session.on('barred', () => this.notice.show(wordsOf('barred')));
    session.on('online', () => this.notice.dataset.code === 'barred' && this.notice.clear());
    session.on('refused', ({ error }) => {
      this.#refusal = error;
      this.#showRefusal();
    });
    find(document, 'tp-status', Status).watch(session);
    find(document, 'tp-incoming-call', IncomingCall).watch(this);
    find(document, 'tp-outgoing-call', OutgoingCall).watch(this);
    addEventListener('popstate', () => location.pathname !== this.#path && this.#showAndFocus()); // Not for another fragment.
    addEventListener('hashchange', () => inviteOf(location.hash) && location.reload());
    document.addEventListener('click', (event) => this.#follow(event));
    session.start();
    this.#show(); // After start, because the view waits for the sign-in that is under way.
    this.#watchVersion();
  }

  /**
   * @param {string} path
   * @param {unknown} [state] that the entry of the history keeps for its view, over reloads too
   */
  navigate(path, state = null) {
    if (path !== location.pathname) history.pushState(state, '', path);
    this.#showAndFocus();
  }

  /** Rings a user, and goes to the room if they accept. @param {import('./sdk/server/messages.js').User} user */
  call(user) {
    return find(document, 'tp-outgoing-call', OutgoingCall).call(user);
  }

  /** @returns {Promise<boolean>} whether the view for the address is there. It has loaded by then, unless it had before */
  async #show() {
    if (this.#refusal) {
      this.#showRefusal();
      return true;
    }
    this.notice.clear();
    const turn = ++this.#shown;
    // To hang up ends the call at once, even if what comes next does not load.
    if (roomOf(this.#path) && location.pathname !== this.#path) this.main.replaceChildren();
    this.#path = location.pathname;
    const view = await this.#view(location.pathname).catch(() => undefined);
    if (turn !== this.#shown) return false;
    if (!view) {
      this.#askForReload(wordsOf('not-loaded'));
      return false;
    }
    const page = view();
    this.main.replaceChildren(page);
    this.#path = location.pathname; // The page of a room may have mended it.
    this.attention.setHeading(page.heading);
    return true;
  }

  /** Each view loads when it is used. web/site.go knows these two, and has them preloaded. @param {string} path */
  async #view(path) {
    if (path === '/') {
      const { HomePage } = await loadPart('home', import('./elements/home.js'));
      return () => new HomePage(this);
    }
    const { RoomPage } = await loadPart('room', import('./elements/room/room.js'));
    return () => new RoomPage(this, roomOf(path));
  }

  /** Shows a new view from its top, for eyes and for screen readers. */
  async #showAndFocus() {
    if (!(await this.#show())) return;
    scrollTo(0, 0);
    find(document.body, 'h1', HTMLHeadingElement).focus({ preventScroll: true });
  }

  /** @param {MouseEvent} event */
  #follow(event) {
    const link = event.target instanceof Element ? event.target.closest('a[data-link]') : null;
    if (event.target instanceof HTMLAnchorElement && event.target.matches('.skip')) {
      event.preventDefault(); // Its #main would be another entry of the history.
      this.main.focus();
    }
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.navigate(link.pathname);
  }

  /** Says why the server refuses us, and shows nothing else. */
  #showRefusal() {
    this.#shown++;
    const words = wordsFor(this.#refusal);
    /** @param {() => void} restart */
    const action = (restart) => () => {
      this.#refusal = undefined;
      restart();
      this.#show();
    };
    const actions = [{ label: say('page.again'), run: action(() => this.session.restart()) }];
    if (['expired', 'unauthorized', 'invite-used', 'invite-revoked'].includes(words.code)) {
      actions.push({ label: say('page.without-invite'), run: action(() => this.session.restartWithoutInvite()) });
    }
    this.main.replaceChildren();
    this.notice.show({ ...words, actions, whole: true });
  }

  /** Leaves the rooms of the page before this one that this page does not show. */
  #leaveStrayRooms() {
    const { rooms, calls } = this.session.client;
    const called = new Set([...calls.values()].map(({ roomId }) => roomId));
    for (const room of [...rooms.values()]) {
      if (room.id !== roomOf(location.pathname) && !called.has(room.id)) room.leave();
    }
  }

  /** Offers a reload after an upgrade of the server, which then lacks this very file. Old and new modules must not mix. */
  #watchVersion() {
    let wasOffline = false;
    this.session.on('state', async (state) => {
      if (state === 'offline' || state === 'reconnecting') wasOffline = true;
      if (state !== 'online' || !wasOffline) return;
      const answer = await fetch(import.meta.url, { method: 'HEAD', cache: 'no-store' }).catch(() => undefined);
      if (answer?.status !== 404) return;
      this.#askForReload({ code: 'upgraded', title: say('page.upgraded'), text: say('page.upgraded-why') });
    });
  }

  /** @param {import('./words.js').Words} words */
  #askForReload(words) {
    this.notice.show({ ...words, actions: [{ label: say('page.reload'), run: () => location.reload() }] });
  }
}

/**
 * Moves an invite out of the address bar, where onlookers would see it, and from where people would share it. Mends an
 * address that was mangled on its way here.
 */
function keepInvite() {
  const { id, invite } = readAddress(location);
  if (invite) {
    storeInvite(invite);
    storeTicket(undefined);
  }
  if (invite || (id && location.pathname !== roomPath(id))) history.replaceState(history.state, '', id ? roomPath(id) : location.pathname);
}

wordsLoaded().then(() => {
  sayPage();
  new App().start();
});
