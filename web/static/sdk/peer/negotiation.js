// @ts-check
import { Emitter, emit } from '../emitter.js';
import { Senders } from './senders.js';

/**
 * @import { Description, Negotiated, Signal } from '../server/messages.js'
 * @import { Source, Tracks } from './sources.js'
 *
 * @typedef {object} NegotiationOptions
 * @property {boolean} polite gives way when both offer at once
 * @property {boolean} offers whether we make the first offer, as the newcomer does
 * @property {typeof RTCPeerConnection} RTCPeerConnection
 * @property {typeof MediaStream | undefined} MediaStream undefined where there is no media, but data
 * @property {RTCConfiguration} configuration
 * @property {(connection: RTCPeerConnection) => void} onConnection called with each connection before anything is done with it
 * @property {Sending} sending
 * @property {(negotiated: Negotiated) => void} send to the peer, through the server
 *
 * What we send from the start; see Senders.
 * @typedef {{ tracks: Tracks, named: boolean, people: number, paused: boolean }} Sending
 *
 * @typedef {object} NegotiationEvents
 * @property {RTCPeerConnectionState} state
 * @property {null} tracks the peer's may be others, or have begun or ceased to carry something
 * @property {null} settled a negotiation is over: transceivers may have a mid now
 * @property {RTCDataChannel} channel that the peer has opened
 * @property {RTCDataChannel} open the channel is open
 * @property {{ data: unknown, channel: RTCDataChannel }} data came on the channel
 * @property {unknown} error a step failed
 */

const MAX_QUEUED_CANDIDATES = 100;
/** Candidates found within this time go in one message. */
const GATHER_MS = 50;
const MAX_CANDIDATES = 32;
let made = 0;

/**
 * One RTCPeerConnection, negotiated by W3C's "perfect negotiation"
 * (https://www.w3.org/TR/webrtc/#perfect-negotiation-example). The data channel "chat" needs no negotiation: its id is
 * always 0.
 *
 * Every description has an id and names the description that it follows. A queue may still deliver an answer to an offer
 * that was taken back, or an offer to a connection that is gone. By the ids they are recognized and ignored.
 *
 * @extends {Emitter<NegotiationEvents>}
 */
export class Negotiation extends Emitter {
  #options;
  /** @type {Senders | undefined} of the present connection */
  #senders;
  /** @type {RTCDataChannel | undefined} made when it is first used */
  #unreliable;
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

  /** The mid of each source of ours that has a place on the connection. @returns {Map<Source, string | null>} */
  get mids() {
    return this.#senders?.mids ?? new Map();
  }

  /** A channel that loses messages rather than delays them. */
  get unreliable() {
    this.#unreliable ??= this.connection.createDataChannel('turnpike.unreliable', { ordered: false, maxRetransmits: 0 });
    return this.#unreliable;
  }

  /** @param {Tracks} tracks that we send from now on */
  share(tracks) {
    return this.#send({ tracks }, (senders) => senders.share(tracks));
  }

  /** The peer understands which track is which. */
  nameTracks() {
    return this.#send({ named: true }, (senders) => senders.name());
  }

  /**
   * @param {number} people in the room
   * @param {boolean} paused the peer does not want the camera now
   */
  limit(people, paused) {
    return this.#send({ people, paused }, (senders) => senders.limit(people, paused));
  }

  /**
   * @param {Partial<Sending>} change
   * @param {(senders: Senders) => Promise<unknown>} apply
   */
  async #send(change, apply) {
    this.#options = { ...this.#options, sending: { ...this.#options.sending, ...change } };
    const senders = this.#prepared ? this.#senders : undefined;
    await (senders && apply(senders).catch((error) => this.#failed(error)));
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
    this.#options = { ...this.#options, configuration: { ...this.#options.configuration, iceServers } };
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
    const { RTCPeerConnection, configuration, onConnection } = this.#options;
    const pc = new RTCPeerConnection({ ...configuration, bundlePolicy: 'max-bundle' });
    onConnection(pc);
    pc.addEventListener('negotiationneeded', () => pc === this.connection && this.#makeOffer());
    // An empty string ends one generation, null ends gathering; the peer needs only the latter.
    pc.addEventListener('icecandidate', ({ candidate }) => {
      if (pc === this.connection && candidate?.candidate !== '') this.#foundCandidate(candidate);
    });
    pc.addEventListener('iceconnectionstatechange', () => {
      if (pc.iceConnectionState === 'failed') this.restart();
    });
    pc.addEventListener('connectionstatechange', () => emit(this, 'state', pc.connectionState));
    pc.addEventListener('datachannel', ({ channel }) => this.#channelCame(channel));
    const changed = () => pc === this.connection && emit(this, 'tracks', null);
    pc.addEventListener('track', ({ track }) => {
      for (const name of ['mute', 'unmute', 'ended']) track.addEventListener(name, changed);
      changed();
    });
    pc.addEventListener('signalingstatechange', () => {
      if (pc !== this.connection || pc.signalingState !== 'stable') return;
      this.#senders?.keepLimits().catch((error) => this.#failed(error));
      emit(this, 'settled', null);
      changed();
    });
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
    this.#senders = undefined;
    this.#unreliable = undefined;
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
      await this.#senders?.answer();
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

  /** @param {boolean} offers whether we offer first; that side makes the first transceivers */
  #prepare(offers) {
    if (this.#prepared) return;
    this.#prepared = true;
    const channel = this.connection.createDataChannel('chat', { negotiated: true, id: 0, ordered: true });
    channel.addEventListener('open', () => emit(this, 'open', channel));
    channel.addEventListener('close', () => emit(this, 'state', this.connection.connectionState));
    channel.addEventListener('message', ({ data }) => emit(this, 'data', { data, channel }));
    this.#channel = channel;
    const { MediaStream, sending } = this.#options;
    if (MediaStream) this.#senders = new Senders({ connection: this.connection, MediaStream, ...sending });
    if (offers) this.#senders?.offer();
  }

  /** @param {RTCDataChannel} channel */
  #channelCame(channel) {
    if (channel.label !== 'turnpike.unreliable') return emit(this, 'channel', channel);
    channel.addEventListener('message', ({ data }) => emit(this, 'data', { data, channel }));
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
