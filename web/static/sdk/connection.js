// @ts-check
import { SUBPROTOCOL } from './messages.js';
import { TurnpikeError } from './error.js';

/** @import { ClientMessage, ServerMessage } from './messages.js' */

const OPEN_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 15_000;
/** More than this unsent means that the network is gone; a lost candidate would break negotiation in silence. */
const MAX_BUFFERED_BYTES = 1 << 20;
const MAX_PENDING = 256;
const ACK_EVERY = 32;

/**
 * @typedef {{ code: number, reason: string }} Closed how the WebSocket ended; code 1006 if the network did it
 * @typedef {{ resolve: (answer: any) => void, reject: (error: unknown) => void }} Pending
 */

/**
 * One WebSocket from its opening to its close: it finds the answer that belongs to each request, and hands every
 * message, answers included, to `onMessage` first, in order.
 */
export class Connection {
  /** @type {Map<string, Pending>} requests that wait for their answer, by id */
  #pending = new Map();
  #lastId = 0;
  #received = 0;
  /** @type {(closed: Closed) => void} */
  #settleClosed = () => {};

  /**
   * @param {WebSocket} socket newly made
   * @param {(message: ServerMessage) => void} onMessage
   */
  constructor(socket, onMessage) {
    this.socket = socket;
    /** @type {Promise<Closed>} settles once, and never rejects */
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
    socket.addEventListener('close', (event) => this.#ended({ code: event.code, reason: event.reason }));
    socket.addEventListener('message', (event) => this.#receive(event.data, onMessage));
  }

  /**
   * @param {typeof WebSocket} Socket
   * @param {URL} url
   * @param {(message: ServerMessage) => void} onMessage
   * @param {AbortSignal} signal
   * @returns {Promise<Connection>}
   */
  static open(Socket, url, onMessage, signal) {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const connection = new Connection(new Socket(url.href, SUBPROTOCOL), onMessage);
      /** @param {unknown} reason */
      const fail = (reason) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        connection.drop();
        reject(reason);
      };
      const aborted = () => fail(signal.reason);
      const timer = setTimeout(() => fail(offline('The server did not answer in time.')), OPEN_TIMEOUT_MS);
      signal.addEventListener('abort', aborted);
      connection.socket.addEventListener('open', () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        resolve(connection);
      });
      connection.closed.then(() => fail(offline('The server cannot be reached.')));
    });
  }

  get isOpen() {
    return this.socket.readyState === 1;
  }

  /**
   * Sends a message that wants no answer. On a closed connection it is dropped: whoever needs it starts anew then.
   *
   * @param {ClientMessage & { id?: string }} message
   */
  send(message) {
    if (!this.isOpen) return;
    if (this.socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.drop();
      return;
    }
    this.socket.send(JSON.stringify(message));
  }

  /**
   * Sends a message and resolves with the answer, or rejects with a TurnpikeError: the server's, `offline` or
   * `timeout`; or with the signal's reason.
   *
   * @param {ClientMessage} message
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  request(message, signal) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (!this.isOpen) throw offline('The connection to the server is lost.');
      if (this.#pending.size >= MAX_PENDING) throw new TurnpikeError('rate-limited', 'Too many requests are waiting.');
      const id = String(++this.#lastId);
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
        this.#pending.delete(id);
      };
      const aborted = () => (done(), reject(signal?.reason));
      const late = () => (done(), reject(new TurnpikeError('timeout', 'The server did not answer in time.')));
      const timer = setTimeout(late, ANSWER_TIMEOUT_MS);
      signal?.addEventListener('abort', aborted);
      this.#pending.set(id, {
        resolve: (answer) => (done(), resolve(answer)),
        reject: (error) => (done(), reject(error)),
      });
      this.send({ ...message, id });
    });
  }

  /** Closes without a farewell, and does not wait for the other side. */
  drop() {
    this.socket.close();
    this.#ended({ code: 1006, reason: '' });
  }

  /**
   * @param {unknown} data
   * @param {(message: ServerMessage) => void} onMessage
   */
  #receive(data, onMessage) {
    const message = parse(data);
    if (!message) return;
    onMessage(message);
    this.#count(message);
    if (!('ref' in message) || typeof message.ref !== 'string') return;
    const pending = this.#pending.get(message.ref);
    if (message.type === 'error') pending?.reject(fromMessage(message));
    else pending?.resolve(message);
  }

  /** The server keeps what is not acknowledged, up to a bound. @param {ServerMessage} message */
  #count(message) {
    if (!('seq' in message) || typeof message.seq !== 'number') return;
    this.#received = message.seq;
    if (this.#received % ACK_EVERY === 0) this.send({ type: 'ack', received: this.#received });
  }

  /** @param {Closed} closed */
  #ended(closed) {
    this.#settleClosed(closed);
    for (const pending of [...this.#pending.values()]) {
      pending.reject(offline('The connection was lost before the server answered.'));
    }
  }
}

/** @param {import('./messages.js').ErrorMessage} message */
export function fromMessage({ code, message, field, retryAfter }) {
  return new TurnpikeError(code, message, { field, retryAfter });
}

/** @param {string} message */
function offline(message) {
  return new TurnpikeError('offline', message);
}

/**
 * @param {unknown} data
 * @returns {ServerMessage | undefined} undefined if it is not an object with a type
 */
function parse(data) {
  try {
    const message = JSON.parse(String(data));
    return typeof message?.type === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}
