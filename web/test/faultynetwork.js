// @ts-check
// WebSockets over a network on which everything goes wrong. Connections break at any moment, go on in one direction only,
// die without a sign, stall, deliver a message twice, or lose one.
import assert from 'node:assert/strict';
import { STALE } from './modelserver.js';

/** @import { ModelServer } from './modelserver.js' */

/** @typedef {(seed: number) => () => number} Randomness */

/** Random numbers in [0, 1) from a seed (mulberry32). @type {Randomness} */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One direction of a connection: messages arrive late, but in order. */
class Way {
  isCut = false;
  #free = 0;
  #network;

  /** @param {Network} network */
  constructor(network) {
    this.#network = network;
  }

  /** @param {() => void} arrive */
  carry(arrive) {
    const now = performance.now();
    this.#free = Math.max(this.#free, now + this.#network.latency());
    setTimeout(() => this.isCut || arrive(), this.#free - now);
  }
}

export class Network {
  /** When true, nothing goes wrong any more. */
  calm = false;
  /** @type {Set<FaultySocket>} */
  sockets = new Set();
  /** @type {unknown[]} errors that were thrown where nobody would see them */
  failures = [];
  counts = { opened: 0, unreachable: 0, broken: 0, silent: 0, halfDead: 0, doubled: 0, skipped: 0 };

  /** @param {() => number} random @param {ModelServer} server */
  constructor(random, server) {
    this.random = random;
    this.server = server;
  }

  /** Milliseconds. */
  latency() {
    const stalls = !this.calm && this.random() < 0.01;
    return stalls ? this.random() * 3000 : 5 + this.random() * 60;
  }

  /** The WebSocket class of one page. Once the page is gone, its sockets send nothing more. @param {{ isGone: boolean }} page */
  socketFor(page) {
    const network = this;
    return class extends FaultySocket {
      constructor() {
        super(network, page);
      }
    };
  }

  /** Breaks all connections. @param {number} [code] with which a page closed them */
  break(code) {
    for (const socket of [...this.sockets]) socket.break(code);
  }

  calmDown() {
    this.calm = true;
    this.break();
  }
}

export class FaultySocket extends EventTarget {
  readyState = 0;
  bufferedAmount = 0;
  #network;
  #page;
  #up;
  #down;
  /** @type {ReturnType<ModelServer['connected']> | undefined} */
  #server;
  #ids = new Set();
  /** The server's rate limit: 200 messages at once, 50 a second. */
  #taken = 0;
  #takenAt = performance.now();
  /** The last number that the client has acknowledged, and the last that it was given. */
  #told = 0;

  /** @param {Network} network @param {{ isGone: boolean }} page */
  constructor(network, page) {
    super();
    this.#network = network;
    this.#page = page;
    this.#up = new Way(network);
    this.#down = new Way(network);
    network.sockets.add(this);
    const { random, calm } = network;
    if (!calm && random() < 0.1) {
      network.counts.unreachable++;
      if (random() < 0.8) setTimeout(() => this.#closed(1006, ''), network.latency());
      return; // Or there is no answer at all.
    }
    this.#up.carry(() => this.#accepted());
    if (!calm) this.#planFault();
  }

  /** @param {string} data */
  send(data) {
    if (this.#page.isGone) return;
    const message = JSON.parse(data);
    if (this.readyState !== 1) this.#network.failures.push(new Error(`${data} was sent while the socket is not open`));
    if (this.#ids.has(message.id)) this.#network.failures.push(new Error(`${data} was sent twice on one connection`));
    if (message.id !== undefined) this.#ids.add(message.id);
    this.#taken = 1 + Math.max(0, this.#taken - (performance.now() - this.#takenAt) / 20);
    this.#takenAt = performance.now();
    if (this.#taken > 200) this.#network.failures.push(new Error(`${data} is too much at once`));
    if (message.received !== undefined) this.#told = message.received;
    this.#up.carry(() => this.#server?.receive(message));
    if (!this.#network.calm && message.id !== undefined && message.type !== 'hello' && this.#network.random() < 0.03) {
      this.#network.counts.doubled++; // The server survives it.
      this.#up.carry(() => this.#server?.receive(message));
    }
  }

  close(code = 1005) {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    this.#down.isCut = true;
    this.#up.carry(() => this.#server?.lost(code));
    setTimeout(() => this.#closed(1006, ''), this.#network.random() * 5000);
  }

  /** Breaks as a network does, or when its page ends. The server learns of it soon. @param {number} [code] with which the page closed */
  break(code = 1006) {
    if (this.readyState === 3) return;
    this.#up.isCut = this.#down.isCut = true;
    setTimeout(() => this.#server?.lost(code), this.#network.latency());
    setTimeout(() => this.#closed(1006, ''), this.#network.latency());
  }

  #planFault() {
    const { random, counts } = this.#network;
    setTimeout(() => {
      if (this.readyState > 1 || this.#network.calm) return;
      const kind = random();
      if (kind < 0.6) {
        counts.broken++;
        return this.break();
      }
      // Nobody learns of it. In the end the server notices, at the latest when another connection replaces this one.
      const silent = kind < 0.8;
      if (silent || kind < 0.9) this.#up.isCut = true;
      if (silent || kind >= 0.9) this.#down.isCut = true;
      if (silent) counts.silent++;
      else counts.halfDead++;
      const up = kind >= 0.8 && kind < 0.9;
      setTimeout(() => (up ? this.break() : this.#server?.lost(1006)), up ? random() * 8000 : 45_000);
    }, -Math.log(1 - random()) * 1800);
  }

  #accepted() {
    if (this.readyState !== 0) return;
    this.#network.counts.opened++;
    this.#server = this.#network.server.connected({
      send: (message) => this.#down.carry(() => this.#bring(message)),
      close: (code, reason) => this.#down.carry(() => this.#closed(code, reason)),
    });
    this.#down.carry(() => {
      if (this.readyState !== 0) return;
      this.readyState = 1;
      this.dispatchEvent(new Event('open'));
    });
  }

  /** @param {any} message */
  #bring(message) {
    if (this.readyState !== 1 || this.#page.isGone) return;
    const data = JSON.stringify(message);
    assert.notEqual(message.message, STALE);
    if (message.type === 'welcome') this.#told = message.after;
    const { calm, random, counts } = this.#network;
    const fault = message.seq === undefined || calm ? 1 : random();
    if (fault < 0.001) return void counts.skipped++;
    const times = fault < 0.03 ? 2 : 1;
    if (times > 1) counts.doubled++;
    for (let time = 0; time < times && this.readyState === 1; time++) {
      this.dispatchEvent(Object.assign(new Event('message'), { data }));
    }
    const untold = (message.seq ?? 0) - this.#told;
    if (this.readyState === 1) assert.ok(untold < 32, `${untold} messages are not acknowledged`);
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.#network.sockets.delete(this);
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
  }
}
