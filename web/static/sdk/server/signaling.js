// @ts-check
import { TurnpikeError, asTurnpikeError, clientClosed, codeOf, isPassing } from '../error.js';
import { serverUrl } from './address.js';
import { backoff, pause } from './backoff.js';
import { Inbox } from './inbox.js';
import { Outbox } from './outbox.js';
import { SignIn } from './signin.js';
import { ServerSocket } from './socket.js';
import { adviceOn } from './unreachable.js';

/**
 * @import { ClientOptions } from '../options.js'
 * @import { ClientMessage, Numbered, ServerMessage, Welcome } from './messages.js'
 * @import { Closed } from './socket.js'
 *
 * @typedef {'connecting' | 'online' | 'offline' | 'closed'} SignalingState
 * @typedef {{ session: string, token: string, received: number, lastId: number }} SavedSession
 *
 * @typedef {object} Retry
 * @property {number} attempt that has failed, from 1; each outage counts anew
 * @property {number} inMs milliseconds until the next one, unless the network comes back sooner
 * @property {TurnpikeError} cause
 *
 * @typedef {object} SignalingHandlers
 * @property {(cause: TurnpikeError) => void} lost we were online, and the connection is lost
 * @property {(retry: Retry) => void} retry an attempt has failed
 * @property {() => boolean} isNeeded whether we must go on, although we cannot sign in
 * @property {(error: TurnpikeError) => void} barred we cannot sign in, and go on all the same; once for each outage
 * @property {(how: 'first' | 'replayed' | 'restored' | 'anew') => void} online the welcome is applied, and the state is `online`
 * @property {(welcome: Welcome, fresh: boolean) => void} welcome must apply it before it returns: more messages follow
 * @property {(message: ServerMessage) => void} message any other, once and in order
 * @property {(error: TurnpikeError) => void} refused the server's error for a message without an answer
 * @property {(error: unknown) => void} closed `error` says why; undefined after `close`
 */

/** After a socket that lived this long, the pauses start short again. */
const STABLE_MS = 10_000;
/** If nothing comes in for this long after something was sent, the server is probed. */
const DOUBT_MS = 4000;
const PROBE_MS = 2000;
/** Enough with a second sign: the peers are silent too, or the browser says that the network has changed. */
const SHORT_PROBE_MS = 1000;
/** When the network comes back, an attempt older than this was made on the former network. */
const FORLORN_MS = 1000;
const BYE_MS = 2000;
/** The longest pause that the server, or a proxy in front of it, can ask for. */
const MAX_ASKED_MS = 600_000;
const PACE_MS = 250;
/** The pause after an attempt that was refused. */
const REFUSED_MS = 10_000;
/** Close code: another socket, of another page, has taken over our session. */
const REPLACED = 4006;
/** Close code: the server has ended the session for a lasting reason, such as a revoked invite. */
const ENDED = 4007;
/** Close code: the session was as old as it may be. A new ticket begins another. */
const EXPIRED = 4008;

/**
 * The signaling with the server, over as many sockets as it takes: every message once and in order, both ways. The rules
 * are in signal/PROTOCOL.md.
 *
 *     offline ──▶ connecting ──hello──▶ online ──▶ offline ──▶ ...      until closed
 */
export class Signaling {
  /** @type {SignalingState} */
  state = 'offline';
  /** @type {TurnpikeError | undefined} what requests fail with, since we cannot sign in */
  barred;
  #options;
  #handlers;
  #signIn;
  #end = new AbortController();
  /** @type {ServerSocket | undefined} */
  #socket;
  /** @type {Inbox} */
  #inbox;
  /** @type {Outbox} */
  #outbox;
  /** @type {{ session: string, token: string } | undefined} undefined: the next welcome is a new session's */
  #resume;
  /** This page was loaded anew, so the connections to our peers are gone. */
  #fresh;
  /** There was no welcome yet. */
  #isFirst = true;
  /** The developer was told why there is none. */
  #advised = false;
  /** When the server has asked us to come back, in milliseconds of performance.now. */
  #returnAt = 0;
  /** We reconnect without a pause: the socket was found dead, or the network is back. */
  #hurry = false;
  /** Ends a pause, or the opening of a socket. */
  #interrupt = new AbortController();
  #openingSince = 0;
  /** How many messages have come in. */
  #heard = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} until it fires, nothing is sent: it would be too much */
  #restTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #doubtTimer;
  /** @type {Promise<boolean> | undefined} */
  #probing;

  /**
   * @param {ClientOptions} options
   * @param {SavedSession | undefined} saved by the page before this one
   * @param {SignalingHandlers} handlers
   */
  constructor(options, saved, handlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#signIn = new SignIn(options);
    this.#resume = saved && { session: saved.session, token: saved.token };
    this.#fresh = saved !== undefined;
    this.#inbox = new Inbox(saved?.received);
    this.#outbox = new Outbox(saved?.lastId);
  }

  /** That we ask for when we sign in; '' leaves it to the ticket. */
  get name() {
    return this.#signIn.name;
  }

  set name(name) {
    this.#signIn.name = name;
  }

  /** @returns {SavedSession | undefined} lets another page go on with the session; undefined if there is none */
  get saved() {
    return this.#resume && { ...this.#resume, received: this.#inbox.received, lastId: this.#outbox.lastId };
  }

  /** Connects, and reconnects whenever the socket is lost, until `close`. */
  async run() {
    const ended = this.#end.signal;
    for (let [attempt, failures] = [0, 0]; !ended.aborted; attempt++) {
      const since = performance.now();
      /** @type {unknown} */
      let cause;
      try {
        this.state = 'connecting';
        const resume = this.#resume && { ...this.#resume, received: this.#inbox.received, fresh: this.#fresh || undefined };
        const socket = await this.#signIn.enter(() => this.#connect(), resume, ended);
        cause = this.#ended(await socket.closed);
        if (performance.now() - since > STABLE_MS) attempt = 0;
      } catch (error) {
        cause = await this.#explained(error);
        if (!isPassing(cause)) this.#refused(cause);
        if (error instanceof TurnpikeError && error.retryAfter) this.#returnAt = performance.now() + error.retryAfter * 1000;
      }
      const wasOnline = this.state === 'online';
      this.#socket?.drop();
      if (ended.aborted) return;
      this.#outbox.lost();
      this.state = 'offline';
      failures = wasOnline ? 0 : failures + 1;
      if (wasOnline) this.#handlers.lost(asTurnpikeError(cause));
      const inMs = this.#nextPause(attempt);
      if (!wasOnline) this.#handlers.retry({ attempt: failures, inMs, cause: asTurnpikeError(cause) });
      await this.#pause(inMs);
    }
  }

  /**
   * We cannot sign in, and waiting alone will not heal that. While media goes on without the server we try again now and then:
   * the app may get a better ticket.
   *
   * @param {unknown} error
   */
  #refused(error) {
    if (this.#end.signal.aborted || this.#isFirst || !this.#handlers.isNeeded()) return this.end(error);
    this.#returnAt = performance.now() + REFUSED_MS;
    if (this.barred) return;
    const cause = asTurnpikeError(error);
    this.barred = new TurnpikeError('barred', `The server does not sign us in: ${cause.message}`, { cause });
    this.#outbox.fail(this.barred);
    this.#handlers.barred(cause);
  }

  /**
   * Adds to the error of a first attempt that nothing has answered what could be wrong.
   *
   * @param {unknown} error
   */
  async #explained(error) {
    if (!this.#isFirst || this.#advised || this.#end.signal.aborted || codeOf(error) !== 'offline') return error;
    this.#advised = true;
    const hint = await adviceOn(serverUrl(this.#options.url));
    return new TurnpikeError('offline', /** @type {TurnpikeError} */ (error).message, { hint, cause: error });
  }

  /**
   * The socket has closed. This takes the consequences, and says why it was.
   *
   * @param {Closed} closed
   */
  #ended({ code, reason }) {
    if (reason === 'unauthorized' || code === EXPIRED) this.#signIn.refused();
    if (code === REPLACED || code === EXPIRED) this.#resume = undefined;
    if (code === ENDED) this.end(new TurnpikeError('ended', 'The server has ended the session.'));
    return new TurnpikeError('offline', `The connection to the server is lost: it was closed with ${code}${reason && ` (${reason})`}.`);
  }

  /**
   * Sends a request and resolves with the answer, which may come on a later socket.
   *
   * @param {ClientMessage} message
   * @returns {Promise<any>}
   */
  async request(message) {
    if (this.state === 'closed') throw clientClosed();
    if (this.barred) throw this.barred;
    const answer = this.#outbox.request(message);
    this.#flush();
    return answer;
  }

  /**
   * Sends a message that has no answer. It arrives once, if the session lives.
   *
   * @param {ClientMessage} message
   * @throws {TurnpikeError} `too-long`
   */
  send(message) {
    if (this.state === 'closed') return;
    if (this.#outbox.isFull) return this.#giveUp();
    this.#outbox.enqueue(message);
    this.#flush();
  }

  /** @param {(message: ClientMessage) => boolean} matches @returns {boolean} whether such a message waits for its answer */
  isWaiting(matches) {
    return this.#outbox.has(matches);
  }

  /**
   * Finds out whether the server still hears us. If not, the socket is dropped, and reconnecting begins at once.
   *
   * @param {{ suspicious?: boolean }} [options] suspicious: there is another sign that the network has changed
   * @returns {Promise<boolean>}
   */
  async probe({ suspicious = false } = {}) {
    const socket = this.#socket;
    if (this.state !== 'online' || !socket) return false;
    this.#probing ??= socket.ask({ type: 'ping' }, suspicious ? SHORT_PROBE_MS : PROBE_MS)
      .then(() => true, (error) => !['timeout', 'offline'].includes(codeOf(error))) // Any answer shows that the server is there.
      .then((alive) => {
        this.#probing = undefined;
        this.#hurry = !alive;
        if (!alive) socket.drop();
        return alive;
      });
    return this.#probing;
  }

  /**
   * The network is back, or the user is. A pause ends, and a socket that is open gets probed.
   *
   * @param {{ suspicious?: boolean }} [options]
   */
  wake(options) {
    if (this.state === 'online') return void this.probe(options);
    const isForlorn = this.state === 'connecting' && performance.now() - this.#openingSince > FORLORN_MS;
    if (this.state === 'connecting' && !isForlorn) return;
    this.#hurry = true;
    this.#interrupt.abort(new TurnpikeError('offline', 'The network has changed.'));
    this.#socket?.drop();
  }

  /** Says farewell in the last moment of a page: the session and its relays end. */
  farewell() {
    if (this.state === 'online') this.#socket?.send({ type: 'bye' });
    this.#resume = undefined;
  }

  /** Says farewell: the session and its relays end. Resolves when the server has closed the socket. */
  async close() {
    const socket = this.#socket;
    const wasOnline = this.state === 'online';
    this.farewell();
    this.end(undefined);
    if (!socket) return;
    if (!wasOnline) return socket.drop();
    const timer = setTimeout(() => socket.drop(), BYE_MS);
    await socket.closed;
    clearTimeout(timer);
  }

  /** @param {unknown} error why the signaling ends; undefined after `close` */
  end(error) {
    if (this.state === 'closed') return;
    this.state = 'closed';
    const closed = clientClosed();
    this.#end.abort(closed);
    this.#interrupt.abort(closed);
    clearTimeout(this.#doubtTimer);
    clearTimeout(this.#restTimer);
    this.#outbox.fail(closed);
    this.#handlers.closed(error);
    if (error !== undefined) this.#socket?.drop();
  }

  async #connect() {
    const url = new URL('/signal', serverUrl(this.#options.url));
    url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
    this.#end.signal.throwIfAborted();
    this.#interrupt = new AbortController();
    this.#openingSince = performance.now();
    /** @type {ServerSocket} */
    const socket = await ServerSocket.open(this.#options.WebSocket ?? globalThis.WebSocket, url,
      (message, length) => this.#receive(socket, message, length), this.#interrupt.signal);
    this.#socket = socket;
    return socket;
  }

  /**
   * @param {ServerSocket} socket
   * @param {ServerMessage} message
   * @param {number} length
   */
  #receive(socket, message, length) {
    // The next socket repeats the messages of an abandoned one.
    if (socket !== this.#socket || this.#end.signal.aborted) return;
    this.#heard++;
    if (message.type === 'welcome') return this.#welcome(message);
    switch (this.#inbox.receive('seq' in message ? message.seq : undefined, length)) {
      case 'known': return;
      case 'gap': return socket.drop();
    }
    this.#handle(message);
    this.#settle(message);
    if (this.#inbox.isAckDue) this.#acknowledge();
  }

  /** @param {ServerMessage} message */
  #handle(message) {
    if (message.type === 'resume' && this.#resume) this.#resume = { ...this.#resume, token: message.token };
    if (message.type === 'going-away') this.#returnAt = performance.now() + message.retryAfter * 1000;
    this.#handlers.message(message);
  }

  /** @param {ServerMessage} message */
  #settle(message) {
    const refusal = this.#outbox.settle(message);
    if (refusal?.code === 'rate-limited') this.#rest((refusal.retryAfter ?? 1) * 1000);
    else if (refusal) this.#handlers.refused(refusal);
  }

  /** @param {Welcome} welcome */
  #welcome(welcome) {
    const { session, resume, resumed, handled } = welcome;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    this.barred = undefined;
    this.#resume = resume ? { session, token: resume } : undefined;
    this.#inbox = new Inbox(welcome.after);
    if (resumed === 'replayed') this.#outbox.replayed(handled);
    else this.#outbox.restarted();
    const fresh = this.#fresh && resumed !== undefined;
    this.#fresh = false;
    this.#hurry = false;
    this.#returnAt = 0;
    this.#handlers.welcome(welcome, fresh);
    if (this.#end.signal.aborted) return;
    // Until it gets this, the server keeps the former token valid.
    if (resumed) this.#acknowledge();
    this.state = 'online';
    this.#handlers.online(resumed ?? (isFirst ? 'first' : 'anew'));
    this.#flush();
  }

  #acknowledge() {
    this.#inbox.nextAck();
    this.#socket?.send({ type: 'ack', received: this.#inbox.received });
  }

  #flush() {
    if (this.state !== 'online' || this.#restTimer) return;
    if (!this.#outbox.flush((message) => this.#transmit(message))) this.#rest(PACE_MS);
  }

  /** @param {number} ms */
  #rest(ms) {
    this.#restTimer ??= setTimeout(() => {
      this.#restTimer = undefined;
      this.#flush();
    }, Math.min(ms, MAX_ASKED_MS));
  }

  /** @param {ClientMessage & Numbered} message */
  #transmit(message) {
    const received = this.#inbox.nextAck();
    this.#socket?.send(received === undefined ? message : { ...message, received });
    const heard = this.#heard;
    this.#doubtTimer ??= setTimeout(() => {
      this.#doubtTimer = undefined;
      if (heard === this.#heard) this.probe();
    }, DOUBT_MS);
  }

  /** Too many messages wait. The session is given up, since it would have a gap. */
  #giveUp() {
    if (!this.#resume && this.state !== 'online') return; // The next session begins without the messages anyway.
    this.#resume = undefined;
    if (this.state === 'connecting') this.#interrupt.abort(new TurnpikeError('offline', 'Too much waits to be sent.'));
    this.#socket?.drop();
  }

  /** @param {number} attempt @returns {number} milliseconds before the next one */
  #nextPause(attempt) {
    const asked = Math.min(MAX_ASKED_MS, Math.max(0, this.#returnAt - performance.now()));
    return this.#hurry ? 0 : asked + backoff(attempt);
  }

  /** @param {number} ms */
  async #pause(ms) {
    this.#interrupt = new AbortController();
    if (ms > 0) await pause(ms, this.#interrupt.signal);
    this.#hurry = false;
    this.#returnAt = 0;
  }
}
