// @ts-check
import { abortable } from '../abortable.js';
import { Emitter, changed, describe, emit, hold, pick, report } from '../emitter.js';
import { chatMessage, slow } from '../peer/chat.js';
import { insideOf as linkOf } from '../peer/peer.js';
import { Roster } from './roster.js';
import { byConnection, receiversOf, sendTo } from './sending.js';
import { sayChat } from './saying.js';
import { Sharing } from './sharing.js';

/**
 * @import { Unsubscribe } from '../emitter.js'
 * @import { ClientOptions } from '../options.js'
 * @import { PeerChat } from '../peer/chat.js'
 * @import { Peer, PeerSnapshot } from '../peer/peer.js'
 * @import { Share, Source, Tracks } from '../peer/sources.js'
 * @import { ClientMessage, Limits, PeerInfo, RoomState, ServerMessage, Signal } from '../server/messages.js'
 * @import { Call } from './call.js'
 * @import { RoomSendOptions } from './sending.js'
 * @import { SharingReason } from './sharing.js'
 *
 * @typedef {object} RoomClient what rooms and calls need of their Client
 * @property {string} session our own
 * @property {string} role
 * @property {RTCIceServer[]} iceServers
 * @property {Limits | undefined} limits
 * @property {Pick<ClientOptions, 'url' | 'rtc' | 'media'>} options
 * @property {Map<string, Room>} rooms by id
 * @property {Map<string, Call>} calls by id
 * @property {(message: ClientMessage) => void} send
 * @property {(message: ClientMessage, signal?: AbortSignal) => Promise<any>} request resolves with the answer
 * @property {(room: string, reason: string) => void} roomEnded
 * @property {(room: string, reason: string) => void} leftRoom we are out of it
 * @property {() => void} changed the snapshot of the client is another one
 * @property {(peer: Peer) => void} doubt
 * @property {(room: string) => Map<string, PeerChat>} claimChats of the page before this one, by session or user
 *
 * @typedef {{ signal?: AbortSignal }} Abortable `signal` gives up waiting for the answer
 *
 * @typedef {object} RoomEvents
 * @property {{ peer: Peer }} peer-joined
 * @property {{ peer: Peer, reason: string }} peer-left reason: leave, hangup, bye, gone, slow, bad-message, shutdown, kicked
 * @property {{ peer: Peer }} peer-away the server cannot reach the peer; media may go on, and chat waits
 * @property {{ peer: Peer, fresh: boolean }} peer-back fresh: with a new connection, for example after a reload
 * @property {{ peer: Peer, former: string }} peer-renamed the peer has another name than the former one
 * @property {{ peer: Peer }} peer-changed the peer's state, path, name or sources are others, or whether it is away
 * @property {{ source: Source, reason: SharingReason }} sources what we share has changed, perhaps by itself
 * @property {{ peer: Peer, text: string, at: Date }} message chat
 * @property {{ peer: Peer, text: string, at: Date }} delivered the peer has this message of ours
 * @property {{ peer: Peer, data: unknown, topic: string }} data that a peer has sent to us, or to the room
 * @property {{ reason: string }} left we are out for good; reason: `leave`, `hangup`, `kicked`, `returned` (its people are back after a restart, and we came before them), or the code of the error that prevented our return
 * @property {{ peer: Peer | undefined }} speaker another peer speaks now
 * @property {{ host: Peer | 'me' | undefined }} host there is another host now
 * @property {{ by: Peer | 'me' | undefined }} locked nobody can join any more; `by` is undefined if it happened while we were away
 * @property {{ by: Peer | 'me' | undefined }} unlocked
 * @property {{ peer: PeerInfo }} knock somebody waits to be let in, and is in `knocks`; only moderators learn of it
 * @property {{ peer: PeerInfo }} knock-renamed they have another name
 * @property {{ peer: PeerInfo, outcome: KnockOutcome }} knock-over they no longer wait
 *
 * Of one moment.
 * @typedef {Readonly<{
 *   id: string, size: number, locked: boolean, hasWaitingRoom: boolean, host: Peer | 'me' | undefined, isHost: boolean, isLeft: boolean,
 *   speaker: Peer | undefined,
 *   sources: Tracks, peers: readonly PeerSnapshot[], knocks: readonly PeerInfo[],
 * }>} RoomSnapshot
 *
 * @typedef {object} RoomInside
 * @property {Roster} roster
 * @property {(joined: RoomState) => void} update lists the others; those that we do not know yet are new
 * @property {(state: RoomState, patience: number) => void} restored the server has restarted, and has put us into the room
 * @property {(signal: Signal) => void} receive
 * @property {(message: ServerMessage) => void} moderate applies news about the host, the lock, names or the waiting room
 * @property {(reason: string) => void} end
 *
 * @typedef {'admitted' | 'refused' | 'over'} KnockOutcome over: they gave up, lost the connection, or were kicked
 */

/**
 * What only the SDK may do with a room.
 *
 * @type {(room: Room) => RoomInside}
 */
export let insideOf;

/**
 * A room that we are in, and the peers in it. Both outlive lost connections and reloaded pages.
 *
 * @extends {Emitter<RoomEvents, RoomSnapshot>}
 */
export class Room extends Emitter {
  #client;
  #roster;
  #left = false;
  #sharing = new Sharing((source, reason) => this.#sharingChanged(source, reason));
  /** The session that is host; '' in a call's room, which has none. */
  #host;
  /** Our own session when we met the peers. Under another session we must meet them anew. */
  #session;

  static {
    insideOf = (room) => ({
      roster: room.#roster,
      update: (joined) => room.#update(joined),
      restored: (state, patience) => room.#restored(state, patience),
      receive: (signal) => room.#receive(signal),
      moderate: (message) => room.#moderate(message),
      end: (reason) => room.#end(reason),
    });
  }

  /**
   * @internal
   * @param {RoomClient} client
   * @param {RoomState} joined
   */
  constructor(client, joined) {
    super();
    hold(this);
    this.#client = client;
    this.#session = client.session;
    this.id = joined.room;
    this.size = joined.size;
    this.#host = joined.host ?? '';
    /** Whether nobody can join, except moderators. */
    this.locked = !!joined.locked;
    /** Whether newcomers wait to be let in. */
    this.hasWaitingRoom = !!joined.waiting;
    /** Whether we have made the room, by joining it first. */
    this.created = joined.host === client.session && joined.peers.length === 0;
    /** @type {Map<string, PeerInfo>} the people who wait to be let in, by session; empty unless we moderate */
    this.knocks = new Map((joined.knocks ?? []).map((peer) => [peer.session, peer]));
    this.#roster = new Roster(client, this);
    /** @type {ReadonlyMap<string, Peer>} by the `id` of the peer */
    this.peers = this.#roster.peers;
    describe(this, () => this.#describe());
  }

  /** @returns {RoomSnapshot} */
  #describe() {
    return {
      ...pick(this, 'id', 'size', 'locked', 'hasWaitingRoom', 'host', 'isHost', 'isLeft', 'speaker', 'sources'),
      peers: Object.freeze([...this.peers.values()].map((peer) => peer.snapshot)),
      knocks: Object.freeze([...this.knocks.values()]),
    };
  }

  get isLeft() {
    return this.#left;
  }

  /** @returns {Peer | 'me' | undefined} undefined in a call's room, which has none, and if the host left just now */
  get host() {
    return this.#who(this.#host);
  }

  get isHost() {
    return this.host === 'me';
  }

  /** @returns {Peer | undefined} the peer who speaks, or was the last to speak. With more than eight people, only its camera is sent to us */
  get speaker() {
    return this.#roster.speaker;
  }

  /** Whether we may lock, kick and let people in: as the host, or by our role. */
  get moderates() {
    return this.isHost || (this.#host !== '' && ['moderator', 'admin'].includes(this.#client.role));
  }

  /**
   * Calls the handler for every peer: at once for those who are there, and later for those who come.
   *
   * @param {(peer: Peer, gone: AbortSignal) => void} handler `gone` aborts when the peer has left, and after the unsubscribing
   * @returns {Unsubscribe}
   */
  eachPeer(handler) {
    /** @type {Map<Peer, AbortController>} */
    const met = new Map();
    /** @param {Peer} peer */
    const meet = (peer) => {
      if (met.has(peer) || this.peers.get(peer.id) !== peer) return;
      const gone = new AbortController();
      met.set(peer, gone);
      try {
        handler(peer, gone.signal);
      } catch (error) {
        report(error);
      }
    };
    /** @param {Peer} peer */
    const part = (peer) => {
      met.get(peer)?.abort();
      met.delete(peer);
    };
    const ends = [this.on('peer-joined', ({ peer }) => meet(peer)), this.on('peer-left', ({ peer }) => part(peer))];
    for (const peer of [...this.peers.values()]) meet(peer);
    return () => {
      for (const end of ends) end();
      for (const peer of [...met.keys()]) part(peer);
    };
  }

  /** Lets nobody join any more, except moderators. @param {Abortable} [options] @throws {TurnpikeError} `not-host` */
  async lock({ signal } = {}) {
    await this.#client.request({ type: 'lock', room: this.id }, signal);
  }

  /** Lets everybody join again. @param {Abortable} [options] @throws {TurnpikeError} `not-host` */
  async unlock({ signal } = {}) {
    await this.#client.request({ type: 'unlock', room: this.id }, signal);
  }

  /**
   * Removes a peer's user, who cannot come back as long as the room exists.
   *
   * @param {Pick<Peer, 'session'>} peer
   * @param {Abortable} [options]
   * @throws {TurnpikeError} `not-host`, `forbidden`, `not-in-room`
   */
  async kick({ session }, { signal } = {}) {
    await this.#client.request({ type: 'kick', room: this.id, session }, signal);
  }

  /**
   * Lets somebody in who knocks.
   *
   * @param {Pick<PeerInfo, 'session'>} knock one of `knocks`
   * @param {Abortable} [options]
   * @throws {TurnpikeError} `not-host`, `full`, `not-in-room` if they no longer wait
   */
  async admit({ session }, { signal } = {}) {
    await this.#client.request({ type: 'admit', room: this.id, session }, signal);
  }

  /**
   * Sends somebody away who knocks.
   *
   * @param {Pick<PeerInfo, 'session'>} knock one of `knocks`
   * @param {Abortable} [options]
   * @throws {TurnpikeError} `not-host`, `not-in-room` if they no longer wait
   */
  async refuse({ session }, { signal } = {}) {
    await this.#client.request({ type: 'refuse', room: this.id, session }, signal);
  }

  /** The tracks that we share, by source; null where there is none. */
  get sources() {
    return this.#sharing.tracks;
  }

  /**
   * Shares tracks with every peer, now and later. A source that is left out stays as it is, and null stops it. A track that
   * ends by itself is not shared any more.
   *
   * @param {Share} share such as `{camera: track, microphone: null}`, or the MediaStream of a camera and a microphone
   * @throws {TypeError} if it is anything else; nothing is changed then
   */
  async share(share) {
    if (this.#sharing.change(share)) await this.#roster.share(this.sources);
    this.#sayTracks(); // An app may have changed `enabled` of a track by itself.
  }

  /**
   * Sets `enabled` of a track that we share, and tells the peers.
   *
   * @param {Source} source
   * @param {boolean} [muted]
   */
  mute(source, muted = true) {
    this.#sharing.mute(source, muted);
  }

  /**
   * @param {Source} source
   * @param {SharingReason} reason
   */
  #sharingChanged(source, reason) {
    if (reason === 'ended') this.#roster.share(this.sources);
    this.#sayTracks();
    emit(this, 'sources', { source, reason });
  }

  #sayTracks() {
    for (const peer of this.peers.values()) linkOf(peer).sayTracks();
  }

  /**
   * Sends chat text to every peer in the room. It goes directly to the peers, and by way of the server only to those who take
   * no part in WebRTC. The event `delivered` tells of each peer who has it. Those who have lost the connection get it if they
   * come back.
   *
   * @param {string} text
   * @param {{ to?: Peer | Peer[] }} [options] to: default all
   * @returns {{ text: string, at: Date, missed: Peer[] }} missed: those who cannot take it, since too much waits for them
   * @throws {TypeError} if it is no text
   * @throws {TurnpikeError} `too-long`, or `slow` if no peer can take it
   */
  sendMessage(text, { to } = {}) {
    const message = chatMessage(text);
    const [peers, others] = byConnection(receiversOf(this, to));
    if (others.length > 0) sayChat(this.#client, this, others, message);
    const missed = peers.filter((peer) => !linkOf(peer).chat.send(message));
    missed.forEach((peer) => emit(peer, 'error', slow()));
    if (missed[0] && missed.length === peers.length + others.length) throw slow();
    if (!to) this.#roster.keep(message);
    return { ...message, missed };
  }

  /**
   * Sends data of your app, which is what JSON can say, or bytes. It goes directly to the peers, and by way of the
   * server to those who take no part in WebRTC, which takes only JSON, and less of it: see `client.limits`. Resolves once there is
   * room for it in the buffers to all of them. Each peer gets it once and in order, over other connections if need be.
   *
   * @param {unknown} data
   * @param {RoomSendOptions} [options]
   * @returns {Promise<{ missed: Peer[] }>} missed: those who do not get it, since they have left or take no data
   */
  send(data, options = {}) {
    return sendTo(this.#client, this, data, options);
  }

  /** Leaves, and resolves when the server knows. @param {Abortable} [options] */
  async leave({ signal } = {}) {
    if (this.#left) return;
    const leaving = this.#client.request({ type: 'leave', room: this.id });
    this.#end('leave');
    await abortable(leaving.catch(() => {}), signal); // A lost connection leaves too, and after `not-in-room` we are out as well.
  }

  /** @param {RoomState} joined lists the others; those that we do not know yet are new */
  #update(joined) {
    this.size = joined.size;
    this.#roster.entered(joined.peers, this.#session !== this.#client.session);
    this.#session = this.#client.session;
    this.#updateModeration(joined);
    changed(this);
  }

  /** @param {RoomState} state */
  #updateModeration(state) {
    this.hasWaitingRoom = !!state.waiting;
    this.#setHost(state.host ?? '');
    if (this.locked !== !!state.locked) this.#setLocked(!!state.locked, '');
    this.#setKnocks(state.knocks ?? []);
  }

  /** Applies news about the host, the lock, names or the waiting room; other messages change nothing. @param {ServerMessage} message */
  #moderate(message) {
    switch (message.type) {
      case 'host': return this.#setHost(message.session);
      case 'locked':
      case 'unlocked': return this.#setLocked(message.type === 'locked', message.by);
      case 'peer-renamed': return this.#renamed(message.session, message.name);
      case 'knock': return this.#addKnock(message.peer);
      case 'knock-over': return this.#removeKnock(message.session, 'over');
      case 'admitted':
      case 'refused': return this.#removeKnock(message.session, message.type);
    }
  }

  /** @param {string} session @returns {Peer | 'me' | undefined} */
  #who(session) {
    return session !== '' && session === this.#client.session ? 'me' : this.#roster.of(session);
  }

  /** @param {string} session */
  #setHost(session) {
    if (this.#host === session) return;
    this.#host = session;
    emit(this, 'host', { host: this.host });
  }

  /**
   * @param {boolean} locked
   * @param {string} by a session; '' if it happened while we were away
   */
  #setLocked(locked, by) {
    this.locked = locked;
    emit(this, locked ? 'locked' : 'unlocked', { by: this.#who(by) });
  }

  /**
   * @param {string} session of a peer, or of somebody who waits
   * @param {string} name
   */
  #renamed(session, name) {
    this.#roster.renamed(session, name);
    const knock = this.knocks.get(session);
    if (!knock) return;
    const peer = { ...knock, name };
    this.knocks.set(session, peer);
    emit(this, 'knock-renamed', { peer });
  }

  /** @param {PeerInfo} peer */
  #addKnock(peer) {
    if (this.knocks.has(peer.session)) return;
    this.knocks.set(peer.session, peer);
    emit(this, 'knock', { peer });
  }

  /**
   * @param {string} session
   * @param {KnockOutcome} outcome
   */
  #removeKnock(session, outcome) {
    const peer = this.knocks.get(session);
    if (!peer) return;
    this.knocks.delete(session);
    emit(this, 'knock-over', { peer, outcome });
  }

  /** @param {PeerInfo[]} knocks */
  #setKnocks(knocks) {
    const now = new Set(knocks.map(({ session }) => session));
    for (const session of [...this.knocks.keys()]) {
      if (!now.has(session)) this.#removeKnock(session, 'over');
    }
    for (const peer of knocks) this.#addKnock(peer);
  }

  /**
   * The server has restarted, and has put us into the room.
   *
   * @param {RoomState} state
   * @param {number} patience milliseconds to wait for the others to come back
   */
  #restored(state, patience) {
    this.size = state.size;
    this.#roster.restored(state.peers, patience);
    this.#updateModeration(state);
  }

  /** @param {Signal} signal */
  #receive(signal) {
    const peer = this.#roster.of(signal.from);
    if (peer) linkOf(peer).receive(signal).catch((error) => emit(peer, 'error', error)); // It comes from the peer.
  }

  /** @param {string} reason */
  #end(reason) {
    if (this.#left) return;
    this.#left = true;
    this.#sharing.stop();
    this.#client.rooms.delete(this.id);
    this.#roster.clear(reason);
    this.#client.roomEnded(this.id, reason);
    emit(this, 'left', { reason });
  }
}
