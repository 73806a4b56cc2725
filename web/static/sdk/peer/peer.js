// @ts-check
import { Emitter, describe, pick } from '../emitter.js';
import { controlOf } from './channel.js';
import { chatMessage, slow } from './chat.js';
import { pack } from './data.js';
import { Link } from './link.js';

/**
 * @import { ChatMessage } from './chat.js'
 * @import { PeerChannel } from './channel.js'
 * @import { PeerInfo } from '../server/messages.js'
 * @import { LinkOptions } from './link.js'
 * @import { Path } from './path.js'
 * @import { SourcesOn } from './sources.js'
 *
 * Of one moment; `peer` is the same one all the time.
 * @typedef {Readonly<{
 *   peer: Peer, id: string, session: string, user: string, name: string, away: boolean, state: RTCPeerConnectionState, path: Path | undefined,
 *   sources: SourcesOn,
 * }>} PeerSnapshot
 *
 * @typedef {object} PeerEvents
 * @property {RTCPeerConnectionState} state
 * @property {SourcesOn} sources what the peer shares has changed
 * @property {MediaStreamTrack} track is new in `stream` or `screen`
 * @property {Path | undefined} path packets take another one, or the time that they take has changed
 * @property {ChatMessage} message chat; `at` by the peer's clock
 * @property {ChatMessage} delivered the peer has this message of ours, or the server has it for a peer who takes no part in WebRTC
 * @property {{ data: unknown, topic: string }} data that the peer has sent to us, or to the room
 * @property {{ channel: PeerChannel }} channel that the peer has opened
 * @property {unknown} error a step of the negotiation failed, or a message to the room does not reach this peer (`slow`)
 *
 * @typedef {object} SendOptions
 * @property {string} [topic] of at most 64 characters, by which the receiver tells one kind of data from another
 * @property {boolean} [reliable] default true: once and in order, over other connections if need be. False: at once or never
 * @property {AbortSignal | undefined} [signal] gives up waiting for room
 */

/** For the SDK's own use. @type {(peer: Peer) => Link} */
export let insideOf;

/**
 * Another session in a room, and the connection with it. A peer outlives its connection: the peer may reload its page, and
 * either side may come back under a new session. Media, chat and data go on then.
 *
 * @extends {Emitter<PeerEvents, PeerSnapshot>}
 */
export class Peer extends Emitter {
  #link;

  static {
    insideOf = (peer) => peer.#link;
  }

  /**
   * @internal
   * @param {PeerInfo} info
   * @param {LinkOptions} options
   */
  constructor(info, options) {
    super();
    /** Never changes in the life of the peer. */
    this.id = info.session;
    this.#link = new Link(this, info, options);
    describe(this, () => ({ peer: this, ...pick(this, 'id', 'session', 'user', 'name', 'away', 'state', 'path', 'sources') }));
    this.#link.begin();
  }

  /** Of this moment; see `id`. */
  get session() {
    return this.#link.info.session;
  }

  get user() {
    return this.#link.info.user;
  }

  get name() {
    return this.#link.info.name;
  }

  /** Whether the server cannot reach the peer. Media and chat may go on all the same. */
  get away() {
    return this.#link.away;
  }

  /** Whether the peer takes no part in media: a bot, for example. It has no connection then. */
  get isMediaLess() {
    return !this.#link.hasConnection;
  }

  /** @returns {RTCPeerConnectionState} */
  get state() {
    return this.#link.state;
  }

  /** The path that packets take; undefined while there is none. */
  get path() {
    return this.#link.path;
  }

  /** What the peer shares at this moment. A track may still exist that carries nothing. */
  get sources() {
    return this.#link.sources;
  }

  /** How loud the peer is at this moment, from 0 to 1. */
  get level() {
    return this.#link.level;
  }

  /** The peer's microphone and camera, for a `<video>`'s srcObject; always the same object. */
  get stream() {
    return this.#link.stream;
  }

  /** The peer's screen and its sound; always the same object. */
  get screen() {
    return this.#link.screen;
  }

  /** The RTCPeerConnection of this moment; others follow: see `rtc.onConnection` of the options. */
  get connection() {
    return this.#link.connection;
  }

  /**
   * Sends chat text. It arrives once: now, or as soon as the peer can be reached.
   *
   * @param {string} text
   * @throws {import('../error.js').TurnpikeError} `slow` if too many messages wait already, `too-long`
   */
  sendMessage(text) {
    const message = chatMessage(text);
    if (!this.#link.chat.send(message)) throw slow();
    return message;
  }

  /**
   * Sends data of your app: what JSON can say, or bytes. Resolves once there is room for it in the buffers.
   *
   * @param {unknown} data
   * @param {SendOptions} [options]
   * @returns {Promise<boolean>} false if the peer does not get it: it has left, takes no data, or `reliable` is false and
   * nothing goes through
   */
  async send(data, { topic, reliable = true, signal } = {}) {
    return this.#link.send(pack(data, topic), { reliable, signal });
  }

  /**
   * Opens a data channel that outlives connections, or returns the one of this label.
   *
   * @param {string} label of 1 to 64 characters
   * @param {RTCDataChannelInit} [init] `ordered`, `maxRetransmits`, `maxPacketLifeTime`, `protocol`
   * @returns {PeerChannel}
   */
  openChannel(label, init = {}) {
    const channel = this.#link.channels.open(label);
    const control = controlOf(channel);
    if (control.init) return channel;
    control.init = { ...init };
    this.#link.openChannel(channel);
    return channel;
  }
}
