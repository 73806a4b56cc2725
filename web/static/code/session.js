// @ts-check
import { Stream } from '../files/stream.js';
import { makePinning } from './pinning.js';
import { Client } from '../sdk/client.js';

/**
 * @import { Slot } from './api.js'
 * @import { ClientOptions } from '../sdk/options.js'
 * @import { Peer } from '../sdk/peer/peer.js'
 *
 * @typedef {Awaited<ReturnType<typeof enter>>} CodeSession
 */

/**
 * Signs in for the room of a slot alone, and enters it. What the page does elsewhere is untouched.
 *
 * @param {Slot} slot
 * @param {Pick<ClientOptions, 'getTicket'> & { signal: AbortSignal }} options
 */
export async function enter(slot, { getTicket, signal }) {
  const pinning = await makePinning();
  const client = new Client({
    name: slot.name, storage: null, timeout: Infinity, rtc: pinning.rtc, signal, ...(getTicket ? { getTicket } : { ticket: slot.ticket }),
  });
  await client.open();
  const room = await client.join(slot.room, { create: true, signal });
  return { client, room, pinning };
}

/**
 * Waits until data goes through.
 *
 * @param {Peer} peer
 * @param {AbortSignal} signal gives up
 */
export async function connected(peer, signal) {
  while (peer.state !== 'connected') {
    signal.throwIfAborted();
    const either = new AbortController();
    await /** @type {Promise<void>} */ (new Promise((resolve) => {
      peer.on('state', () => resolve(), { signal: either.signal });
      signal.addEventListener('abort', () => resolve(), { signal: either.signal });
    }));
    either.abort();
  }
}

/**
 * @param {Peer} peer that is connected
 * @param {string} name
 */
export function openStream(peer, name) {
  return new Stream(peer.openChannel(name));
}

/**
 * What `receiveCode` and `sendCode` read from and write to.
 *
 * @param {Stream} stream
 */
export function frames(stream) {
  return {
    read: (/** @type {number} */ count) => stream.readExactly(count),
    write: (/** @type {Uint8Array<ArrayBuffer>} */ bytes) => stream.write(bytes),
  };
}

/** Waits, unless it is given up. @param {number} ms @param {AbortSignal} signal */
export function pause(ms, signal) {
  return /** @type {Promise<void>} */ (new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  }));
}
