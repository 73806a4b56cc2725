// @ts-check
import { Emitter, emit } from '../emitter.js';

/**
 * @import { Description, Negotiated, Signal } from '../server/messages.js'
 *
 * @typedef {'audio' | 'video'} Kind
 * @typedef {{ audio: MediaStreamTrack | null, video: MediaStreamTrack | null }} Media
 *
 * @typedef {object} NegotiationOptions
 * @property {boolean} polite gives way when both offer at once
 * @property {boolean} offers whether we make the first offer, as the newcomer does
 * @property {typeof RTCPeerConnection} RTCPeerConnection
 * @property {RTCIceServer[]} iceServers
 * @property {Media} media the tracks that we send from the start
 * @property {(negotiated: Negotiated) => void} send to the peer, through the server
 *
 * @typedef {object} NegotiationEvents
 * @property {RTCPeerConnectionState} state
 * @property {MediaStreamTrack} track
 * @property {RTCDataChannel} open the channel is open
 * @property {{ data: unknown, channel: RTCDataChannel }} data came on the channel
 * @property {unknown} error a step failed
 */

const MAX_QUEUED_CANDIDATES = 100;
/** Candidates found within this time go in one message. */
const GATHER_MS = 50;
const MAX_CANDIDATES = 32;
/** @type {Kind[]} */
const KINDS = ['audio', 'video'];

let made = 0;

/**
 * One RTCPeerConnection, negotiated by W3C's "perfect negotiation"
 * (https://www.w3.org/TR/webrtc/#perfect-negotiation-example). Audio and video each have a transceiver from the start, so
 * a camera turned on later needs no negotiation. The data channel "chat" needs none either: its id is always 0.
 *
 * Every description has an id and names the description that it follows. A queue may still deliver an answer to an offer
 * that was taken back, or an offer to a connection that is gone. By the ids they are recognized and ignored.
 *
 * @extends {Emitter<NegotiationEvents>}
 */
export class Negotiation extends Emitter {
  #options;
  /** @type {Media} the tracks that we send */
  #sent;
  #id = `${Math.random().toString(36).slice(2)}-${++made}`;
  #descriptions = 0;
  /** @type {string | undefined} the id of our own last offer */
  #offer;
  /** @type {string | undefined} the id of the peer's last description */
  #theirs;
  #prepared = false;
  /** @type {RTCPeerConnection | undefined} which is making an offer; a connection that gave way never ends it */
  #makingOffer;
  #ignoreOffer = false;
  #isSettingRemoteAnswerPending = false;
  /** @type {(RTCIceCandidateInit | null)[]} came before the remote description */
  #early = [];
  /** @type {(RTCIceCandidateInit | null)[]} found and not yet sent */
  #found = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #gathering;
  /** @type {RTCDataChannel | undefined} */
  #channel;

  /** @param {NegotiationOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#sent = { ...options.media };
    this.connection = this.#connect();
    if (options.offers) this.#prepare(options.offers);
  }

  get isConnected() {
    return this.connection.connectionState === 'connected' && this.#channel?.readyState === 'open';
  }

  /** Whether we wait for an answer. */
  get isOffering() {
    return this.connection.signalingState === 'have-local-offer';
  }

  /** Whether the peer's descriptions have ids. Such a peer can tell an offer of another connection from one of this. */
  get isIdentified() {
    return this.#theirs !== undefined;
  }

  /**
   * Whether a description is an offer from another connection than the one that we know: the peer has begun anew.
   *
   * @param {Description | undefined} description
   */
  isForeign(description) {
    if (description?.type !== 'offer' || !description.id || !this.#theirs) return false;
    return connectionOf(description.id) !== connectionOf(this.#theirs);
  }

  /**
   * Applies a description or candidates that the peer sent through the server.
   *
   * @param {Pick<Signal, 'description' | 'candidate' | 'candidates'>} signal
   */
  async receive({ description, candidate, candidates }) {
    try {
      if (description) return await this.#receiveDescription(description);
      const list = candidates ?? (candidate === undefined ? [] : [candidate]);
      await Promise.all(list.map((candidate) => this.#receiveCandidate(candidate)));
    } catch (error) {
      this.#failed(error);
    }
  }

  /** @param {Media} media the tracks that we send from now on */
  async share(media) {
    this.#sent = { ...media };
    if (this.#prepared) await this.#attach().catch((error) => this.#failed(error));
  }

  /**
   * Finds a new path to the peer.
   *
   * @param {object} [options]
   * @param {boolean} [options.lost] an offer of ours may have been lost, and is taken back
   */
  async restart({ lost = false } = {}) {
    if (!this.#prepared) return; // The peer makes the first offer.
    try {
      if (lost && this.isOffering) await this.connection.setLocalDescription({ type: 'rollback' });
      this.connection.restartIce();
    } catch (error) {
      this.#failed(error);
    }
  }

  /**
   * @param {RTCIceServer[]} iceServers for paths from now on; a browser that cannot change them (Firefox before version 119)
   * uses them with the next connection
   */
  setIceServers(iceServers) {
    this.#options = { ...this.#options, iceServers };
    try {
      this.connection.setConfiguration?.({ ...this.connection.getConfiguration(), iceServers });
    } catch (error) {
      this.#failed(error); // The other peers get theirs all the same.
    }
  }

  close() {
    clearTimeout(this.#gathering);
    this.connection.close();
  }

  #connect() {
    const { RTCPeerConnection, iceServers } = this.#options;
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
    pc.addEventListener('negotiationneeded', () => pc === this.connection && this.#makeOffer());
    // An empty string ends one generation, null ends gathering; the peer needs only the latter.
    pc.addEventListener('icecandidate', ({ candidate }) => {
      if (pc === this.connection && candidate?.candidate !== '') this.#foundCandidate(candidate);
    });
    pc.addEventListener('iceconnectionstatechange', () => {
      if (pc.iceConnectionState === 'failed') this.restart();
    });
    pc.addEventListener('connectionstatechange', () => emit(this, 'state', pc.connectionState));
    pc.addEventListener('track', ({ track }) => emit(this, 'track', track));
    return pc;
  }

  /** Whether our first offer is made or being made, and not answered. */
  get #offersFirst() {
    return this.#prepared && !this.connection.remoteDescription && !this.#isSettingRemoteAnswerPending;
  }

  /**
   * Gives way to the first offer of the peer. The transceivers that we have offered would be left over beside those of the
   * peer: browsers cannot get rid of a transceiver that was never agreed on. So we begin with another RTCPeerConnection.
   */
  #giveWay() {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    this.#found = [];
    this.#prepared = false;
    const former = this.connection;
    this.connection = this.#connect();
    former.close();
  }

  /** @param {RTCIceCandidate | null} candidate */
  #foundCandidate(candidate) {
    this.#found.push(candidate && candidate.toJSON());
    if (this.#found.length >= MAX_CANDIDATES) this.#sendCandidates();
    else this.#gathering ??= setTimeout(() => this.#sendCandidates(), GATHER_MS);
  }

  #sendCandidates() {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    const candidates = this.#found.splice(0);
    if (candidates.length > 0) this.#options.send({ candidates });
  }

  async #makeOffer() {
    const pc = this.connection;
    try {
      this.#makingOffer = pc;
      await pc.setLocalDescription();
      if (pc === this.connection) this.#sendDescription();
    } catch (error) {
      if (pc === this.connection) this.#failed(error);
    } finally {
      if (pc === this.connection) this.#makingOffer = undefined;
    }
  }

  #sendDescription() {
    const description = this.connection.localDescription;
    if (!description) return;
    this.#sendCandidates(); // They belong to the description before this one.
    const id = `${this.#id}.${++this.#descriptions}`; // See connectionOf.
    if (description.type === 'offer') this.#offer = id;
    this.#options.send({ description: { type: description.type, sdp: description.sdp, id, to: this.#theirs } });
  }

  /** @param {Description} description */
  async #receiveDescription(description) {
    if (this.#isStale(description)) return;
    this.#theirs = description.id;
    const readyForOffer =
      this.#makingOffer !== this.connection && (this.connection.signalingState === 'stable' || this.#isSettingRemoteAnswerPending);
    const offerCollision = description.type === 'offer' && !readyForOffer;
    this.#ignoreOffer = !this.#options.polite && offerCollision;
    if (this.#ignoreOffer) return;
    if (description.type === 'offer' && this.#offersFirst) this.#giveWay();
    const pc = this.connection;

    this.#isSettingRemoteAnswerPending = description.type === 'answer';
    try {
      await pc.setRemoteDescription(description);
    } finally {
      this.#isSettingRemoteAnswerPending = false;
    }
    const candidates = this.#early.splice(0).map((candidate) => this.#addCandidate(candidate));
    if (description.type === 'offer') {
      this.#prepare(false);
      await this.#attach();
      await pc.setLocalDescription();
      this.#sendDescription();
    }
    await Promise.all(candidates);
  }

  /** @param {Description} description may lack the ids, if it comes from another client */
  #isStale({ type, to }) {
    if (type === 'answer') return !this.isOffering || (to !== undefined && to !== this.#offer);
    return to !== undefined && connectionOf(to) !== this.#id;
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  async #receiveCandidate(candidate) {
    if (this.connection.remoteDescription || this.#ignoreOffer) return this.#addCandidate(candidate);
    if (this.#early.length < MAX_QUEUED_CANDIDATES) this.#early.push(candidate);
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  async #addCandidate(candidate) {
    try {
      await this.connection.addIceCandidate(candidate);
    } catch (error) {
      const ufrag = candidate?.usernameFragment;
      const isStale = !!ufrag && !this.connection.remoteDescription?.sdp.includes(`a=ice-ufrag:${ufrag}`);
      if (!this.#ignoreOffer && !isStale) throw error;
    }
  }

  /** @param {boolean} offers whether we offer first; that side makes a transceiver for each kind of media */
  #prepare(offers) {
    if (this.#prepared) return;
    this.#prepared = true;
    const channel = this.connection.createDataChannel('chat', { negotiated: true, id: 0, ordered: true });
    channel.addEventListener('open', () => emit(this, 'open', channel));
    channel.addEventListener('close', () => emit(this, 'state', this.connection.connectionState));
    channel.addEventListener('message', ({ data }) => emit(this, 'data', { data, channel }));
    this.#channel = channel;
    if (!offers) return;
    const streams = [new MediaStream()]; // One stream for both kinds keeps lips and voice together.
    for (const kind of KINDS) {
      this.connection.addTransceiver(this.#sent[kind] ?? kind, { direction: 'sendrecv', streams });
    }
  }

  /** Puts our tracks on the present transceivers. A track for which the offer has no transceiver gets a new one. */
  async #attach() {
    const streams = [new MediaStream()];
    // If both sides offered first, our own transceivers have no part in the offer that we accepted.
    const transceivers = this.connection.getTransceivers().sort((a, b) => Number(a.mid === null) - Number(b.mid === null));
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

  /** @param {unknown} error of a step that nobody waits for; after the connection is closed, errors do not matter */
  #failed(error) {
    if (this.connection.connectionState !== 'closed') emit(this, 'error', error);
  }
}

/** @param {string} id of a description */
function connectionOf(id) {
  return id.slice(0, id.lastIndexOf('.'));
}
