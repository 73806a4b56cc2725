// @ts-check
import { afterEvents, changed, emit, hold, release, releaseSoon, tap } from '../emitter.js';
import { PeerChat } from '../peer/chat.js';
import { ALL_SEEN } from '../peer/limits.js';
import { Peer, insideOf } from '../peer/peer.js';
import { serverUrl } from '../server/address.js';
import { Speaker } from './speaker.js';

/**
 * @import { ChatMessage } from '../peer/chat.js'
 * @import { Tracks } from '../peer/sources.js'
 * @import { PeerInfo } from '../server/messages.js'
 * @import { Room, RoomClient } from './room.js'
 */

/** Reasons of `peer-left` for which the peer has lost the server, but perhaps not us. */
const UNREACHED = new Set(['gone', 'slow', 'shutdown']);
const MAX_CHATS = 32;

/**
 * The peers in a room. A peer can stay after its session has ended: if the server could not reach it, but its media still
 * reaches us. It takes its place again when its user comes back.
 */
export class Roster {
  /** @type {Map<string, Peer>} by id */
  peers = new Map();
  /** @type {Map<string, Peer>} by session of this moment */
  #bySession = new Map();
  #client;
  #room;
  #speaker = new Speaker();
  /** @type {Set<Peer>} peers whose session has ended while their connection works */
  #orphans = new Set();
  /** @type {Map<Peer, ReturnType<typeof setTimeout>>} by peers that must come back in time after the server's restart */
  #awaited = new Map();
  /** @type {Map<string, PeerChat>} by user, or session before a reload, with users who were lost; the messages to them arrive if they come back */
  #chats;

  /**
   * @param {RoomClient} client
   * @param {Room} room emits the events
   */
  constructor(client, room) {
    this.#client = client;
    this.#room = room;
    this.#chats = client.claimChats(room.id);
  }

  /**
   * We have entered the room. The people who were there before us get an offer.
   *
   * @param {PeerInfo[]} infos
   * @param {boolean} anew whether our session is another than before
   */
  entered(infos, anew) {
    const sessions = new Map(infos.map((info) => [info.session, info]));
    if (anew) {
      for (const peer of [...this.peers.values()]) {
        const info = sessions.get(peer.session);
        if (info) this.#renew(peer, info, true);
        else this.remove(peer.session, 'gone');
      }
    }
    for (const info of infos) this.add(info, { offers: true });
  }

  /**
   * The server has restarted. We are back in the room, with the peers that are back already.
   *
   * @param {PeerInfo[]} infos
   * @param {number} patience milliseconds to wait for the others
   */
  restored(infos, patience) {
    this.awaitAllBut(infos, patience);
    for (const { session } of infos) {
      const peer = this.#bySession.get(session);
      if (peer) this.#recover(peer);
    }
    for (const info of infos) this.add(info, { offers: true });
  }

  /**
   * @param {PeerInfo[]} infos of the peers that are back
   * @param {number} patience milliseconds to wait for the others
   */
  awaitAllBut(infos, patience) {
    const sessions = new Set(infos.map(({ session }) => session));
    for (const peer of this.peers.values()) {
      if (!sessions.has(peer.session)) this.#await(peer, patience);
    }
  }

  /**
   * @param {PeerInfo} info
   * @param {{ offers: boolean }} options whether the first offer is ours
   */
  add(info, { offers }) {
    const known = this.#bySession.get(info.session);
    if (known) return this.back(info.session, false);
    const orphan = [...this.#orphans].find(({ user }) => user === info.user);
    if (orphan) return this.#adopt(orphan, info, offers);
    const client = this.#client;
    const { rtc = {}, url, media } = client.options;
    const peer = new Peer(info, {
      self: client.session,
      offers,
      connects: info.media !== false && media !== false,
      RTCPeerConnection: rtc.RTCPeerConnection ?? globalThis.RTCPeerConnection,
      MediaStream: rtc.MediaStream ?? globalThis.MediaStream,
      iceServers: client.iceServers,
      ...(rtc.iceTransportPolicy && { iceTransportPolicy: rtc.iceTransportPolicy }),
      ...(rtc.onConnection && { onConnection: rtc.onConnection }),
      tracks: this.#room.sources,
      people: this.peers.size + 2,
      home: serverUrl(url),
      chat: this.#chatWith(info),
      send: (to, negotiated) => client.send({ type: 'signal', room: this.#room.id, to, ...negotiated }),
    });
    tap(peer, (name, detail) => this.#heard(peer, name, detail));
    this.peers.set(peer.id, peer);
    this.#bySession.set(info.session, peer);
    this.#limit();
    hold(peer); // Nobody can listen yet.
    emit(this.#room, 'peer-joined', { peer });
    afterEvents(this.#room, () => releaseSoon(peer));
  }

  /**
   * A peer has an event. The room's follows at once, in the order of all that happens in the room.
   *
   * @param {Peer} peer
   * @param {string} name
   * @param {any} detail
   */
  #heard(peer, name, detail) {
    if (['message', 'delivered', 'data'].includes(name)) return emit(this.#room, name, { peer, ...detail });
    if (!['state', 'sources', 'path'].includes(name)) return;
    if (name === 'state') {
      if (this.#orphans.has(peer) && !insideOf(peer).isConnected) return this.#drop(peer, 'gone');
      if (detail === 'disconnected') this.#client.doubt(peer);
    }
    this.#changed(peer);
  }

  /**
   * @param {string} session
   * @param {string} reason
   */
  remove(session, reason) {
    const peer = this.#bySession.get(session);
    if (!peer) return;
    if (!UNREACHED.has(reason) || !insideOf(peer).isConnected) return this.#drop(peer, reason);
    this.#orphans.add(peer);
    this.away(session);
  }

  /** @param {string} session that the server cannot reach */
  away(session) {
    const peer = this.#bySession.get(session);
    if (!peer || peer.away) return;
    insideOf(peer).away = true;
    emit(this.#room, 'peer-away', { peer });
    this.#changed(peer);
  }

  /**
   * @param {string} session
   * @param {boolean} fresh its page was loaded anew, and makes an offer as a newcomer does
   */
  back(session, fresh) {
    const peer = this.#bySession.get(session);
    if (!peer) return;
    const link = insideOf(peer);
    if (fresh) link.renew(link.info, { self: this.#client.session, offers: false });
    else if (this.#awaited.has(peer) && link.isOffering) link.restart({ lost: true });
    this.#stopWaiting(peer);
    this.#isBack(peer, fresh);
  }

  /**
   * @param {string} session
   * @param {string} name
   */
  renamed(session, name) {
    const peer = this.#bySession.get(session);
    if (peer) this.#name(peer, name);
  }

  /**
   * @param {Peer} peer
   * @param {string} name
   */
  #name(peer, name) {
    const former = peer.name;
    if (former === name) return;
    const link = insideOf(peer);
    link.info = { ...link.info, name };
    emit(this.#room, 'peer-renamed', { peer, former });
    this.#changed(peer);
  }

  /** @param {string} session of this moment */
  of(session) {
    return this.#bySession.get(session);
  }

  /** @param {string} reason */
  clear(reason) {
    for (const peer of [...this.peers.values()]) this.#drop(peer, reason);
  }

  /** By session, and by user with those who were lost. */
  get chats() {
    return [...this.#chats, ...[...this.peers.values()].map((peer) => /** @type {const} */ ([peer.session, insideOf(peer).chat]))];
  }

  /** Has those who were lost get a message if they come back. @param {ChatMessage} message */
  keep(message) {
    this.#chats.forEach((chat) => chat.send(message));
  }

  /** @param {PeerInfo} info */
  #chatWith({ session, user }) {
    const key = this.#chats.has(session) ? session : user;
    const chat = this.#chats.get(key) ?? new PeerChat();
    this.#chats.delete(key);
    return chat;
  }

  /**
   * The user of an orphan is back under a new session, and takes the orphan's place.
   *
   * @param {Peer} orphan
   * @param {PeerInfo} info
   * @param {boolean} offers
   */
  #adopt(orphan, info, offers) {
    this.#orphans.delete(orphan);
    this.#renew(orphan, info, offers);
    this.#isBack(orphan, true);
  }

  /**
   * @param {Peer} peer
   * @param {PeerInfo} info
   * @param {boolean} offers
   */
  #renew(peer, info, offers) {
    this.#bySession.delete(peer.session);
    this.#name(peer, info.name);
    insideOf(peer).renew(info, { self: this.#client.session, offers });
    this.#bySession.set(info.session, peer);
    this.#changed(peer);
  }

  /** The former server process has lost its relays and the messages that it had not yet forwarded. @param {Peer} peer */
  async #recover(peer) {
    const link = insideOf(peer);
    if (link.isOffering || !link.isConnected) await link.restart({ lost: true });
    else if (peer.path?.kind === 'relayed') await link.restart();
  }

  /**
   * @param {Peer} peer
   * @param {number} patience
   */
  #await(peer, patience) {
    this.#stopWaiting(peer);
    this.#awaited.set(peer, setTimeout(() => this.remove(peer.session, 'gone'), patience));
    this.away(peer.session);
  }

  /** @param {Peer} peer */
  #stopWaiting(peer) {
    clearTimeout(this.#awaited.get(peer));
    this.#awaited.delete(peer);
  }

  /**
   * @param {Peer} peer
   * @param {boolean} fresh
   */
  #isBack(peer, fresh) {
    if (!peer.away && !fresh) return;
    insideOf(peer).away = false;
    emit(this.#room, 'peer-back', { peer, fresh });
    this.#changed(peer);
  }

  /** @param {Peer} peer */
  #changed(peer) {
    changed(peer);
    if (this.peers.get(peer.id) === peer) emit(this.#room, 'peer-changed', { peer });
  }

  get speaker() {
    return this.#speaker.peer;
  }

  /** Must be called again and again, to know who speaks. */
  listen() {
    if (!this.#speaker.look(this.peers.values())) return;
    this.#limit();
    emit(this.#room, 'speaker', { peer: this.speaker });
  }

  /** What each of them gets, and of whom we want a picture, depends on how many they are. */
  #limit() {
    const people = [...this.peers.values()].filter((peer) => insideOf(peer).hasConnection).length + 1;
    for (const peer of this.peers.values()) insideOf(peer).limit(people, people <= ALL_SEEN || peer === this.speaker);
  }

  /** @param {Tracks} tracks that all of them get */
  async share(tracks) {
    await Promise.all([...this.peers.values()].map((peer) => insideOf(peer).share(tracks)));
  }

  /**
   * @param {Peer} peer
   * @param {string} reason
   */
  #drop(peer, reason) {
    this.peers.delete(peer.id);
    this.#bySession.delete(peer.session);
    this.#orphans.delete(peer);
    this.#stopWaiting(peer);
    const link = insideOf(peer);
    link.close();
    this.#limit();
    if (UNREACHED.has(reason) && this.#chats.size < MAX_CHATS) this.#chats.set(peer.user, link.chat);
    afterEvents(this.#room, () => release(peer)); // Nobody listens to it after `peer-left`.
    emit(this.#room, 'peer-left', { peer, reason });
  }
}
