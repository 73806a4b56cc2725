// @ts-check
import { emit, report } from '../emitter.js';
import { controlOf } from './channel.js';
import { Channels } from './channels.js';
import { chatIn } from './chat.js';
import { PeerData } from './data.js';
import { transmit } from './line.js';
import { Negotiation } from './negotiation.js';
import { pathOf, relayedAddressOf, signsOfLife } from './path.js';
import { announcedIn, fillStream, receivedOn, sourcesOn } from './receivers.js';
import { MAX_BUFFERED_BYTES } from './queue.js';
import { RelayStatus } from './relay.js';
import { ALL_OFF, NO_TRACKS, SOURCES, isOn } from './sources.js';

/**
 * @import { PeerChannel } from './channel.js'
 * @import { PeerChat } from './chat.js'
 * @import { Packed } from './data.js'
 * @import { Sending } from './negotiation.js'
 * @import { Path } from './path.js'
 * @import { Peer } from './peer.js'
 * @import { Announced } from './receivers.js'
 * @import { Negotiated, PeerInfo, Signal } from '../server/messages.js'
 * @import { Source, SourcesOn, Tracks } from './sources.js'
 *
 * @typedef {object} LinkOptions
 * @property {string} self our own session
 * @property {boolean} offers whether we make the first offer, since we came after the peer
 * @property {boolean} [connects] false: one of the two takes no part in WebRTC, and there is no connection
 * @property {typeof RTCPeerConnection} RTCPeerConnection
 * @property {typeof MediaStream} [MediaStream] undefined where there is no media, but data
 * @property {RTCIceServer[]} iceServers
 * @property {RTCIceTransportPolicy} [iceTransportPolicy]
 * @property {(connection: RTCPeerConnection, peer: Peer) => void} [onConnection] called with each connection, before anything is done with it
 * @property {Tracks} [tracks] that we send from the start
 * @property {number} [people] in the room
 * @property {URL} [home] the server, which knows about our relays
 * @property {PeerChat} chat
 * @property {(session: string, negotiated: Negotiated) => void} send to the peer, through the server
 */

/** A path is looked up at every so many checks for signs of life, from the same statistics. */
const PATH_EVERY = 4;

/**
 * What a Peer has inside, for Room and Client: its connection, and the next one while the former still carries everything.
 *
 * The session with the smaller id is polite. signal/PROTOCOL.md says what goes over the data channel.
 */
export class Link {
  #peer;
  #options;
  #relay;
  /** @type {Sending} */
  #sending;
  /** @type {Negotiation | undefined} carries everything; undefined if the peer takes no part in WebRTC */
  #current;
  /** @type {Negotiation | undefined} replaces `#current` once it works */
  #next;
  /** @type {RTCDataChannel | undefined} the last one that opened */
  #channel;
  /** Whether we show the peer's camera. */
  #wanted = true;
  /** What we said last about our tracks, on that channel. */
  #said = '';
  /** @type {WeakMap<Negotiation, Announced>} what the peer says about its tracks, by connection */
  #announced = new WeakMap();
  /** @type {Announced | undefined} on any connection */
  #lastAnnounced;
  #closed = false;
  #checks = 0;
  #data = new PeerData();
  away;
  /** @type {Path | undefined} */
  path;
  /** @type {SourcesOn} */
  sources = ALL_OFF;
  /** Of the app. */
  channels = new Channels((label) => transmit(this.#channel, { type: 'channel-closed', label }));

  /**
   * @param {Peer} peer
   * @param {PeerInfo} info
   * @param {LinkOptions} options
   */
  constructor(peer, info, options) {
    this.#peer = peer;
    this.#options = options;
    const { tracks = NO_TRACKS, people = 2, home, MediaStream } = options;
    this.#sending = { tracks, named: false, people, paused: false };
    this.#relay = home && new RelayStatus(home);
    this.chat = options.chat;
    this.info = info;
    this.away = info.away ?? false;
    // Where there is no MediaStream, as in Node.js, nobody asks for them.
    this.stream = /** @type {MediaStream} */ (MediaStream && new MediaStream());
    this.screen = /** @type {MediaStream} */ (MediaStream && new MediaStream());
  }

  /** Makes the first connection, for which the Peer must be complete: apps get to see both. */
  begin() {
    if (this.#options.connects !== false) this.#current = this.#negotiate(this.#options.offers);
  }

  /** The one that the peer's signals are for. */
  get #newest() {
    return this.#next ?? this.#current;
  }

  get polite() {
    return this.#options.self < this.info.session;
  }

  get hasConnection() {
    return this.#current !== undefined;
  }

  get connection() {
    return this.#current?.connection;
  }

  /** @returns {RTCPeerConnectionState} */
  get state() {
    return this.connection?.connectionState ?? 'new';
  }

  /** Whether media and chat go through at this moment, even if the server cannot reach the peer. */
  get isConnected() {
    return !!this.#current?.isConnected;
  }

  /** Whether an offer of ours waits for its answer. */
  get isOffering() {
    return !!this.#newest?.isOffering;
  }

  /** @param {Tracks} tracks that we send from now on */
  async share(tracks) {
    this.#sending = { ...this.#sending, tracks };
    this.sayTracks();
    await Promise.all([this.#current, this.#next].map((negotiation) => negotiation?.share(tracks)));
  }

  /** How loud the peer's microphone is at this moment, from 0 to 1. */
  get level() {
    if (!this.sources.microphone || !this.isConnected) return 0;
    const receiver = this.connection?.getReceivers?.().find(({ track }) => track.kind === 'audio');
    return receiver?.getSynchronizationSources?.()[0]?.audioLevel ?? 0;
  }

  /**
   * @param {number} people in the room, by which the limits go
   * @param {boolean} wanted whether we want the peer's camera
   */
  limit(people, wanted) {
    this.#wanted = wanted;
    this.#limit(people, this.#sending.paused);
  }

  /**
   * @param {number} people
   * @param {boolean} paused whether the peer does not want our camera
   */
  #limit(people, paused) {
    if (people !== this.#sending.people || paused !== this.#sending.paused) {
      this.#sending = { ...this.#sending, people, paused };
      for (const negotiation of [this.#current, this.#next]) negotiation?.limit(people, paused);
    }
    this.sayTracks();
  }

  /**
   * @param {Packed} packed
   * @param {{ reliable: boolean, signal: AbortSignal | undefined }} options
   */
  async send(packed, { reliable, signal }) {
    if (this.#closed || !this.#current) return false;
    if (reliable) return this.#data.send(packed, signal);
    return this.#data.sendUnreliably(packed, this.isConnected ? this.#current.unreliable : undefined);
  }

  /** @returns {Promise<number | undefined>} grows with everything that comes in from the peer; undefined if unknown */
  async signsOfLife() {
    const { connection } = this;
    if (!connection || this.state === 'closed') return undefined;
    const stats = await connection.getStats();
    if (this.#checks++ % PATH_EVERY === 0 || !this.path) this.#lookUpPath(stats, connection);
    return signsOfLife(stats);
  }

  /** @param {Pick<Signal, 'description' | 'candidate' | 'candidates'>} signal */
  async receive(signal) {
    if (this.#closed) return;
    const isNew = this.#newest?.isForeign(signal.description) && signal.description?.to === undefined;
    if (isNew) this.renew(this.info, { self: this.#options.self, offers: false });
    await this.#newest?.receive(signal);
  }

  /** @param {RTCIceServer[]} iceServers */
  setIceServers(iceServers) {
    this.#options = { ...this.#options, iceServers };
    for (const negotiation of [this.#current, this.#next]) negotiation?.setIceServers(iceServers);
  }

  /**
   * Finds a new path to the peer.
   *
   * @param {object} [options]
   * @param {boolean} [options.lost] messages of the negotiation may have been lost
   */
  async restart(options) {
    await this.#newest?.restart(options);
  }

  /**
   * Makes a new connection after an interruption. A new path for the present connection would be slower: the browser asks
   * again for the packets of the interruption. It waits for them, or shows stale pictures, for seconds. But a program, which
   * is a peer that names its transports, has no pictures, and its streams end with the connection: it gets one when all else
   * has failed.
   *
   * @param {{ lost?: boolean }} [options] as of `restart`, for a peer who keeps the connection
   */
  reconnect(options) {
    if (this.#closed || !this.#current) return;
    if (this.#newest?.isIdentified && (!this.info.transports || options?.lost)) this.#replace(true);
    else this.restart(options);
  }

  /**
   * Makes a new connection, and gives up the former one once the new one works.
   *
   * @param {PeerInfo} info
   * @param {{ self: string, offers: boolean }} options
   */
  renew(info, { self, offers }) {
    if (this.#closed) return;
    this.#options = { ...this.#options, self };
    this.info = info;
    if (!this.#current) return;
    const next = this.#replace(offers);
    if (!this.#current?.isConnected) this.#switchTo(next);
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#current?.close();
    this.#next?.close();
    this.#data.close();
    this.channels.close();
  }

  /** Tells the peer which of our tracks are on. */
  sayTracks() {
    if (this.#channel?.readyState !== 'open') return;
    if (this.#channel.bufferedAmount >= 4 * MAX_BUFFERED_BYTES) return; // A peer who sends and does not read could have it said without end.
    const { tracks: all, named, paused } = this.#sending;
    const tracks = paused ? { ...all, camera: null } : all;
    const { microphone, camera, screen } = tracks;
    const mids = this.#current?.mids ?? new Map();
    /** @type {{ [S in Source]?: string }} */
    const sources = {};
    for (const source of SOURCES) {
      const mid = mids.get(source);
      if (isOn(tracks[source]) && typeof mid === 'string') sources[source] = mid;
    }
    // A peer who knows no screens sees ours in the place of the camera.
    const video = isOn(camera) || (!named && isOn(screen));
    const media = { type: 'media', audio: isOn(microphone), video, sources, data: true, ...(!this.#wanted && { unwanted: ['camera'] }) };
    const said = JSON.stringify(media);
    if (said === this.#said) return;
    this.#said = said;
    transmit(this.#channel, media);
  }

  /** @param {boolean} offers */
  #replace(offers) {
    this.#next?.close();
    this.#next = this.#negotiate(offers);
    return this.#next;
  }

  /** @param {boolean} offers */
  #negotiate(offers) {
    const { RTCPeerConnection, MediaStream, iceServers, iceTransportPolicy, onConnection, send } = this.#options;
    const negotiation = new Negotiation({
      polite: this.polite,
      offers,
      RTCPeerConnection,
      MediaStream,
      configuration: { iceServers, ...(iceTransportPolicy && { iceTransportPolicy }) },
      onConnection: (connection) => {
        try {
          onConnection?.(connection, this.#peer);
        } catch (error) {
          report(error); // Of the app, and no concern of the negotiation.
        }
      },
      sending: this.#sending,
      send: (negotiated) => negotiation === this.#newest && send(this.info.session, negotiated),
    });
    const isCurrent = () => negotiation === this.#current;
    negotiation.on('state', (state) => isCurrent() && this.#stateChanged(state));
    negotiation.on('error', (error) => emit(this.#peer, 'error', error));
    negotiation.on('tracks', () => isCurrent() && this.#showTracks());
    negotiation.on('settled', () => isCurrent() && this.sayTracks());
    negotiation.on('open', (channel) => this.#opened(negotiation, channel));
    negotiation.on('channel', (channel) => this.#channelCame(channel));
    negotiation.on('data', ({ data, channel }) => this.#receiveData(negotiation, data, channel));
    return negotiation;
  }

  /**
   * @param {Negotiation} negotiation
   * @param {RTCDataChannel} channel
   */
  #opened(negotiation, channel) {
    if (negotiation === this.#next) this.#switchTo(negotiation);
    this.#channel = channel;
    this.#said = '';
    this.sayTracks();
    this.chat.open(channel);
    this.#data.open(channel);
    this.channels.openOn(negotiation.connection);
  }

  /** @param {Negotiation} next */
  #switchTo(next) {
    const former = this.#current;
    this.#current = next;
    this.#next = undefined;
    former?.close();
    this.#stateChanged(this.state);
    this.#showTracks();
  }

  /** @param {RTCPeerConnectionState} state */
  #stateChanged(state) {
    emit(this.#peer, 'state', state);
    if (state !== 'connected') this.#setPath(undefined);
  }

  /** An element plays one track of a kind, so the tracks of a former connection are replaced. */
  #showTracks() {
    const { connection } = this;
    if (!connection || !this.stream || this.#closed) return;
    const tracks = receivedOn(connection, this.#current && this.#announced.get(this.#current));
    const { microphone, camera, screen, screenAudio } = tracks;
    const added = [...fillStream(this.stream, [microphone, camera]), ...fillStream(this.screen, [screen, screenAudio])];
    for (const track of added) emit(this.#peer, 'track', track);
    const on = sourcesOn(this.#lastAnnounced, tracks);
    if (SOURCES.every((source) => on[source] === this.sources[source])) return;
    this.sources = on;
    emit(this.#peer, 'sources', on);
  }

  /** @param {PeerChannel} channel of the app, which has just opened it */
  openChannel(channel) {
    if (this.#channel?.readyState === 'open' && this.connection) controlOf(channel).openOn(this.connection);
  }

  /** @param {RTCDataChannel} channel */
  #channelCame(channel) {
    const opened = this.channels.came(channel);
    if (opened) emit(this.#peer, 'channel', { channel: opened });
  }

  /**
   * @param {Negotiation} negotiation
   * @param {unknown} data may be anything, since it comes from the peer
   * @param {RTCDataChannel} channel that it came on
   */
  #receiveData(negotiation, data, channel) {
    const message = parse(data);
    switch (message?.type) {
      case 'media': return this.#mediaAnnounced(negotiation, message);
      case 'chat': {
        const chat = this.chat.receive(message, channel);
        return chat && emit(this.#peer, 'message', chat);
      }
      case 'chat-ack': return this.chat.acknowledged(message).forEach((chat) => emit(this.#peer, 'delivered', chatIn(chat)));
      case 'data':
      case 'data-ack': {
        const received = this.#data.receive(message, channel);
        return received && emit(this.#peer, 'data', received);
      }
      case 'channel-closed': return this.channels.closed(message.label);
    }
  }

  /**
   * @param {Negotiation} negotiation
   * @param {any} message
   */
  #mediaAnnounced(negotiation, message) {
    const announced = announcedIn(message);
    this.#announced.set(negotiation, announced);
    this.#lastAnnounced = announced;
    this.#data.announced(message.data === true);
    this.#limit(this.#sending.people, Array.isArray(message.unwanted) && message.unwanted.includes('camera'));
    if (announced.mids && !this.#sending.named) {
      this.#sending = { ...this.#sending, named: true };
      for (const one of [this.#current, this.#next]) one?.nameTracks();
    }
    this.#showTracks();
  }

  /**
   * @param {RTCStatsReport} stats
   * @param {RTCPeerConnection} connection
   */
  async #lookUpPath(stats, connection) {
    const [path, relayed] = [pathOf(stats), relayedAddressOf(stats)];
    if (path && relayed && this.#relay) {
      const offloaded = await this.#relay.offloaded(relayed, connection.getConfiguration().iceServers ?? []);
      if (offloaded !== undefined) path.offloaded = offloaded;
    }
    if (connection === this.connection) this.#setPath(this.state === 'connected' ? path : undefined);
  }

  /** @param {Path | undefined} path */
  #setPath(path) {
    if (this.#closed || JSON.stringify(path) === JSON.stringify(this.path)) return;
    this.path = path && Object.freeze(path);
    emit(this.#peer, 'path', this.path);
  }
}

/** @param {unknown} data @returns {any} */
function parse(data) {
  try {
    return JSON.parse(String(data));
  } catch {
    return undefined;
  }
}
