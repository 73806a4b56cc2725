// The page's side of an exchange, on standard input and output: node exchange.mjs SIDE BINDING, with the words in the environment.
// Its exit status says how it ended.
import { webcrypto } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import { BrokenExchangeError, UnansweredError, WrongCodeError, receiveCode, sendCode } from '../../../web/static/code/exchange.js';

globalThis.crypto ??= webcrypto; // Node.js 18 lacks it.

const [, , side, binding] = process.argv;
const options = {
  words: process.env.WORDS,
  binding: new Uint8Array(Buffer.from(binding, 'hex')),
  read: async (length) => {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const n = readSync(0, bytes, at, length - at);
      if (n === 0) throw new Error('the stream has ended');
      at += n;
    }
    return bytes;
  },
  write: (bytes) => void writeSync(1, bytes),
};

try {
  await (side === 'sender' ? sendCode : receiveCode)(options);
} catch (error) {
  process.exitCode = error instanceof WrongCodeError ? 10 : error instanceof BrokenExchangeError ? 11 : error instanceof UnansweredError ? 12 : 13;
}
