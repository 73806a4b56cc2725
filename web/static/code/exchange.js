// @ts-check
// The exchange of a code over a stream `code`: docs/file-protocol.md has its frames. internal/code does the same in Go.
import { start } from './spake2.js';

/**
 * @import { Confirmer } from './spake2.js'
 *
 * @typedef {object} CodeOptions
 * @property {string} words of the code, such as `crossover-clockwork`
 * @property {Uint8Array<ArrayBuffer>} binding of the connection that carries the stream
 * @property {(length: number) => Promise<Uint8Array>} read resolves to just so many bytes of the stream; rejects if it ends before
 * @property {(bytes: Uint8Array<ArrayBuffer>) => unknown} write
 */

const SHARE = 1;
const CONFIRMATION = 2;
const REFUSAL = 3;
const LENGTHS = { [SHARE]: 65, [CONFIRMATION]: 32 };
/** More than the exchange takes over any line. Nobody types meanwhile. */
const EXCHANGE_MS = 30_000;
/** A receiver that means it begins at once. Others wait meanwhile. */
const SHARE_MS = 5000;
/** A sender answers at once. */
const ANSWER_MS = 10_000;

/** The other side has other words, or somebody is in between. It was a guess: the code is used up. */
export class WrongCodeError extends Error {
  constructor() {
    super('The other side has other words, or somebody is in between.');
    this.name = 'WrongCodeError';
  }
}

/** An exchange was begun, and not confirmed by both sides. It may have been a guess: the code is used up. */
export class BrokenExchangeError extends Error {
  /** @param {unknown} cause */
  constructor(cause) {
    super('The words were not confirmed by both sides.', { cause });
    this.name = 'BrokenExchangeError';
  }
}

/** The other side has not answered, so this one gave away no guess. If it was the sender, it takes this for one. */
export class UnansweredError extends Error {
  /** @param {unknown} cause */
  constructor(cause) {
    super('The other side has not answered.', { cause });
    this.name = 'UnansweredError';
  }
}

class Refused extends Error {}

/**
 * The sender's side. Resolves once the receiver has proved that it knows the words. Errors other than the two above say that
 * nothing was guessed.
 *
 * @param {CodeOptions} options
 */
export async function sendCode({ words, binding, read, write }) {
  const exchange = await start('sender', words, binding);
  const late = timeout();
  try {
    const confirmer = await exchange.finish(await readShare(read, late, SHARE_MS));
    await begun(async () => {
      await writeFrame(SHARE, exchange.share, write);
      await verified(confirmer, read, write, late);
      await writeFrame(CONFIRMATION, confirmer.confirmation, write);
    });
  } finally {
    late.clear();
  }
}

/**
 * The receiver's side, likewise. Resolves once both sides have proved that they know the words. Also rejects with UnansweredError.
 *
 * @param {CodeOptions} options
 */
export async function receiveCode({ words, binding, read, write }) {
  const exchange = await start('receiver', words, binding);
  const late = timeout();
  try {
    await writeFrame(SHARE, exchange.share, write);
    const confirmer = await readShare(read, late, ANSWER_MS).then((share) => exchange.finish(share)).catch((error) => {
      throw new UnansweredError(error);
    });
    await begun(async () => {
      await writeFrame(CONFIRMATION, confirmer.confirmation, write);
      await verified(confirmer, read, write, late);
    });
  } finally {
    late.clear();
  }
}

/** From here on, whatever goes wrong may have been a guess. @param {() => Promise<void>} steps */
async function begun(steps) {
  try {
    await steps();
  } catch (error) {
    if (error instanceof WrongCodeError) throw error;
    throw error instanceof Refused ? new WrongCodeError() : new BrokenExchangeError(error);
  }
}

/**
 * @param {Confirmer} confirmer
 * @param {CodeOptions['read']} read
 * @param {CodeOptions['write']} write
 * @param {Timeout} late
 */
async function verified(confirmer, read, write, late) {
  if (confirmer.verify(await readFrame(CONFIRMATION, read, late))) return;
  await writeFrame(REFUSAL, new Uint8Array(), write);
  throw new WrongCodeError();
}

/** @param {number} kind @param {Uint8Array} content @param {CodeOptions['write']} write */
async function writeFrame(kind, content, write) {
  await write(new Uint8Array([kind, content.length, ...content]));
}

/** @param {SHARE | CONFIRMATION} kind @param {CodeOptions['read']} read @param {Timeout} late */
async function readFrame(kind, read, late) {
  const [came, length] = await late.within(read(2));
  if (came === REFUSAL && length === 0) throw new Refused('The other side refuses what this one has sent.');
  if (came !== kind || length !== LENGTHS[kind]) throw new Error(`A frame of kind ${came} with ${length} bytes came in the place of kind ${kind}.`);
  return late.within(read(length));
}

/** @param {CodeOptions['read']} read @param {Timeout} late @param {number} ms within which it comes */
async function readShare(read, late, ms) {
  const sooner = timeout(ms);
  try {
    return await sooner.within(readFrame(SHARE, read, late));
  } finally {
    sooner.clear();
  }
}

/** @typedef {ReturnType<typeof timeout>} Timeout */

/** Bounds the whole exchange, or a part of it. */
function timeout(ms = EXCHANGE_MS) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const over = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('The other side was silent for too long.')), ms);
  });
  over.catch(() => {}); // Nobody may be waiting.
  return {
    /** @template T @param {Promise<T>} promise @returns {Promise<T>} */
    within: (promise) => /** @type {Promise<T>} */ (Promise.race([promise, over])),
    clear: () => clearTimeout(timer),
  };
}
