// @ts-check
import { fill, find, write } from '../dom.js';
import { LocalMedia } from '../media.js';
import { isRoomId, roomPath } from '../rooms.js';
import { codeOf } from '../sdk/turnpike.js';
import { storeChat, takeChat } from '../storage.js';
import { wordsFor, wordsOf } from '../words.js';
import { Chat } from './chat.js';
import { Controls } from './controls.js';
import { Door } from './door.js';
import { Lock } from './lock.js';
import { NameForm } from './name.js';
import { Remove } from './remove.js';
import { Tile } from './tile.js';

/**
 * @import { App } from '../app.js'
 * @import { Peer, Room } from '../sdk/turnpike.js'
 * @import { Words } from '../words.js'
 */

const COPIED_MS = 2000;
/** @type {Record<string, string>} by the reason of `peer-left` */
const HOW_THEY_WENT = { gone: 'lost the connection', kicked: 'was removed' };

/** The page of a room: people, chat and controls, or why we cannot be in it. */
export class RoomPage extends HTMLElement {
  #ended = new AbortController();
  #media = new LocalMedia();
  /** @type {Promise<void> | undefined} */
  #mediaStarted;
  /** @type {Room | undefined} */
  #room;
  /** A connection that was not there yet is no reason to give up. */
  #enterWhenOnline = false;
  #ownTile = new Tile();
  /** @type {Map<Peer, Tile>} */
  #peerTiles = new Map();
  /** The page was loaded again while we were in the room: who is here is no news. */
  #isReload = false;

  /**
   * @param {App} app
   * @param {string} id
   */
  constructor(app, id) {
    super();
    this.app = app;
    this.roomId = id;
    this.heading = id;
  }

  connectedCallback() {
    const { session, notice } = this.app;
    const signal = this.#ended.signal;
    fill(this, 'room');
    this.toggleAttribute('data-entering', true);
    write(this, '[data-testid=room-name]', this.roomId);
    find(this, 'tp-name', NameForm).watch(this.app);
    this.#controls.watch(this.#media, () => this.#hangup());
    this.#chat.watch((text) => this.#send(text));
    this.#tiles.append(this.#ownTile);
    find(this, '[data-testid=copy-link]', HTMLButtonElement).addEventListener('click', () => this.#copyLink());
    this.#media.on('change', () => this.#shareMedia());
    this.#media.on('problem', ({ detail }) => notice.show({ code: 'media', title: detail }));
    session.on('name', () => this.#showOwn(), { signal });
    session.on('client', () => this.#enter({ create: true }), { signal });
    session.on('state', ({ detail }) => detail === 'online' && this.#enterWhenOnline && this.#enter(), { signal });
    this.#keepChat();
    this.#showOwn();
    this.#enter();
  }

  disconnectedCallback() {
    this.#ended.abort();
    find(document, 'tp-remove', Remove).close();
    this.#media.stop();
    this.#leave();
  }

  /** What was said outlives a reload of the page, as the session does. */
  #keepChat() {
    const before = takeChat(this.roomId);
    this.#isReload = before !== undefined;
    for (const { at, ...message } of before ?? []) this.#chat.say({ ...message, at: new Date(at) });
    addEventListener('pagehide', () => {
      if (this.#room?.isLeft === false) storeChat(this.roomId, this.#chat.said.map(({ at, ...message }) => ({ ...message, at: at.toISOString() })));
    }, { signal: this.#ended.signal });
  }

  get #chat() {
    return find(this, 'tp-chat', Chat);
  }

  get #controls() {
    return find(this, 'tp-controls', Controls);
  }

  get #tiles() {
    return find(this, '.tiles', HTMLElement);
  }

  async #enter({ create = false } = {}) {
    this.#enterWhenOnline = false;
    if (!isRoomId(this.roomId)) return this.#block(wordsOf('bad-room'));
    const { session } = this.app;
    const client = (await session.settled()) ?? session.client;
    if (this.#ended.signal.aborted || client.state === 'closed') return;
    const attempt = new AbortController();
    const { signal } = attempt;
    this.#ended.signal.addEventListener('abort', () => attempt.abort());
    try {
      const options = {
        create: create || session.isInvitedTo(this.roomId), size: this.#room?.size ?? 2, signal,
        onWaiting: () => this.#wait(attempt),
      };
      const room = client.rooms.get(this.roomId) ?? (await client.join(this.roomId, options));
      if (this.#ended.signal.aborted) await room.leave();
      else this.#entered(room);
    } catch (error) {
      if (attempt.signal.aborted) return;
      this.#notEntered(error);
    }
  }

  /** @param {unknown} error */
  #notEntered(error) {
    if (this.#ended.signal.aborted || codeOf(error) === 'closed') return; // Under another name we enter anew.
    if (['offline', 'timeout'].includes(codeOf(error))) {
      this.#enterWhenOnline = true;
      return;
    }
    this.#block(wordsFor(error));
  }

  /** Shows that we wait to be let in. @param {AbortController} attempt to come in */
  #wait(attempt) {
    this.toggleAttribute('data-blocked', true);
    const giveUp = () => {
      attempt.abort();
      this.app.navigate('/');
    };
    const actions = [{ label: 'Give up', testid: 'give-up', quiet: true, run: giveUp }];
    this.app.notice.show({ ...wordsOf('waiting'), actions, whole: true });
  }

  /** @param {Words} words why there is no being in this room */
  #block(words) {
    this.toggleAttribute('data-blocked', true);
    const home = { label: 'To the start', run: () => this.app.navigate('/') };
    const retry = { label: 'Try again', run: () => this.#retry(false) };
    const create = { label: 'Create it', testid: 'create-missing', run: () => this.#retry(true) };
    const first = words.code === 'not-existing' ? [create] : ['bad-room', 'kicked'].includes(words.code) ? [] : [retry];
    this.app.notice.show({ ...words, actions: [...first, home], whole: true });
  }

  /** @param {boolean} create */
  #retry(create) {
    this.toggleAttribute('data-blocked', false);
    this.#enter({ create });
  }

  /** @param {Room} room */
  #entered(room) {
    const again = this.#room !== undefined || this.#isReload; // under another name, for example: the others have not moved
    this.#room = room;
    this.#admitted();
    this.toggleAttribute('data-entering', false);
    const signal = this.#ended.signal;
    find(this, 'tp-lock', Lock).watch(this.app, room, signal);
    find(this, 'tp-door', Door).watch(this.app, room, signal);
    room.on('host', ({ detail }) => this.#hostChanged(room, detail.session), { signal });
    room.on('locked', ({ detail }) => this.#tellOf(room, detail.by, 'locked the room'), { signal });
    room.on('unlocked', ({ detail }) => this.#tellOf(room, detail.by, 'unlocked the room'), { signal });
    room.on('peer-joined', ({ detail: { peer } }) => this.#addPeer(peer, 'came in'), { signal });
    room.on('peer-left', ({ detail }) => this.#removePeer(detail.peer, detail.reason), { signal });
    room.on('peer-away', ({ detail: { peer } }) => this.#peerTiles.get(peer)?.showAway(true), { signal });
    room.on('peer-back', ({ detail: { peer } }) => this.#peerTiles.get(peer)?.showAway(false), { signal });
    room.on('left', ({ detail }) => this.#left(room, detail.reason), { signal });
    room.on('message', ({ detail: { peer, text } }) => {
      // By our own clock, so that the times in the log are in order.
      this.#chat.say({ sender: peer.name, text, at: new Date(), own: false });
    }, { signal });
    const news = again ? '' : 'is here';
    for (const peer of room.peers.values()) this.#addPeer(peer, news);
    this.#count();
    this.#shareMedia();
    this.#mediaStarted ??= this.#startMedia();
  }

  /** Takes the waiting screen away, if there was one. */
  #admitted() {
    if (!this.hasAttribute('data-blocked')) return;
    this.toggleAttribute('data-blocked', false);
    this.app.notice.clear();
    find(this, 'h1', HTMLHeadingElement).focus({ preventScroll: true });
  }

  /**
   * @param {Room} room
   * @param {string} session
   */
  #hostChanged(room, session) {
    this.#tellOf(room, session, room.isHost ? 'host the room now' : 'hosts the room now');
    for (const peer of room.peers.values()) this.#offerRemoval(room, peer);
  }

  /**
   * @param {Room} room
   * @param {string} session who did something; '' if nobody knows
   * @param {string} what
   */
  #tellOf(room, session, what) {
    const name = session === this.app.session.client.session ? 'You' : room.peers.get(session)?.name;
    if (name) this.#chat.tell(`${name} ${what}.`);
  }

  /**
   * @param {Room} room
   * @param {Peer} peer
   */
  #offerRemoval(room, peer) {
    this.#peerTiles.get(peer)?.offerRemoval(room.moderates, () => this.#removePerson(room, peer));
  }

  /**
   * @param {Room} room
   * @param {Peer} peer
   */
  async #removePerson(room, peer) {
    if (!(await find(document, 'tp-remove', Remove).ask(peer.name))) return;
    try {
      await room.kick(peer.session);
    } catch (error) {
      this.app.notice.show(wordsFor(error));
    }
  }

  async #startMedia() {
    await this.#media.start();
    if (this.#ended.signal.aborted) return;
    const { audio, video } = this.#media.tracks;
    if (audio && video) return;
    const lacking = audio ? 'camera' : video ? 'microphone' : 'camera or microphone';
    this.#chat.tell(`You have no ${lacking} on. You can still see, hear and write, and turn it on at any time.`);
  }

  #shareMedia() {
    this.#showOwn();
    this.#room?.share(this.#media.tracks);
  }

  #showOwn() {
    this.#ownTile.showLocal(this.app.session.name, this.#media.tracks);
  }

  /**
   * @param {Peer} peer
   * @param {string} news about them for the log; '' if there is none
   */
  #addPeer(peer, news) {
    const tile = new Tile();
    this.#peerTiles.set(peer, tile);
    this.#tiles.append(tile);
    tile.watch(peer);
    if (this.#room) this.#offerRemoval(this.#room, peer);
    peer.on('error', ({ detail }) => console.warn(`negotiation with ${peer.name}:`, detail));
    if (news) this.#chat.tell(`${peer.name} ${news}.`);
    this.#count();
  }

  /**
   * @param {Peer} peer
   * @param {string} reason
   */
  #removePeer(peer, reason) {
    this.#peerTiles.get(peer)?.remove();
    this.#peerTiles.delete(peer);
    if (reason !== 'closed') this.#chat.tell(`${peer.name} ${HOW_THEY_WENT[reason] ?? 'left'}.`);
    this.#count();
  }

  /**
   * @param {Room} room
   * @param {string} reason
   */
  #left(room, reason) {
    find(document, 'tp-remove', Remove).close();
    if (room !== this.#room || reason === 'leave' || reason === 'closed') return;
    if (reason !== 'hangup') return this.#block(wordsOf(reason));
    this.app.navigate('/');
    this.app.notice.show({ code: 'hangup', title: 'The call has ended' });
  }

  #count() {
    const room = this.#room;
    if (!room) return;
    const people = room.peers.size + 1;
    this.#tiles.dataset.count = String(people);
    this.toggleAttribute('data-alone', people === 1);
    write(this, '.count', `${people} of ${room.size}`);
    write(this, '.waiting', people > 1 ? '' : 'Nobody else is here yet. Send them the link to this room.');
    this.#chat.setListeners(people - 1);
  }

  /** @param {string} text */
  #send(text) {
    const room = this.#room;
    if (!room) return false;
    try {
      this.#chat.say({ sender: 'You', own: true, ...room.sendMessage(text) });
      return true;
    } catch (error) {
      this.app.notice.show(wordsFor(error));
      return false;
    }
  }

  #hangup() {
    this.app.navigate('/');
  }

  #leave() {
    const room = this.#room;
    if (!room || room.isLeft) return;
    const call = [...this.app.session.client.calls.values()].find(({ roomId }) => roomId === room.id);
    if (call) call.hangup();
    else room.leave();
  }

  async #copyLink() {
    const link = new URL(roomPath(this.roomId), location.href).href;
    const label = find(this, '[data-testid=copy-link] span', HTMLElement);
    try {
      await navigator.clipboard.writeText(link);
      label.textContent = 'Copied';
      setTimeout(() => (label.textContent = 'Copy link'), COPIED_MS);
    } catch {
      this.app.notice.show({ code: 'link', title: 'The link to this room', text: link });
    }
  }
}

customElements.define('tp-room', RoomPage);
