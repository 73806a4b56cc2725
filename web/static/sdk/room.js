// @ts-check
import { Emitter } from './emitter.js';
import { TurnpikeError } from './error.js';
import { MAX_TEXT, Peer } from './peer.js';
import { HOME } from './tickets.js';

/**
 * @import { Client } from './client.js'
 * @import { Joined, PeerInfo, Signal } from './messages.js'
 * @import { Media } from './peer.js'
 *
 * @typedef {object} RoomEvents
 * @property {{ peer: Peer }} peer-joined
 * @property {{ peer: Peer, reason: string }} peer-left reason: leave, hangup, bye, gone, slow, bad-message, shutdown
 * @property {{ peer: Peer, text: string, at: Date }} message chat
 * @property {{ reason: string }} left we are out for good: `leave`, `hangup`, or the code of what hindered our return
 */

/**
 * A room that we are in, and the peers in it. After a lost connection the client enters it again; the peers are new
 * ones then.
 *
 * @extends {Emitter<RoomEvents>}
 */
export class Room extends Emitter {
  #client;
  #left = false;
  /** Our own session when the peers were met; another one has to meet them anew. */
  #session;

  /**
   * @param {Client} client
   * @param {Joined} joined
   */
  constructor(client, joined) {
    super();
    this.#client = client;
    this.#session = client.session;
    this.id = joined.room;
    this.size = joined.size;
    /** @type {Map<string, Peer>} by session */
    this.peers = new Map();
    /** @type {Media} */
    this.media = { audio: null, video: null };
  }

  get isLeft() {
    return this.#left;
  }

  /**
   * Sets what every peer gets from us, now and later: tracks, or null to send nothing of that kind. Call it again when
   * a track's `enabled` changes, so that the others are told.
   *
   * @param {Media} media
   */
  async share(media) {
    this.media = { ...media };
    await Promise.all([...this.peers.values()].map((peer) => peer.share(media)));
  }

  /**
   * Sends chat text to every peer in the room. It goes from peer to peer, never through the server's signaling.
   *
   * @param {string} text
   * @returns {{ text: string, at: Date }}
   */
  sendMessage(text) {
    if (text.length > MAX_TEXT) throw new TurnpikeError('too-long', `A message may have ${MAX_TEXT} characters.`);
    const message = { text, at: new Date() };
    for (const peer of this.peers.values()) peer.sendMessage(message);
    return message;
  }

  /** Leaves, and resolves when the server knows. */
  async leave() {
    if (this.#left) return;
    const told = this.#client.request({ type: 'leave', room: this.id });
    this.end('leave');
    await told.catch(() => {}); // A lost connection leaves too, and `not-in-room` is what we want.
  }

  // What follows is for Client.

  /** @param {Joined} joined the others; those that we do not know yet are new */
  update(joined) {
    this.size = joined.size;
    if (this.#session !== this.#client.session) this.removePeers('gone');
    this.#session = this.#client.session;
    for (const info of joined.peers) this.addPeer(info);
  }

  /** @param {PeerInfo} info */
  addPeer(info) {
    if (this.peers.has(info.session)) return;
    const peer = new Peer(info, {
      self: this.#client.session,
      RTCPeerConnection: this.#client.options.RTCPeerConnection ?? RTCPeerConnection,
      iceServers: this.#client.iceServers,
      media: this.media,
      home: new URL('/', this.#client.options.url ?? HOME),
      send: (negotiation) => this.#client.send({ type: 'signal', room: this.id, to: info.session, ...negotiation }),
    });
    peer.on('message', ({ detail }) => this.emit('message', { peer, ...detail }));
    this.peers.set(info.session, peer);
    this.emit('peer-joined', { peer });
  }

  /**
   * @param {string} session
   * @param {string} reason
   */
  removePeer(session, reason) {
    const peer = this.peers.get(session);
    if (!peer) return;
    this.peers.delete(session);
    peer.close();
    this.emit('peer-left', { peer, reason });
  }

  /** @param {string} reason */
  removePeers(reason) {
    for (const session of [...this.peers.keys()]) this.removePeer(session, reason);
  }

  /** @param {Signal} signal */
  receive(signal) {
    this.peers.get(signal.from)?.receive(signal);
  }

  /** @param {string} reason */
  end(reason) {
    if (this.#left) return;
    this.#left = true;
    this.#client.rooms.delete(this.id);
    this.removePeers(reason);
    this.emit('left', { reason });
  }
}
