// @ts-check
import { MAX_TEXT } from './chat.js';
import { Emitter } from './emitter.js';
import { TurnpikeError } from './error.js';
import { Roster } from './roster.js';

/**
 * @import { Client } from './client.js'
 * @import { PeerInfo, RoomState, Signal } from './messages.js'
 * @import { Media } from './negotiation.js'
 * @import { Peer } from './peer.js'
 *
 * @typedef {object} RoomEvents
 * @property {{ peer: Peer }} peer-joined
 * @property {{ peer: Peer, reason: string }} peer-left reason: leave, hangup, bye, gone, slow, bad-message, shutdown, kicked
 * @property {{ peer: Peer }} peer-away the server does not reach it; media may go on, and chat waits
 * @property {{ peer: Peer, fresh: boolean }} peer-back fresh: it comes with a new connection, such as after a reload
 * @property {{ peer: Peer, text: string, at: Date }} message chat
 * @property {{ reason: string }} left we are out for good: `leave`, `hangup`, `kicked`, or the code of what hindered our return
 * @property {{ session: string }} host somebody else is host now, perhaps we: see `isHost`
 * @property {{ by: string }} locked nobody can come in any more; `by` is a session
 * @property {{ by: string }} unlocked
 * @property {{ peer: PeerInfo }} knock somebody waits to be let in; told to those who moderate, as are all in `knocks`
 * @property {{ peer: PeerInfo, outcome: KnockOutcome }} knock-over they wait no more
 *
 * @typedef {'admitted' | 'refused' | 'over'} KnockOutcome over: they gave up, were cut off, or were kicked
 */

/**
 * A room that we are in, and the peers in it. Both outlive lost connections and reloaded pages.
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
   * @param {RoomState} joined
   */
  constructor(client, joined) {
    super();
    this.#client = client;
    this.#session = client.session;
    this.id = joined.room;
    this.size = joined.size;
    /** The session that is host; '' in a call's room, which has none. */
    this.host = '';
    this.locked = false;
    /** Whether newcomers wait to be let in. */
    this.hasWaitingRoom = false;
    /** @type {Map<string, PeerInfo>} who waits to be let in, by session; empty for those who do not moderate */
    this.knocks = new Map();
    /** For Client. */
    this.roster = new Roster(client, this);
    /** @type {Map<string, Peer>} by session */
    this.peers = this.roster.peers;
    /** @type {Media} */
    this.media = { audio: null, video: null };
  }

  get isLeft() {
    return this.#left;
  }

  get isHost() {
    return this.host !== '' && this.host === this.#client.session;
  }

  /** Whether we may lock, kick and let in: as the host, or by our role. */
  get moderates() {
    return this.isHost || (this.host !== '' && ['moderator', 'admin'].includes(this.#client.role));
  }

  /** Lets nobody in any more, but moderators. @throws {TurnpikeError} `not-host` */
  async lock() {
    await this.#client.request({ type: 'lock', room: this.id });
  }

  /** Lets everybody in again. @throws {TurnpikeError} `not-host` */
  async unlock() {
    await this.#client.request({ type: 'unlock', room: this.id });
  }

  /**
   * Takes a peer's user out, who cannot come back for as long as the room lives.
   *
   * @param {string} session of a peer
   * @throws {TurnpikeError} `not-host`, `forbidden`, `not-in-room`
   */
  async kick(session) {
    await this.#client.request({ type: 'kick', room: this.id, session });
  }

  /**
   * Lets somebody in who waits.
   *
   * @param {string} session of `knocks`
   * @throws {TurnpikeError} `not-host`, `full`, `not-in-room` if they wait no more
   */
  async admit(session) {
    await this.#client.request({ type: 'admit', room: this.id, session });
  }

  /**
   * Sends somebody away who waits.
   *
   * @param {string} session of `knocks`
   * @throws {TurnpikeError} `not-host`, `not-in-room` if they wait no more
   */
  async refuse(session) {
    await this.#client.request({ type: 'refuse', room: this.id, session });
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
   * @throws {TurnpikeError} `too-long`, or `slow` if there are peers and none takes it; if some do not, they have an `error` event
   */
  sendMessage(text) {
    if (text.length > MAX_TEXT) throw new TurnpikeError('too-long', `A message may have ${MAX_TEXT} characters.`);
    const message = { text, at: new Date() };
    const peers = [...this.peers.values()];
    const missed = peers.filter((peer) => !said(peer, message));
    if (missed.length > 0 && missed.length === peers.length) throw new TurnpikeError('slow', 'Nobody receives.');
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

  /** @param {RoomState} joined the others; those that we do not know yet are new */
  update(joined) {
    this.size = joined.size;
    this.roster.entered(joined.peers, this.#session !== this.#client.session);
    this.#session = this.#client.session;
    this.#moderated(joined);
  }

  /** @param {RoomState} state */
  #moderated(state) {
    this.hasWaitingRoom = !!state.waiting;
    this.setHost(state.host ?? '');
    if (this.locked !== !!state.locked) this.setLocked(!!state.locked, '');
    this.#setKnocks(state.knocks ?? []);
  }

  /** @param {string} session */
  setHost(session) {
    if (this.host === session) return;
    this.host = session;
    this.emit('host', { session });
  }

  /**
   * @param {boolean} locked
   * @param {string} by a session; '' if it happened while we were away
   */
  setLocked(locked, by) {
    this.locked = locked;
    this.emit(locked ? 'locked' : 'unlocked', { by });
  }

  /** @param {PeerInfo} peer */
  addKnock(peer) {
    if (this.knocks.has(peer.session)) return;
    this.knocks.set(peer.session, peer);
    this.emit('knock', { peer });
  }

  /**
   * @param {string} session
   * @param {KnockOutcome} outcome
   */
  removeKnock(session, outcome) {
    const peer = this.knocks.get(session);
    if (!peer) return;
    this.knocks.delete(session);
    this.emit('knock-over', { peer, outcome });
  }

  /** @param {PeerInfo[]} knocks */
  #setKnocks(knocks) {
    const now = new Set(knocks.map(({ session }) => session));
    for (const session of [...this.knocks.keys()]) {
      if (!now.has(session)) this.removeKnock(session, 'over');
    }
    for (const peer of knocks) this.addKnock(peer);
  }

  /**
   * The server was started again, and we are in the room.
   *
   * @param {RoomState} state
   * @param {number} patience milliseconds to wait for others to come back
   */
  restored(state, patience) {
    this.size = state.size;
    this.roster.restored(state.peers, patience);
    this.#moderated(state);
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
    this.roster.clear(reason);
    this.#client.roomEnded(this.id, reason);
    this.emit('left', { reason });
  }
}

/**
 * @param {Peer} peer
 * @param {{ text: string, at: Date }} message
 * @returns {boolean} whether the peer takes it, which is none of the others' business
 */
function said(peer, message) {
  try {
    peer.sendMessage(message);
    return true;
  } catch (error) {
    peer.emit('error', error);
    return false;
  }
}
