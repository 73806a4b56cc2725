// @ts-check
// A WebSocket with the test at its other end, and RTCPeerConnections that negotiate with one another like real ones.

import { webcrypto } from 'node:crypto';
import { FakeMediaStream, FakeTrack } from './fakemedia.js';

export { FakeMediaStream, track } from './fakemedia.js';

// Debian 12's Node.js 18 lacks it; browsers and newer versions of Node.js have it.
globalThis.crypto ??= /** @type {any} */ (webcrypto);

/** setTimeout and performance.now in the test's hands. The mock of node:test loses timers in Node.js 18. */
export class FakeTimers {
  #now = 0;
  #last = 0;
  /** @type {Map<number, { at: number, run: () => void }>} */
  #waiting = new Map();
  #real = { setTimeout, clearTimeout };

  constructor() {
    globalThis.setTimeout = /** @type {any} */ ((/** @type {() => void} */ run, ms = 0) => {
      this.#waiting.set(++this.#last, { at: this.#now + ms, run });
      return this.#last;
    });
    globalThis.clearTimeout = /** @type {any} */ ((/** @type {number} */ id) => this.#waiting.delete(id));
    performance.now = () => this.#now;
  }

  /** How many there are. */
  get waiting() {
    return this.#waiting.size;
  }

  /**
   * Lets time pass, and runs the timers that are due, in order.
   *
   * @param {number} ms
   * @param {number} [late] milliseconds by which each timer runs too late
   */
  tick(ms, late = 0) {
    const end = this.#now + ms;
    while (this.#runNext(end, late));
    this.#now = Math.max(this.#now, end);
  }

  /** Lets time pass, and lets everything that follows from a timer happen before the next timer runs. @param {number} ms */
  async pass(ms) {
    const end = this.#now + ms;
    const followed = () => new Promise((resolve) => setImmediate(resolve));
    await followed();
    while (this.#runNext(end)) await followed();
    this.#now = end;
  }

  restore() {
    Object.assign(globalThis, this.#real);
    delete /** @type {any} */ (performance).now; // the prototype has it
  }

  /**
   * @param {number} end
   * @param {number} [late]
   * @returns {boolean} whether a timer was due until then
   */
  #runNext(end, late = 0) {
    let next = 0;
    let at = Infinity;
    for (const [id, timer] of this.#waiting) {
      if (timer.at < at) [next, at] = [id, timer.at];
    }
    const timer = this.#waiting.get(next);
    if (!timer || at > end) return false;
    this.#waiting.delete(next);
    this.#now = Math.max(this.#now, at + late);
    timer.run();
    return true;
  }
}

/** Lets all promises that are ready settle, and lets the events come that wait for that. */
export async function settle() {
  for (let turn = 0; turn < 3; turn++) {
    for (let hop = 0; hop < 50; hop++) await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export class FakeSocket extends EventTarget {
  /** @type {FakeSocket[]} */
  static made = [];
  readyState = 0;
  bufferedAmount = 0;
  /** @type {any[]} messages from the client that the test has not yet expected */
  sent = [];

  /**
   * @param {string} url
   * @param {string} protocol
   */
  constructor(url, protocol) {
    super();
    this.url = url;
    this.protocol = protocol;
    FakeSocket.made.push(this);
  }

  /** The newest one, opened. */
  static async opened() {
    await settle();
    const socket = FakeSocket.made.at(-1);
    if (!socket) throw new Error('no socket was made');
    if (socket.readyState === 0) {
      socket.readyState = 1;
      socket.dispatchEvent(new Event('open'));
    }
    await settle();
    return socket;
  }

  /** @param {string} data */
  send(data) {
    if (this.readyState !== 1) throw new Error('not open');
    this.sent.push(JSON.parse(data));
  }

  close() {
    this.ended(1005, '');
  }

  /** The server's end closes. @param {number} code @param {string} reason */
  ended(code, reason) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
  }

  /** Takes the oldest message that is left, which must be of this type. @param {string} type */
  expect(type) {
    const message = this.sent.shift();
    if (message?.type !== type) throw new Error(`want a ${type}, got ${JSON.stringify(message)}`);
    return message;
  }

  /** The server says something. @param {any} message */
  async say(message) {
    this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify(message) }));
    await settle();
  }

  /** The server answers the oldest message that is left. @param {string} type @param {any} answer */
  async answer(type, answer) {
    const { id } = this.expect(type);
    await this.say({ ...answer, ref: id });
  }
}

/** A tab's sessionStorage. */
export class FakeStorage {
  /** @type {Map<string, string>} */
  #items = new Map();
  #quota;

  /** @param {number} [quota] in UTF-16 units */
  constructor(quota = Infinity) {
    this.#quota = quota;
  }

  get size() {
    return this.#items.size;
  }

  /** @param {string} key */
  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    if (key.length + value.length > this.#quota) throw new Error('QuotaExceededError');
    this.#items.set(key, value);
  }

  /** @param {string} key */
  removeItem(key) {
    this.#items.delete(key);
  }
}

/** @param {Partial<import('../static/sdk/server/messages.js').Welcome>} [changes] */
export function welcome(changes) {
  return { type: 'welcome', session: 's1', user: 'u1', name: 'Ada', role: 'member', iceServers: [], online: [], ...changes };
}

export class FakeChannel extends EventTarget {
  readyState = 'connecting';
  bufferedAmount = 0;
  /** @type {any[]} */
  sent = [];

  /** @param {string} label @param {RTCDataChannelInit} init */
  constructor(label, init) {
    super();
    this.label = label;
    this.init = init;
  }

  /** @param {string} data */
  send(data) {
    this.sent.push(JSON.parse(data));
  }

  close() {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    this.dispatchEvent(new Event('close'));
  }

  open() {
    this.readyState = 'open';
    this.dispatchEvent(new Event('open'));
  }

  /** @param {unknown} data */
  receive(data) {
    this.dispatchEvent(Object.assign(new Event('message'), { data }));
  }
}

/** One that is open. @returns {any} */
export function openChannel() {
  const channel = new FakeChannel('chat', {});
  channel.open();
  return channel;
}

class FakeTransceiver {
  /** @type {string | null} */
  mid = null;
  /** @param {any} trackOrKind @param {string} direction */
  constructor(trackOrKind, direction) {
    const kind = typeof trackOrKind === 'string' ? trackOrKind : trackOrKind.kind;
    this.direction = direction;
    this.receiver = {
      track: new FakeTrack(kind),
      /** Of what comes in; undefined: nothing does. @type {number | undefined} */
      level: undefined,
      getSynchronizationSources() {
        return this.level === undefined ? [] : [{ audioLevel: this.level }];
      },
    };
    this.sender = {
      track: typeof trackOrKind === 'string' ? null : trackOrKind,
      parameters: { encodings: [{}] },
      setStreams() {},
      getParameters() {
        return structuredClone(this.parameters);
      },
      /** @param {any} parameters */
      async setParameters(parameters) {
        this.parameters = parameters;
      },
      /** @param {any} track */
      async replaceTrack(track) {
        this.track = track;
      },
    };
  }
}

let offers = 0;

/**
 * Keeps the rules of https://www.w3.org/TR/webrtc/ that negotiation depends on: operations take time and are chained,
 * an offer rolls back one's own, an answer must fit the offer, a candidate must fit the remote description.
 */
export class FakePeerConnection extends EventTarget {
  /** @type {FakePeerConnection[]} */
  static made = [];
  signalingState = 'stable';
  iceConnectionState = 'new';
  connectionState = 'new';
  /** @type {any} */
  localDescription = null;
  /** @type {any} */
  remoteDescription = null;
  /** @type {any[]} */
  candidates = [];
  /** @type {FakeTransceiver[]} */
  transceivers = [];
  /** @type {FakeChannel[]} */
  channels = [];
  restarts = 0;
  /** Bytes from the other end. */
  received = 0;
  #negotiationNeeded = false;
  #settled = false;
  #operations = 0;
  /** @type {Promise<unknown>} */
  #chain = Promise.resolve();

  /** @param {RTCConfiguration} configuration */
  constructor(configuration) {
    super();
    this.configuration = configuration;
    FakePeerConnection.made.push(this);
  }

  getConfiguration() {
    return this.configuration;
  }

  /** @param {RTCConfiguration} configuration */
  setConfiguration(configuration) {
    this.configuration = configuration;
  }

  /** @param {string} label @param {RTCDataChannelInit} init */
  createDataChannel(label, init) {
    const channel = new FakeChannel(label, init);
    this.channels.push(channel);
    if (this.signalingState === 'stable') this.needNegotiation();
    return channel;
  }

  /** @param {any} trackOrKind @param {{ direction: string }} init */
  addTransceiver(trackOrKind, { direction }) {
    const transceiver = new FakeTransceiver(trackOrKind, direction);
    this.transceivers.push(transceiver);
    this.needNegotiation();
    return transceiver;
  }

  getTransceivers() {
    return [...this.transceivers];
  }

  getReceivers() {
    return this.transceivers.map(({ receiver }) => receiver);
  }

  restartIce() {
    this.restarts++;
    this.needNegotiation();
  }

  needNegotiation() {
    this.#negotiationNeeded = true;
    queueMicrotask(() => this.#fireNegotiationNeeded());
  }

  /** At most one event, once no operation is under way and the state is stable. */
  #fireNegotiationNeeded() {
    if (!this.#negotiationNeeded || this.#operations > 0) return;
    if (this.signalingState !== 'stable' || this.connectionState === 'closed') return;
    this.#negotiationNeeded = false;
    this.dispatchEvent(new Event('negotiationneeded'));
  }

  /** @param {{ type: string }} [description] a rollback, or nothing */
  setLocalDescription(description) {
    return this.#operate(() => {
      if (description?.type === 'rollback') {
        if (this.signalingState !== 'have-local-offer') throw new Error(`InvalidStateError: rollback in ${this.signalingState}`);
        this.#rollBack();
        return;
      }
      if (this.signalingState === 'have-remote-offer') {
        this.localDescription = { type: 'answer', sdp: `answers ${this.remoteDescription.sdp}` };
        this.#becomeStable();
        return;
      }
      this.localDescription = { type: 'offer', sdp: `offer ${++offers}` };
      this.transceivers.forEach((transceiver, place) => (transceiver.mid ??= String(place)));
      this.signalingState = 'have-local-offer';
    });
  }

  /** @param {any} description */
  setRemoteDescription(description) {
    return this.#operate(() => {
      if (description.type === 'offer') {
        if (this.signalingState === 'have-local-offer') this.#rollBack();
        if (this.transceivers.every(({ mid }) => mid === null)) this.#addOffered();
        this.signalingState = 'have-remote-offer';
        this.remoteDescription = description;
        return;
      }
      if (this.signalingState !== 'have-local-offer' || description.sdp !== `answers ${this.localDescription.sdp}`) {
        throw new Error(`InvalidStateError: ${description.sdp} in ${this.signalingState}`);
      }
      this.remoteDescription = description;
      this.#becomeStable();
    });
  }

  #becomeStable() {
    this.signalingState = 'stable';
    this.#settled = true;
    this.dispatchEvent(new Event('signalingstatechange'));
  }

  #rollBack() {
    this.signalingState = 'stable';
    this.#negotiationNeeded = true; // The offer is still due.
    if (this.#settled) return;
    for (const transceiver of this.transceivers) transceiver.mid = null;
  }

  /** Adds the transceivers of a first offer; ours from addTransceiver have no part in it. */
  #addOffered() {
    const offered = ['audio', 'video'].map((kind, mid) => Object.assign(new FakeTransceiver(kind, 'recvonly'), { mid: String(mid) }));
    this.transceivers.push(...offered);
  }

  /** @param {any} candidate */
  addIceCandidate(candidate) {
    return this.#operate(() => {
      if (!this.remoteDescription) throw new Error('InvalidStateError: no remote description');
      if (candidate && candidate.for !== undefined && candidate.for !== this.remoteDescription.sdp) {
        throw new Error(`OperationError: a candidate for ${candidate.for} with ${this.remoteDescription.sdp}`);
      }
      this.candidates.push(candidate);
    });
  }

  async getStats() {
    return new Map([['transport', { type: 'transport', bytesReceived: this.received }]]);
  }

  close() {
    this.connectionState = 'closed';
  }

  /** Both ends have found each other. */
  connect() {
    this.connectionState = 'connected';
    this.dispatchEvent(new Event('connectionstatechange'));
    for (const channel of this.channels) channel.open();
  }

  /** @param {{ candidate: string } | null} candidate of our own */
  find(candidate) {
    this.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate: candidate && { ...candidate, toJSON: () => candidate } }));
  }

  /** @param {string} state */
  becomeIce(state) {
    this.iceConnectionState = state;
    this.dispatchEvent(new Event('iceconnectionstatechange'));
  }

  /** @param {() => void} operation */
  #operate(operation) {
    this.#operations++;
    const result = this.#chain.then(() => Promise.resolve()).then(operation);
    this.#chain = result.catch(() => {}).then(() => {
      this.#operations--;
      queueMicrotask(() => this.#fireNegotiationNeeded());
    });
    return result;
  }
}

/** No test reaches a network. */
async function fetch() {
  throw new TypeError('fetch failed');
}

Object.assign(globalThis, { MediaStream: FakeMediaStream, RTCPeerConnection: FakePeerConnection, fetch });
