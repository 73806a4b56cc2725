// @ts-check
// The exchange of a code between two pages, and with peers that follow nothing. internal/code has the same tests, and one of Go
// against JavaScript.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTimers, settle } from './fakes.js';
import { BrokenExchangeError, UnansweredError, WrongCodeError, receiveCode, sendCode } from '../static/code/exchange.js';
import { start } from '../static/code/spake2.js';

const WORDS = 'crossover-clockwork';
const BINDING = new Uint8Array(32).fill(7);

/** One direction of a stream. */
class Pipe {
  /** @type {number[]} */
  #bytes = [];
  #ended = false;
  #wake = () => {};
  said = 0;

  /** @param {Uint8Array} bytes */
  write = (bytes) => {
    this.said += bytes.length;
    this.#bytes.push(...bytes);
    this.#wake();
  };

  end = () => {
    this.#ended = true;
    this.#wake();
  };

  /** @param {number} length @returns {Promise<Uint8Array>} */
  read = async (length) => {
    while (this.#bytes.length < length) {
      if (this.#ended) throw new Error('The stream has ended.');
      await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
    }
    return new Uint8Array(this.#bytes.splice(0, length));
  };
}

/** @param {Partial<Record<'sends' | 'receives', string>> & { ofReceiver?: Uint8Array<ArrayBuffer> }} [options] */
async function both({ sends = WORDS, receives = WORDS, ofReceiver = BINDING } = {}) {
  const up = new Pipe();
  const down = new Pipe();
  const results = await Promise.all([
    ended(sendCode({ words: sends, binding: BINDING, read: up.read, write: down.write }), down),
    ended(receiveCode({ words: receives, binding: ofReceiver, read: down.read, write: up.write }), up),
  ]);
  return { results, down };
}

/** A side that has failed ends its stream. @param {Promise<void>} side @param {Pipe} own */
async function ended(side, own) {
  try {
    await side;
    return undefined;
  } catch (error) {
    own.end();
    return error;
  }
}

test('two sides with the same words confirm each other', async () => {
  const { results } = await both();
  assert.deepEqual(results, [undefined, undefined]);
});

test('wrong words, or somebody in between: both sides say so, and the sender says nothing more', async () => {
  for (const options of [{ receives: 'crossover-cobra' }, { receives: 'x' }, { ofReceiver: new Uint8Array(32) }]) {
    const { results, down } = await both(options);
    for (const error of results) assert.ok(error instanceof WrongCodeError, String(error));
    assert.equal(down.said, 2 + 65 + 2);
  }
});

/** @param {number} kind @param {Uint8Array} content */
const frame = (kind, content) => new Uint8Array([kind, content.length, ...content]);

/** @typedef {{ says: (bytes: Uint8Array) => void, hears: () => Promise<Uint8Array> }} Peer */

/**
 * A side against a peer that does what it likes, and then ends the stream.
 *
 * @param {typeof sendCode} side
 * @param {(peer: Peer) => Promise<void> | void} peer
 */
async function against(side, peer) {
  const up = new Pipe();
  const down = new Pipe();
  const hears = async () => down.read((await down.read(2))[1] ?? 0);
  const [error] = await Promise.all([
    ended(side({ words: WORDS, binding: BINDING, read: up.read, write: down.write }), down),
    Promise.resolve(peer({ says: up.write, hears })).then(up.end),
  ]);
  return error;
}

test('a sender says of a hostile receiver whether the code is used up: it is once the sender has answered', async () => {
  const share = frame(1, (await start('receiver', WORDS, BINDING)).share);
  /** @type {[name: string, want: unknown, peer: (peer: Peer) => Promise<void> | void][]} */
  const cases = [
    ['says nothing', undefined, () => {}],
    ['half of a share', undefined, ({ says }) => says(share.slice(0, 30))],
    ['a confirmation first', undefined, ({ says }) => says(frame(2, new Uint8Array(32)))],
    ['a refusal first', undefined, ({ says }) => says(frame(3, new Uint8Array()))],
    ['a long frame', undefined, ({ says }) => says(frame(1, new Uint8Array(255)))],
    ['no point', undefined, ({ says }) => says(frame(1, new Uint8Array(65)))],
    ['stops after pA', BrokenExchangeError, async ({ says, hears }) => {
      says(share);
      await hears();
    }],
    ['another share', BrokenExchangeError, async ({ says, hears }) => {
      says(share);
      await hears();
      says(share);
    }],
    ['gives up', WrongCodeError, async ({ says, hears }) => {
      says(share);
      await hears();
      says(frame(3, new Uint8Array()));
    }],
    ['guesses', WrongCodeError, async ({ says, hears }) => {
      says(share);
      says(frame(2, (await hears()).slice(0, 32)));
      assert.equal((await hears()).length, 0);
    }],
  ];
  for (const [name, want, peer] of cases) check(name, await against(sendCode, peer), want);
});

test('a receiver says likewise of a hostile sender, and somebody who does not answer has no guess', async () => {
  /** @type {[name: string, want: unknown, peer: (peer: Peer) => Promise<void> | void][]} */
  const cases = [
    ['stops after pB', UnansweredError, async ({ hears }) => void (await hears())],
    ['refuses pB', UnansweredError, async ({ says, hears }) => {
      await hears();
      says(frame(3, new Uint8Array()));
    }],
    ['no point', UnansweredError, async ({ says, hears }) => {
      await hears();
      says(frame(1, new Uint8Array(65)));
    }],
    ['reflects', WrongCodeError, async ({ says, hears }) => {
      says(frame(1, await hears()));
      says(frame(2, await hears()));
      assert.equal((await hears()).length, 0);
    }],
    ['stops after cB', BrokenExchangeError, async ({ says, hears }) => {
      await hears();
      says(frame(1, (await start('sender', WORDS, BINDING)).share));
      await hears();
    }],
    ['refuses cB', WrongCodeError, async ({ says, hears }) => {
      await hears();
      says(frame(1, (await start('sender', WORDS, BINDING)).share));
      await hears();
      says(frame(3, new Uint8Array()));
    }],
  ];
  for (const [name, want, peer] of cases) check(name, await against(receiveCode, peer), want);
});

/** @param {string} name @param {unknown} error @param {unknown} want */
function check(name, error, want) {
  assert.ok(error instanceof Error, `${name}: it is confirmed`);
  for (const type of [WrongCodeError, BrokenExchangeError, UnansweredError]) assert.equal(error instanceof type, type === want, `${name}: ${error}`);
}

test('a peer that says nothing more is not waited for without end', async () => {
  const timers = new FakeTimers();
  try {
    const up = new Pipe();
    const down = new Pipe();
    const share = frame(1, (await start('receiver', WORDS, BINDING)).share);
    const side = ended(sendCode({ words: WORDS, binding: BINDING, read: up.read, write: down.write }), down);
    up.write(share);
    await down.read(67);
    await settle();
    timers.tick(30_000);
    check('silence', await side, BrokenExchangeError);
    assert.equal(timers.waiting, 0);

    const mute = ended(sendCode({ words: WORDS, binding: BINDING, read: new Pipe().read, write: down.write }), new Pipe());
    while (timers.waiting < 2) await new Promise(setImmediate);
    timers.tick(5000);
    check('a receiver that does not begin', await mute, undefined);
    const impostor = new Pipe();
    const asks = ended(receiveCode({ words: WORDS, binding: BINDING, read: new Pipe().read, write: impostor.write }), new Pipe());
    await impostor.read(67);
    while (timers.waiting < 2) await new Promise(setImmediate);
    timers.tick(10_000);
    check('a sender that does not answer', await asks, UnansweredError);
    assert.equal(timers.waiting, 0);
  } finally {
    timers.restore();
  }
});
