// @ts-check
import { TurnpikeError } from '../error.js';
import { patience } from './backoff.js';
import { SUBPROTOCOL, errorFrom } from './messages.js';

/** @import { ClientMessage, Numbered, ServerMessage } from './messages.js' */

const OPEN_TIMEOUT_MS = 10_000;
/** With more than this unsent, the network is gone. */
const MAX_BUFFERED_BYTES = 1 << 20;

/**
 * @typedef {{ code: number, reason: string }} Closed how the WebSocket ended; code 1006 if the network did it
 * @typedef {(message: ServerMessage, length: number) => void} Receiver `length` of the message, in UTF-16 units
 */

/**
 * One WebSocket from its opening to its close. It passes every message to `onMessage`, in order. It matches answers only
 * to `hello` and `ping`, which concern the socket itself: the answer to a session's request may come on a later socket.
 */
export class ServerSocket {
  /** @type {Map<string, { answer: (message: any) => void, fail: (error: unknown) => void }>} by the id of the question */
  #asked = new Map();
  #lastId = 0;
  /** @type {(closed: Closed) => void} */
  #settleClosed = () => {};

  /**
   * @param {WebSocket} socket newly made
   * @param {Receiver} onMessage
   */
  constructor(socket, onMessage) {
    this.socket = socket;
    /** @type {Promise<Closed>} settles once, and never rejects */
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
    socket.addEventListener('close', (event) => this.#ended({ code: event.code, reason: event.reason }));
    socket.addEventListener('message', (event) => this.#receive(event.data, onMessage));
  }

  /**
   * @param {typeof globalThis.WebSocket} WebSocket
   * @param {URL} url
   * @param {Receiver} onMessage
   * @param {AbortSignal} signal
   * @returns {Promise<ServerSocket>}
   */
  static open(WebSocket, url, onMessage, signal) {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const opening = new ServerSocket(opened(WebSocket, url), onMessage);
      /** @param {unknown} reason */
      const fail = (reason) => {
        stopWaiting();
        signal.removeEventListener('abort', aborted);
        opening.drop();
        reject(reason);
      };
      const aborted = () => fail(signal.reason);
      const stopWaiting = patience(OPEN_TIMEOUT_MS, () => fail(offline('The server did not answer in time.')));
      signal.addEventListener('abort', aborted);
      opening.socket.addEventListener('open', () => {
        stopWaiting();
        signal.removeEventListener('abort', aborted);
        resolve(opening);
      });
      opening.closed.then(() => fail(offline('The server cannot be reached.')));
    });
  }

  get isOpen() {
    return this.socket.readyState === 1;
  }

  /**
   * Sends a message. A closed socket ignores it, and a socket with too much unsent is dropped.
   *
   * @param {ClientMessage & Numbered} message
   */
  send(message) {
    if (!this.isOpen) return;
    if (this.socket.bufferedAmount > MAX_BUFFERED_BYTES) return this.drop();
    this.socket.send(JSON.stringify(message));
  }

  /**
   * Sends a message and resolves with the answer. Rejects with a TurnpikeError, which is the server's, `offline` or
   * `timeout`, or with the signal's reason.
   *
   * @param {ClientMessage} message
   * @param {number} ms to wait for the answer
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  ask(message, ms, signal) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (!this.isOpen) throw offline('The connection to the server is lost.');
      const id = `${message.type}-${++this.#lastId}`; // Ids that are numbers belong to the session's requests.
      /** @param {() => void} settle */
      const done = (settle) => {
        stopWaiting();
        signal?.removeEventListener('abort', aborted);
        this.#asked.delete(id);
        settle();
      };
      const aborted = () => done(() => reject(signal?.reason));
      const stopWaiting = patience(ms, () => done(() => reject(new TurnpikeError('timeout', 'The server did not answer in time.'))));
      signal?.addEventListener('abort', aborted);
      this.#asked.set(id, {
        answer: (message) => done(() => (message.type === 'error' ? reject(errorFrom(message)) : resolve(message))),
        fail: (error) => done(() => reject(error)),
      });
      this.send({ ...message, id });
    });
  }

  /** Closes without a farewell, and does not wait for the other side. */
  drop() {
    this.socket.close();
    this.#ended({ code: 1006, reason: '' });
  }

  /** @param {Closed} closed */
  #ended(closed) {
    this.#settleClosed(closed);
    for (const { fail } of [...this.#asked.values()]) fail(offline('The connection was lost before the server answered.'));
  }

  /**
   * @param {unknown} data
   * @param {Receiver} onMessage
   */
  #receive(data, onMessage) {
    const text = String(data);
    const message = parse(text);
    if (!message) return;
    onMessage(message, text.length);
    if ('ref' in message && message.ref !== undefined) this.#asked.get(message.ref)?.answer(message);
  }
}

/**
 * @param {typeof globalThis.WebSocket} WebSocket
 * @param {URL} url
 */
function opened(WebSocket, url) {
  try {
    return new WebSocket(url.href, SUBPROTOCOL);
  } catch (cause) {
    const hint = 'A page of https: reaches only servers of https:.';
    throw new TurnpikeError('bad-url', `This page may open no WebSocket to ${url.origin}.`, { cause, hint });
  }
}

/** @param {string} message */
function offline(message) {
  return new TurnpikeError('offline', message);
}

/**
 * @param {string} text
 * @returns {ServerMessage | undefined} undefined if it is not an object with a type
 */
function parse(text) {
  try {
    const message = JSON.parse(text);
    return typeof message?.type === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}
