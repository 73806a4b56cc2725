// @ts-check
import { Emitter } from './emitter.js';
import { Negotiation } from './negotiation.js';
import { pathOf, relayedAddressOf, signsOfLife } from './path.js';
import { RelayStatus } from './relay.js';

/**
 * @import { Chat, ChatMessage } from './chat.js'
 * @import { Negotiated, PeerInfo, Signal } from './messages.js'
 * @import { Media } from './negotiation.js'
 * @import { Path } from './path.js'
 *
 * @typedef {object} PeerOptions
 * @property {string} self our own session
 * @property {boolean} offers we came after the peer, so the first offer is ours
 * @property {typeof RTCPeerConnection} RTCPeerConnection
 * @property {RTCIceServer[]} iceServers
 * @property {Media} media what we send from the start
 * @property {URL} [home] the server, to be asked about our relays
 * @property {Chat} chat
 * @property {(session: string, negotiated: Negotiated) => void} send to the peer, by way of the server
 *
 * @typedef {object} PeerEvents
 * @property {RTCPeerConnectionState} state
 * @property {MediaStreamTrack} track one of the peer's; all of them are in `peer.stream`
 * @property {{ audio: boolean, video: boolean }} media what the peer says it sends; also in `peer.media`
 * @property {ChatMessage} message chat; `at` by the peer's clock
 * @property {unknown} error a step of the negotiation that failed, or `slow`: what was said to the whole room misses this peer
 */

/**
 * Another session in a room, and the connection with it. The connection may be replaced in the life of a peer: the peer
 * reloads its page, or we or it come back under a new session. Whatever was shared and said goes on then, and the former connection
 * carries it until the next one works.
 *
 * The session with the smaller id is polite. The data channel carries JSON, of which the types `{type: 'media', audio, video}` and
 * those of Chat are known, and others ignored.
 *
 * @extends {Emitter<PeerEvents>}
 */
export class Peer extends Emitter {
  #options;
  #relay;
  /** @type {Media} what we send */
  #sent;
  /** @type {Negotiation} carries media and chat */
  #current;
  /** @type {Negotiation | undefined} is to take over from `#current` */
  #next;
  /** @type {RTCDataChannel | undefined} the last that opened */
  #channel;
  #closed = false;

  /**
   * @param {PeerInfo} info
   * @param {PeerOptions} options
   */
  constructor(info, options) {
    super();
    this.#options = options;
    this.#sent = { ...options.media };
    this.#relay = options.home && new RelayStatus(options.home);
    this.chat = options.chat;
    this.session = info.session;
    this.user = info.user;
    this.name = info.name;
    /** Whether the server cannot reach the peer; what is connected may go on all the same. */
    this.away = info.away ?? false;
    /** The peer's tracks, for a `<video>`'s srcObject. */
    this.stream = new MediaStream();
    /** What the peer says it sends: a muted or missing track still exists on our side. */
    this.media = { audio: false, video: false };
    this.#current = this.#negotiate(options.offers);
  }

  get polite() {
    return this.#options.self < this.session;
  }

  /** The RTCPeerConnection that carries media and chat at this moment. */
  get connection() {
    return this.#current.connection;
  }

  /** @returns {RTCPeerConnectionState} */
  get state() {
    return this.connection.connectionState;
  }

  /**
   * The way that packets take at this moment.
   *
   * @returns {Promise<Path | undefined>} undefined while there is none
   */
  async path() {
    if (this.state === 'closed') return undefined;
    const stats = await this.connection.getStats();
    const [path, relayed] = [pathOf(stats), relayedAddressOf(stats)];
    if (path && relayed && this.#relay) {
      const offloaded = await this.#relay.offloaded(relayed, this.connection.getConfiguration().iceServers ?? []);
      if (offloaded !== undefined) path.offloaded = offloaded;
    }
    return path;
  }

  /**
   * Changes what we send; null sends nothing of that kind. Call it too when a track's `enabled` changes, so that the
   * peer is told.
   *
   * @param {Media} media
   */
  async share(media) {
    this.#sent = { ...media };
    this.#tellMedia();
    await Promise.all([this.#current, this.#next].map((negotiation) => negotiation?.share(media)));
  }

  /**
   * Sends chat text. It arrives once, at once or as soon as the peer can be reached.
   *
   * @param {ChatMessage} message
   * @throws {import('./error.js').TurnpikeError} `slow` if too much waits already
   */
  sendMessage(message) {
    this.chat.send(message);
  }

  // What follows is for Room and Client.

  /** Whether media and chat go through at this moment, whatever the server knows of the peer. */
  get isConnected() {
    return this.#current.isConnected;
  }

  /** Whether an offer of ours waits for its answer. */
  get isOffering() {
    return (this.#next ?? this.#current).isOffering;
  }

  /** @returns {Promise<number | undefined>} grows with whatever comes in from the peer; undefined if that cannot be known */
  async signsOfLife() {
    return this.state === 'closed' ? undefined : signsOfLife(await this.connection.getStats());
  }

  /** @param {Pick<Signal, 'description' | 'candidate' | 'candidates'>} signal */
  async receive(signal) {
    const negotiation = this.#next ?? this.#current;
    const isNew = negotiation.isForeign(signal.description) && signal.description?.to === undefined;
    if (isNew) this.renew(this, { self: this.#options.self, offers: false });
    await (this.#next ?? this.#current).receive(signal);
  }

  /** @param {RTCIceServer[]} iceServers */
  setIceServers(iceServers) {
    this.#options = { ...this.#options, iceServers };
    for (const negotiation of [this.#current, this.#next]) {
      negotiation?.connection.setConfiguration({ ...negotiation.connection.getConfiguration(), iceServers });
    }
  }

  /**
   * Finds a new way to the peer.
   *
   * @param {object} [options]
   * @param {boolean} [options.lost] what was said in the negotiation may have been lost
   */
  restart(options) {
    return (this.#next ?? this.#current).restart(options);
  }

  /**
   * Connects anew after an interruption. That is faster than a new path for the connection that there is: by such a path the packets
   * of the interruption are asked for again, and browsers wait for them, or show stale pictures, for seconds.
   */
  reconnect() {
    if ((this.#next ?? this.#current).isIdentified) this.#replace(true);
    else this.restart();
  }

  /**
   * Makes a new connection, and gives the former one up once that works.
   *
   * @param {PeerInfo} info
   * @param {{ self: string, offers: boolean }} options
   */
  renew(info, { self, offers }) {
    this.#options = { ...this.#options, self };
    this.session = info.session;
    this.user = info.user;
    this.name = info.name;
    const next = this.#replace(offers);
    if (!this.#current.isConnected) this.#takeOver(next);
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#current.close();
    this.#next?.close();
  }

  /** @param {boolean} offers */
  #replace(offers) {
    this.#next?.close();
    this.#next = this.#negotiate(offers);
    return this.#next;
  }

  /** @param {boolean} offers */
  #negotiate(offers) {
    const { RTCPeerConnection, iceServers, send } = this.#options;
    const negotiation = new Negotiation({
      polite: this.polite,
      offers,
      RTCPeerConnection,
      iceServers,
      media: this.#sent,
      send: (negotiated) => negotiation === (this.#next ?? this.#current) && send(this.session, negotiated),
    });
    /** @type {MediaStreamTrack[]} */
    const tracks = [];
    const isCurrent = () => negotiation === this.#current;
    negotiation.on('state', ({ detail }) => isCurrent() && this.emit('state', detail));
    negotiation.on('error', ({ detail }) => this.emit('error', detail));
    negotiation.on('track', ({ detail: track }) => {
      tracks.push(track);
      if (isCurrent()) this.#show([track]);
    });
    negotiation.on('open', ({ detail: channel }) => {
      if (negotiation === this.#next) {
        this.#takeOver(negotiation);
        this.#show(tracks);
      }
      this.#channel = channel;
      this.#tellMedia();
      this.chat.open(channel);
    });
    negotiation.on('data', ({ detail: { data, channel } }) => this.#receiveData(data, channel));
    return negotiation;
  }

  /** @param {Negotiation} next */
  #takeOver(next) {
    const former = this.#current;
    this.#current = next;
    this.#next = undefined;
    former.close();
    this.emit('state', this.state);
  }

  /** Tracks of a former connection have to go: an element plays one of a kind. @param {MediaStreamTrack[]} tracks */
  #show(tracks) {
    for (const track of tracks) {
      for (const other of this.stream.getTracks()) {
        if (other.kind === track.kind && other !== track) this.stream.removeTrack(other);
      }
      this.stream.addTrack(track);
      this.emit('track', track);
    }
  }

  #tellMedia() {
    if (this.#channel?.readyState !== 'open') return;
    const { audio, video } = this.#sent;
    this.#channel.send(JSON.stringify({ type: 'media', audio: !!audio?.enabled, video: !!video?.enabled }));
  }

  /**
   * @param {unknown} data from the peer, so anything at all
   * @param {RTCDataChannel} channel that it came by
   */
  #receiveData(data, channel) {
    const message = parse(data);
    if (message?.type === 'media') {
      this.media = { audio: message.audio === true, video: message.video === true };
      this.emit('media', this.media);
    } else if (message?.type === 'chat' || message?.type === 'chat-ack') {
      const chat = this.chat.receive(message, channel);
      if (chat) this.emit('message', chat);
    }
  }
}

/** @param {unknown} data */
function parse(data) {
  try {
    return JSON.parse(String(data));
  } catch {
    return undefined;
  }
}
