// @ts-check
import { Chat } from './chat.js';
import { Peer } from './peer.js';
import { HOME } from './tickets.js';

/**
 * @import { KeptChat } from './chat.js'
 * @import { Client } from './client.js'
 * @import { PeerInfo } from './messages.js'
 * @import { Room } from './room.js'
 */

/** Reasons of `peer-left` that say something of the peer's way to the server, and nothing of its way to us. */
const UNREACHED = new Set(['gone', 'slow', 'shutdown']);
const MAX_CHATS = 32;

/**
 * Who is in a room with us. The server's word is not all that counts: a peer whose session has ended because the server could not
 * reach it stays for as long as its media reaches us, and takes its place again when its user comes back.
 */
export class Roster {
  /** @type {Map<string, Peer>} by session */
  peers = new Map();
  #client;
  #room;
  /** @type {Set<Peer>} whose session has ended while their connection works */
  #orphans = new Set();
  /** @type {Map<Peer, ReturnType<typeof setTimeout>>} who were here before the server was started again */
  #awaited = new Map();
  /** @type {Map<string, Chat>} with users who were lost; what was said to them arrives if they come back */
  #chats = new Map();

  /**
   * @param {Client} client
   * @param {Room} room that tells of what happens
   */
  constructor(client, room) {
    this.#client = client;
    this.#room = room;
  }

  /**
   * We have entered: those who were here before us get an offer.
   *
   * @param {PeerInfo[]} infos
   * @param {boolean} anew under another session than before
   */
  entered(infos, anew) {
    const sessions = new Map(infos.map((info) => [info.session, info]));
    if (anew) {
      for (const peer of [...this.peers.values()]) {
        const info = sessions.get(peer.session);
        if (info) peer.renew(info, { self: this.#client.session, offers: true });
        else this.remove(peer.session, 'gone');
      }
    }
    for (const info of infos) this.add(info, { offers: true });
  }

  /**
   * The server was started again, and we are back in the room with those who are back already.
   *
   * @param {PeerInfo[]} infos
   * @param {number} patience milliseconds to wait for the others
   */
  restored(infos, patience) {
    this.awaitAllBut(infos, patience);
    for (const { session } of infos) {
      const peer = this.peers.get(session);
      if (peer) this.#recover(peer);
    }
    for (const info of infos) this.add(info, { offers: true });
  }

  /**
   * @param {PeerInfo[]} infos of those who are back
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
    const known = this.peers.get(info.session);
    if (known) return this.back(info.session, false);
    const orphan = [...this.#orphans].find(({ user }) => user === info.user);
    if (orphan) return this.#adopt(orphan, info, offers);
    const client = this.#client;
    const peer = new Peer(info, {
      self: client.session,
      offers,
      RTCPeerConnection: client.options.RTCPeerConnection ?? RTCPeerConnection,
      iceServers: client.iceServers,
      media: this.#room.media,
      home: new URL('/', client.options.url ?? HOME),
      chat: this.#chatWith(info),
      send: (to, negotiated) => client.send({ type: 'signal', room: this.#room.id, to, ...negotiated }),
    });
    peer.on('message', ({ detail }) => this.#room.emit('message', { peer, ...detail }));
    peer.on('state', ({ detail }) => {
      if (this.#orphans.has(peer) && !peer.isConnected) this.#drop(peer, 'gone');
      else if (detail === 'disconnected') client.doubt(peer);
    });
    this.peers.set(info.session, peer);
    this.#room.emit('peer-joined', { peer });
  }

  /**
   * @param {string} session
   * @param {string} reason
   */
  remove(session, reason) {
    const peer = this.peers.get(session);
    if (!peer) return;
    if (!UNREACHED.has(reason) || !peer.isConnected) return this.#drop(peer, reason);
    this.#orphans.add(peer);
    this.away(session);
  }

  /** @param {string} session whom the server does not reach */
  away(session) {
    const peer = this.peers.get(session);
    if (!peer || peer.away) return;
    peer.away = true;
    this.#room.emit('peer-away', { peer });
  }

  /**
   * @param {string} session
   * @param {boolean} fresh its page was loaded anew, and makes an offer as a newcomer does
   */
  back(session, fresh) {
    const peer = this.peers.get(session);
    if (!peer) return;
    if (fresh) peer.renew(peer, { self: this.#client.session, offers: false });
    else if (this.#awaited.has(peer) && peer.isOffering) peer.restart({ lost: true });
    this.#stopWaiting(peer);
    this.#isBack(peer, fresh);
  }

  /** @param {string} reason */
  clear(reason) {
    for (const peer of [...this.peers.values()]) this.#drop(peer, reason);
  }

  /** @returns {[session: string, chat: KeptChat][]} */
  get chats() {
    return [...this.peers.values()].map((peer) => [peer.session, peer.chat.kept]);
  }

  /** @param {PeerInfo} info */
  #chatWith({ session, user }) {
    const chat = this.#chats.get(user) ?? new Chat(this.#client.takeChat(this.#room.id, session));
    this.#chats.delete(user);
    return chat;
  }

  /**
   * Under its new session, the user of an orphan takes its place.
   *
   * @param {Peer} orphan
   * @param {PeerInfo} info
   * @param {boolean} offers
   */
  #adopt(orphan, info, offers) {
    this.#orphans.delete(orphan);
    this.peers.delete(orphan.session);
    orphan.renew(info, { self: this.#client.session, offers });
    this.peers.set(info.session, orphan);
    this.#isBack(orphan, true);
  }

  /** What the former process had not yet forwarded is lost, and so are its relays. @param {Peer} peer */
  async #recover(peer) {
    if (peer.isOffering || !peer.isConnected) return peer.restart({ lost: true });
    const path = await peer.path().catch(() => undefined);
    if (path?.kind === 'relayed') await peer.restart();
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
    peer.away = false;
    this.#room.emit('peer-back', { peer, fresh });
  }

  /**
   * @param {Peer} peer
   * @param {string} reason
   */
  #drop(peer, reason) {
    this.peers.delete(peer.session);
    this.#orphans.delete(peer);
    this.#stopWaiting(peer);
    peer.close();
    if (UNREACHED.has(reason) && this.#chats.size < MAX_CHATS) this.#chats.set(peer.user, peer.chat);
    this.#room.emit('peer-left', { peer, reason });
  }
}
