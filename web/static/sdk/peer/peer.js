// @ts-check
import { Emitter, emit } from '../emitter.js';
import { Negotiation } from './negotiation.js';
import { pathOf, relayedAddressOf, signsOfLife } from './path.js';
import { RelayStatus } from './relay.js';

/**
 * @import { ChatMessage, PeerChat } from './chat.js'
 * @import { Negotiated, PeerInfo, Signal } from '../server/messages.js'
 * @import { Media } from './negotiation.js'
 * @import { Path } from './path.js'
 *
 * @typedef {object} PeerOptions
 * @property {string} self our own session
 * @property {boolean} offers whether we make the first offer, since we came after the peer
 * @property {typeof RTCPeerConnection} RTCPeerConnection
 * @property {RTCIceServer[]} iceServers
 * @property {Media} media the tracks that we send from the start
 * @property {URL} [home] the server, which knows about our relays
 * @property {PeerChat} chat
 * @property {(session: string, negotiated: Negotiated) => void} send to the peer, through the server
 *
 * @typedef {object} PeerEvents
 * @property {RTCPeerConnectionState} state
 * @property {MediaStreamTrack} track one of the peer's tracks; all of them are in `peer.stream`
 * @property {{ audio: boolean, video: boolean }} media the kinds that the peer says it sends; also in `peer.media`
 * @property {ChatMessage} message chat; `at` by the peer's clock
 * @property {unknown} error a step of the negotiation failed, or a message to the room does not reach this peer (`slow`)
 */

/**
 * Another session in a room, and the connection with it. A peer outlives its connection: the peer may reload its page, and
 * either side may come back under a new session. Media and chat go on then. The former connection carries them until the
 * next one works.
 *
 * The session with the smaller id is polite. The data channel carries JSON messages: `{type: 'media', audio, video}` and
 * the types of PeerChat. Other types are ignored.
 *
 * @extends {Emitter<PeerEvents>}
 */
export class Peer extends Emitter {
  #options;
  #relay;
  /** @type {Media} the tracks that we send */
  #sent;
  /** @type {Negotiation} carries media and chat */
  #current;
  /** @type {Negotiation | undefined} replaces `#current` once it works */
  #next;
  /** @type {RTCDataChannel | undefined} the last one that opened */
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
    /** Stays the same for as long as the peer is in the room, also when it comes back under a new session. */
    this.id = info.session;
    this.session = info.session;
    this.user = info.user;
    this.name = info.name;
    /** Whether the server cannot reach the peer. Media and chat may go on all the same. */
    this.away = info.away ?? false;
    /** The peer's tracks, for a `<video>`'s srcObject. */
    this.stream = new MediaStream();
    /** The kinds that the peer says it sends. A muted or missing track still exists on our side. */
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
   * The path that packets take at this moment.
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
   * Changes the tracks that we send; null sends nothing of that kind. Call it too when a track's `enabled` changes, so
   * that the peer learns of it.
   *
   * @param {Media} media
   */
  async share(media) {
    this.#sent = { ...media };
    this.#sendMediaState();
    await Promise.all([this.#current, this.#next].map((negotiation) => negotiation?.share(media)));
  }

  /**
   * Sends chat text. It arrives once: now, or as soon as the peer can be reached.
   *
   * @param {ChatMessage} message
   * @throws {import('../error.js').TurnpikeError} `slow` if too many messages wait already
   */
  sendMessage(message) {
    this.chat.send(message);
  }

  // The methods below are for Room and Client.

  /** Whether media and chat go through at this moment, even if the server cannot reach the peer. */
  get isConnected() {
    return this.#current.isConnected;
  }

  /** Whether an offer of ours waits for its answer. */
  get isOffering() {
    return (this.#next ?? this.#current).isOffering;
  }

  /** @returns {Promise<number | undefined>} grows with everything that comes in from the peer; undefined if unknown */
  async signsOfLife() {
    return this.state === 'closed' ? undefined : signsOfLife(await this.connection.getStats());
  }

  /** @param {Pick<Signal, 'description' | 'candidate' | 'candidates'>} signal */
  async receive(signal) {
    if (this.#closed) return;
    const negotiation = this.#next ?? this.#current;
    const isNew = negotiation.isForeign(signal.description) && signal.description?.to === undefined;
    if (isNew) this.renew(this, { self: this.#options.self, offers: false });
    await (this.#next ?? this.#current).receive(signal);
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
  restart(options) {
    return (this.#next ?? this.#current).restart(options);
  }

  /**
   * Makes a new connection after an interruption. A new path for the present connection would be slower: the browser asks
   * again for the packets of the interruption. It waits for them, or shows stale pictures, for seconds.
   *
   * @param {{ lost?: boolean }} [options] as of `restart`, for a peer who cannot tell one connection from another
   */
  reconnect(options) {
    if (this.#closed) return;
    if ((this.#next ?? this.#current).isIdentified) this.#replace(true);
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
    this.session = info.session;
    this.user = info.user;
    this.name = info.name;
    const next = this.#replace(offers);
    if (!this.#current.isConnected) this.#switchTo(next);
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
    negotiation.on('state', (state) => isCurrent() && emit(this, 'state', state));
    negotiation.on('error', (error) => emit(this, 'error', error));
    negotiation.on('track', (track) => {
      tracks.push(track);
      if (isCurrent()) this.#show([track]);
    });
    negotiation.on('open', (channel) => {
      if (negotiation === this.#next) {
        this.#switchTo(negotiation);
        this.#show(tracks);
      }
      this.#channel = channel;
      this.#sendMediaState();
      this.chat.open(channel);
    });
    negotiation.on('data', ({ data, channel }) => this.#receiveData(data, channel));
    return negotiation;
  }

  /** @param {Negotiation} next */
  #switchTo(next) {
    const former = this.#current;
    this.#current = next;
    this.#next = undefined;
    former.close();
    emit(this, 'state', this.state);
  }

  /**
   * Replaces the tracks of a former connection, since an element plays one track of a kind.
   *
   * @param {MediaStreamTrack[]} tracks
   */
  #show(tracks) {
    for (const track of tracks) {
      for (const other of this.stream.getTracks()) {
        if (other.kind === track.kind && other !== track) this.stream.removeTrack(other);
      }
      this.stream.addTrack(track);
      emit(this, 'track', track);
    }
  }

  #sendMediaState() {
    if (this.#channel?.readyState !== 'open') return;
    const { audio, video } = this.#sent;
    this.#channel.send(JSON.stringify({ type: 'media', audio: !!audio?.enabled, video: !!video?.enabled }));
  }

  /**
   * @param {unknown} data may be anything, since it comes from the peer
   * @param {RTCDataChannel} channel that it came on
   */
  #receiveData(data, channel) {
    const message = parse(data);
    if (message?.type === 'media') {
      this.media = { audio: message.audio === true, video: message.video === true };
      emit(this, 'media', this.media);
    } else if (message?.type === 'chat' || message?.type === 'chat-ack') {
      const chat = this.chat.receive(message, channel);
      if (chat) emit(this, 'message', chat);
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
