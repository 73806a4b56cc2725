// @ts-check
import { find, write } from '../../dom.js';
import { MAX_WAITING } from '../../sdk/peer/chat.js';
import { say, several } from '../../words/room.js';
import { wordsFor } from '../../words.js';
import { ChatPanel } from './chat.js';
import { delivered, failed, seen, waitingFor } from './delivery.js';
import { Drawer } from './drawer.js';
import { followKeyboard } from './keyboard.js';
import { SEEN, seenData, seenIn } from './receipts.js';

/**
 * @import { App } from '../../app.js'
 * @import { Peer, Room } from '../../sdk/turnpike.js'
 * @import { Reader } from './delivery.js'
 * @import { ShownMessage } from './message.js'
 */

/** Reasons of `peer-left` after which the peer gets what waits for it, if it comes back. */
const LOST = new Set(['gone', 'slow', 'shutdown']);

/** For so many who are lost, the SDK keeps messages. */
const MAX_LOST = 32;

/** The chat of a room's page: it sends, follows what becomes of that, and tells the others what was in sight here. */
export class Conversation {
  #app;
  #page;
  #panel;
  /** @type {Drawer | undefined} it says that it is open before it is made */
  #drawer;
  /** @type {Room | undefined} */
  #room;
  /** The names of those who have lost the connection, by user. @type {Map<string, string>} */
  #lost = new Map();
  /** The newest message of each user that was in sight, in milliseconds by the user's clock. @type {Map<string, number>} */
  #seen = new Map();
  /** The page before this one was in this room. */
  isReload;

  /**
   * @param {App} app
   * @param {HTMLElement} page of the room
   * @param {string} roomId
   * @param {() => boolean} mayComeBack whether a reload leads back into the room, where the chat must be as it was
   * @param {AbortSignal} signal aborts when the page ends
   */
  constructor(app, page, roomId, mayComeBack, signal) {
    this.#app = app;
    this.#page = page;
    const panel = this.#panel = find(page, 'tp-chat', ChatPanel);
    panel.watch({
      send: (text) => this.#send(text),
      again: (message) => this.#again(message),
      seen: (messages) => this.#sawThem(messages),
      unread: (count) => this.#showUnread(count),
    }, signal);
    panel.setReach({ isAway: (user) => this.#isAway(user), isHere: (user) => this.#peersOf(user).length > 0 });
    this.#drawer = new Drawer(page, { opened: () => panel.opened(), closed: () => panel.closed() }, signal);
    this.isReload = panel.restore(roomId);
    for (const { user, sentAt, seen } of panel.messages) if (user && sentAt && seen) this.#seen.set(user, sentAt);
    addEventListener('pagehide', () => {
      if (mayComeBack()) panel.store(roomId);
    }, { signal });
    signal.addEventListener('abort', () => app.attention.setUnread(0));
    followKeyboard(signal);
  }

  /**
   * We are in the room.
   *
   * @param {Room} room
   * @param {AbortSignal} signal aborts when our stay ends
   */
  enter(room, signal) {
    this.#room = room;
    const panel = this.#panel;
    // Those of the page before this one who are not here have lost the connection, as far as we know.
    for (const { user, name, fate } of panel.messages.flatMap(({ to = [] }) => to)) {
      if (fate === 'sent') this.#lost.set(user, name);
    }
    const end = room.eachPeer((peer) => this.#met(peer));
    signal.addEventListener('abort', end);
    room.on('message', ({ peer, text, at }) => this.#heard(peer, text, at), { signal });
    room.on('delivered', ({ peer, at }) => panel.drawFates(delivered(panel.messages, peer.user, at.getTime())), { signal });
    room.on('data', ({ peer, topic, data }) => {
      const at = topic === SEEN ? seenIn(data) : undefined;
      if (at !== undefined) panel.drawFates(seen(panel.messages, peer.user, at));
    }, { signal });
    room.on('peer-left', ({ peer, reason }) => this.#parted(peer, reason), { signal });
    room.on('peer-away', () => panel.drawFates(), { signal });
    room.on('peer-back', () => panel.drawFates(), { signal });
    room.on('left', () => this.#end(room), { signal });
    this.#count();
    panel.drawFates();
  }

  /** @param {Peer} peer */
  #met(peer) {
    this.#lost.delete(peer.user);
    const at = this.#seen.get(peer.user);
    if (at !== undefined) this.#tellSeen([peer], at); // Perhaps it was lost on the way.
    peer.on('error', () => peer.isMediaLess && this.#failed(peer.user)); // By way of the server, nothing is sent again.
    this.#count();
  }

  /**
   * @param {Peer} peer
   * @param {string} reason
   */
  #parted({ user, name }, reason) {
    if (LOST.has(reason) && this.#lost.size < MAX_LOST) this.#lost.set(user, name);
    else if (this.#peersOf(user).length === 0) this.#failed(user);
    this.#count();
  }

  /** Nothing more of this stay reaches anybody. @param {Room} room */
  #end(room) {
    if (room !== this.#room) return;
    for (const { to = [] } of this.#panel.messages) {
      for (const reader of to) if (reader.fate === 'sent') reader.fate = 'failed';
    }
    this.#lost.clear();
    this.#count();
  }

  #count() {
    this.#panel.setReaders(this.#room?.isLeft === false ? this.#room.peers.size : 0, [...this.#lost.values()]);
    this.#panel.drawFates();
  }

  /** @param {string} user */
  #peersOf(user) {
    return [...(this.#room?.peers.values() ?? [])].filter((peer) => peer.user === user);
  }

  /** @param {string} user */
  #isAway(user) {
    const peers = this.#peersOf(user);
    return peers.length > 0 ? peers.every(({ away }) => away) : this.#lost.has(user);
  }

  /** @param {string} text */
  #send(text) {
    const room = this.#room;
    if (!room) return false;
    try {
      const { missed, at, ...message } = room.sendMessage(text);
      const to = this.#readers(room, at.getTime(), missed);
      this.#panel.showMessage({ ...message, at, own: true, to });
      this.#tellFailures(to);
      return true;
    } catch (error) {
      this.#app.notice.show(wordsFor(error));
      return false;
    }
  }

  /**
   * Each user once, whatever many pages they have here.
   *
   * @param {Room} room
   * @param {number} at
   * @param {Peer[]} missed
   * @returns {Reader[]}
   */
  #readers(room, at, missed) {
    /** @type {Map<string, Reader>} */
    const readers = new Map();
    for (const [user, name] of this.#lost) {
      const isMissed = waitingFor(this.#panel.messages, user) >= MAX_WAITING.messages;
      readers.set(user, { user, name, at, fate: isMissed ? 'failed' : 'sent' });
    }
    for (const peer of room.peers.values()) {
      const isMissed = missed.includes(peer) && readers.get(peer.user)?.fate !== 'sent';
      readers.set(peer.user, { user: peer.user, name: peer.name, at, fate: isMissed ? 'failed' : 'sent' });
    }
    return [...readers.values()];
  }

  /** @param {ShownMessage} message */
  #again(message) {
    const readers = (message.to ?? []).filter(({ user, fate }) => fate === 'failed' && this.#peersOf(user).length > 0);
    const peers = readers.flatMap(({ user }) => this.#peersOf(user));
    if (!this.#room || peers.length === 0) return;
    try {
      const { at, missed } = this.#room.sendMessage(message.text, { to: peers });
      for (const reader of readers) {
        reader.at = at.getTime();
        if (this.#peersOf(reader.user).some((peer) => !missed.includes(peer))) reader.fate = 'sent';
      }
      this.#panel.drawFates([message]);
    } catch (error) {
      this.#app.notice.show(wordsFor(error));
    }
  }

  /** @param {string} user */
  #failed(user) {
    const messages = failed(this.#panel.messages, user);
    this.#panel.drawFates(messages);
    this.#tellFailures(messages.flatMap(({ to = [] }) => to));
  }

  /** For screen readers, which states below messages would interrupt all the time. @param {Reader[]} readers */
  #tellFailures(readers) {
    const names = new Set(readers.filter(({ fate }) => fate === 'failed').map(({ name }) => name));
    if (names.size > 0) this.#tell(say('chat.failed', { names: several([...names]) }));
  }

  /**
   * @param {Peer} peer
   * @param {string} text
   * @param {Date} at by the peer's clock
   */
  #heard({ name, user }, text, at) {
    // Our own clock keeps the times in the log in order.
    this.#panel.showMessage({ sender: name, user, text, at: new Date(), sentAt: at.getTime(), own: false });
    if (!this.#drawer?.isOpen) this.#tell(say('chat.news', { name })); // Else the log says it.
  }

  /** @param {string} text for screen readers */
  #tell(text) {
    write(this.#page, '.chat-news', text);
  }

  /** @param {number} count */
  #showUnread(count) {
    this.#drawer?.showUnread(count);
    this.#app.attention.setUnread(count);
    if (count === 0) this.#tell('');
  }

  /** @param {ShownMessage[]} messages of others that came into sight */
  #sawThem(messages) {
    const news = new Set(messages.flatMap(({ user, sentAt }) => {
      if (!user || sentAt === undefined || sentAt <= (this.#seen.get(user) ?? -Infinity)) return [];
      this.#seen.set(user, sentAt);
      return user;
    }));
    for (const user of news) this.#tellSeen(this.#peersOf(user), this.#seen.get(user) ?? 0);
  }

  /**
   * @param {Peer[]} peers of one user
   * @param {number} at
   */
  #tellSeen(peers, at) {
    const to = peers.filter(({ isMediaLess }) => !isMediaLess); // The others have no page.
    if (to.length > 0) this.#room?.send(seenData(at), { topic: SEEN, to }).catch(() => {}); // They have left meanwhile.
  }
}
