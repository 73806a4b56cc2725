// @ts-check
import { Emitter } from './emitter.js';
import { TurnpikeError } from './error.js';
import { pathOf, relayedAddressOf } from './path.js';
import { RelayStatus } from './relay.js';

/**
 * @import { PeerInfo } from './messages.js'
 * @import { Path } from './path.js'
 *
 * @typedef {{ description: RTCSessionDescriptionInit } | { candidate: RTCIceCandidateInit | null }} Negotiation
 * @typedef {'audio' | 'video'} Kind
 * @typedef {{ audio: MediaStreamTrack | null, video: MediaStreamTrack | null }} Media
 *
 * @typedef {object} PeerOptions
 * @property {string} self our own session
 * @property {typeof RTCPeerConnection} RTCPeerConnection
 * @property {RTCIceServer[]} iceServers
 * @property {Media} media what we send from the start
 * @property {URL} [home] the server, to be asked about our relays
 * @property {(negotiation: Negotiation) => void} send to the peer, by way of the server
 *
 * @typedef {object} PeerEvents
 * @property {RTCPeerConnectionState} state
 * @property {MediaStreamTrack} track one of the peer's; all of them are in `peer.stream`
 * @property {{ audio: boolean, video: boolean }} media what the peer says it sends; also in `peer.media`
 * @property {{ text: string, at: Date }} message chat; `at` by the peer's clock
 * @property {unknown} error a step of the negotiation that failed
 */

/** Greatest length of a chat message, in UTF-16 units. */
export const MAX_TEXT = 4000;

const MAX_QUEUED_MESSAGES = 100;
const MAX_QUEUED_CANDIDATES = 100;
const MAX_BUFFERED_BYTES = 1 << 20;
/** @type {Kind[]} */
const KINDS = ['audio', 'video'];

/**
 * The connection with one other session in a room: an RTCPeerConnection that is negotiated as W3C's "perfect
 * negotiation" has it (https://www.w3.org/TR/webrtc/#perfect-negotiation-example).
 *
 * The session with the smaller id is polite. The other one makes the first offer, so that glare is the exception; it
 * is handled all the same. Audio and video have a transceiver each from the start, so that a camera turned on later
 * needs no negotiation. The data channel "chat" is agreed on beforehand, with id 0; it carries JSON, of which the types
 * `{type: 'chat', text, at}` and `{type: 'media', audio, video}` are known and others are ignored.
 *
 * @extends {Emitter<PeerEvents>}
 */
export class Peer extends Emitter {
  #options;
  #relay;
  /** @type {Media} what we send */
  #sent;
  #prepared = false;
  #makingOffer = false;
  #ignoreOffer = false;
  #isSettingRemoteAnswerPending = false;
  /** @type {(RTCIceCandidateInit | null)[]} that came before the remote description */
  #candidates = [];
  /** @type {RTCDataChannel | undefined} */
  #chat;
  /** @type {string[]} chat that waits for the channel to open */
  #unsent = [];

  /**
   * @param {PeerInfo} info
   * @param {PeerOptions} options
   */
  constructor(info, options) {
    super();
    this.#options = options;
    this.#sent = { ...options.media };
    this.#relay = options.home && new RelayStatus(options.home);
    this.session = info.session;
    this.user = info.user;
    this.name = info.name;
    this.polite = options.self < info.session;
    /** The peer's tracks, for a `<video>`'s srcObject. */
    this.stream = new MediaStream();
    /** What the peer says it sends: a muted or missing track still exists on our side. */
    this.media = { audio: false, video: false };
    this.connection = new options.RTCPeerConnection({ iceServers: options.iceServers, bundlePolicy: 'max-bundle' });
    this.#listen();
    if (!this.polite) this.#prepare();
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
   * Takes what the peer sent by way of the server. For Room.
   *
   * @param {Partial<{ description: RTCSessionDescriptionInit, candidate: RTCIceCandidateInit | null, candidates: (RTCIceCandidateInit | null)[] }>} negotiation
   */
  async receive({ description, candidate, candidates }) {
    try {
      if (description) await this.#receiveDescription(description);
      else if (candidate !== undefined) await this.#receiveCandidate(candidate);
      for (const one of candidates ?? []) await this.#receiveCandidate(one);
    } catch (error) {
      this.#failed(error);
    }
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
    if (this.#prepared) await this.#attach().catch((error) => this.#failed(error));
  }

  /**
   * Sends chat text, at once or as soon as the channel is open.
   *
   * @param {{ text: string, at: Date }} message
   */
  sendMessage({ text, at }) {
    const data = JSON.stringify({ type: 'chat', text, at: at.toISOString() });
    if (this.#chat?.readyState === 'open') {
      if (this.#chat.bufferedAmount > MAX_BUFFERED_BYTES) throw new TurnpikeError('slow', `${this.name} does not read.`);
      this.#chat.send(data);
    } else {
      if (this.#unsent.length >= MAX_QUEUED_MESSAGES) throw new TurnpikeError('slow', `${this.name} is not connected.`);
      this.#unsent.push(data);
    }
  }

  /** @param {RTCIceServer[]} iceServers */
  setIceServers(iceServers) {
    this.connection.setConfiguration({ ...this.connection.getConfiguration(), iceServers });
  }

  close() {
    this.connection.close();
  }

  #listen() {
    const pc = this.connection;
    pc.addEventListener('negotiationneeded', () => this.#offer());
    pc.addEventListener('icecandidate', ({ candidate }) => {
      // An empty string ends one generation, null ends gathering; the peer needs only the latter.
      if (candidate?.candidate !== '') this.#options.send({ candidate: candidate ? candidate.toJSON() : null });
    });
    pc.addEventListener('iceconnectionstatechange', () => {
      if (pc.iceConnectionState === 'failed') pc.restartIce();
    });
    pc.addEventListener('connectionstatechange', () => this.emit('state', pc.connectionState));
    pc.addEventListener('track', ({ track }) => {
      this.stream.addTrack(track);
      this.emit('track', track);
    });
  }

  async #offer() {
    try {
      this.#makingOffer = true;
      await this.connection.setLocalDescription();
      this.#sendDescription();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#makingOffer = false;
    }
  }

  /** @param {RTCSessionDescriptionInit} description */
  async #receiveDescription(description) {
    const pc = this.connection;
    const readyForOffer =
      !this.#makingOffer && (pc.signalingState === 'stable' || this.#isSettingRemoteAnswerPending);
    const offerCollision = description.type === 'offer' && !readyForOffer;
    this.#ignoreOffer = !this.polite && offerCollision;
    if (this.#ignoreOffer) return;

    this.#isSettingRemoteAnswerPending = description.type === 'answer';
    try {
      await pc.setRemoteDescription(description);
    } finally {
      this.#isSettingRemoteAnswerPending = false;
    }
    const candidates = this.#candidates.splice(0).map((candidate) => pc.addIceCandidate(candidate));
    if (description.type === 'offer') {
      this.#prepare();
      await this.#attach();
      await pc.setLocalDescription();
      this.#sendDescription();
    }
    await Promise.all(candidates);
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  async #receiveCandidate(candidate) {
    if (!this.connection.remoteDescription && !this.#ignoreOffer) {
      if (this.#candidates.length < MAX_QUEUED_CANDIDATES) this.#candidates.push(candidate);
      return;
    }
    try {
      await this.connection.addIceCandidate(candidate);
    } catch (error) {
      if (!this.#ignoreOffer) throw error;
    }
  }

  #sendDescription() {
    const description = this.connection.localDescription;
    if (description) this.#options.send({ description: { type: description.type, sdp: description.sdp } });
  }

  /** Opens the chat channel and, on the side that offers first, a transceiver for each kind of media. */
  #prepare() {
    if (this.#prepared) return;
    this.#prepared = true;
    const chat = this.connection.createDataChannel('chat', { negotiated: true, id: 0, ordered: true });
    chat.addEventListener('open', () => {
      this.#tellMedia();
      for (const data of this.#unsent.splice(0)) chat.send(data);
    });
    chat.addEventListener('message', ({ data }) => this.#receiveData(data));
    this.#chat = chat;
    if (this.polite) return;
    const streams = [new MediaStream()]; // One stream for both kinds keeps lips and voice together.
    for (const kind of KINDS) {
      this.connection.addTransceiver(this.#sent[kind] ?? kind, { direction: 'sendrecv', streams });
    }
  }

  /** Puts what we send on the transceivers that are there; what an offer lacks gets one of its own. */
  async #attach() {
    const streams = [new MediaStream()];
    const transceivers = this.connection.getTransceivers();
    await Promise.all(KINDS.map(async (kind) => {
      const track = this.#sent[kind];
      const transceiver = transceivers.find(({ receiver }) => receiver.track.kind === kind);
      if (!transceiver) {
        if (track) this.connection.addTransceiver(track, { direction: 'sendrecv', streams });
        return;
      }
      if (transceiver.direction === 'recvonly') {
        transceiver.direction = 'sendrecv';
        transceiver.sender.setStreams?.(...streams);
      }
      await transceiver.sender.replaceTrack(track);
    }));
  }

  /** @param {unknown} error of a step that is nobody's to wait for; what a closed connection refuses is no error */
  #failed(error) {
    if (this.state !== 'closed') this.emit('error', error);
  }

  #tellMedia() {
    if (this.#chat?.readyState !== 'open') return;
    const { audio, video } = this.#sent;
    this.#chat.send(JSON.stringify({ type: 'media', audio: !!audio?.enabled, video: !!video?.enabled }));
  }

  /** @param {unknown} data from the peer, so anything at all */
  #receiveData(data) {
    const message = parse(data);
    if (message?.type === 'chat' && typeof message.text === 'string') {
      const at = new Date(String(message.at));
      this.emit('message', { text: message.text.slice(0, MAX_TEXT), at: Number.isNaN(at.getTime()) ? new Date() : at });
    } else if (message?.type === 'media') {
      this.media = { audio: message.audio === true, video: message.video === true };
      this.emit('media', this.media);
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
