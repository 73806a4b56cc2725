// @ts-check
import { backoff, pause } from './backoff.js';
import { Connection } from './connection.js';
import { TurnpikeError, codeOf, isPassing } from './error.js';
import { Inbox } from './inbox.js';
import { Outbox } from './outbox.js';
import { Pace } from './pace.js';
import { SignIn } from './signin.js';
import { HOME } from './tickets.js';

/**
 * @import { ClientOptions } from './client.js'
 * @import { ClientMessage, Numbered, ServerMessage, Welcome } from './messages.js'
 *
 * @typedef {'connecting' | 'online' | 'offline' | 'closed'} LinkState
 * @typedef {{ session: string, token: string, received: number, lastId: number }} Kept what the page keeps of a session
 *
 * @typedef {object} LinkHandlers
 * @property {(state: LinkState) => void} state
 * @property {(welcome: Welcome, fresh: boolean) => void} welcome what it changes is to be changed at once: more follows
 * @property {(message: ServerMessage) => void} message any other, once and in order
 * @property {(error: TurnpikeError) => void} refused the server's answer to a message that wanted none
 * @property {(error: unknown) => void} closed `error` says why, unless it was by `close`
 */

/** A connection that lived this long was a good one: the next pause is a short one again. */
const STABLE_MS = 10_000;
/** What has been sent for this long, with nothing coming in, raises the doubt that anything arrives. */
const DOUBT_MS = 4000;
const PROBE_MS = 2000;
/** Enough if there is another witness: the peers are silent too, or the browser says that the network has changed. */
const SHORT_PROBE_MS = 1000;
/** An attempt that is older than this when the network comes back was made on the former one. */
const FORLORN_MS = 1000;
const BYE_MS = 2000;
/** Longer than this we do not stay away, whatever the server, or a proxy before it, asks. */
const MAX_ASKED_MS = 600_000;
const PACE_MS = 250;
/** Another connection has taken over our session, which is to say another page. */
const REPLACED = 4006;
/** The session was ended for a reason that stands, such as a revoked invite. */
const ENDED = 4007;

/**
 * The session with the server, over as many connections as it takes: every message once and in order, both ways, as
 * signal/PROTOCOL.md has it.
 *
 *     offline ──▶ connecting ──hello──▶ online ──▶ offline ──▶ ...      until closed
 */
export class Link {
  /** @type {LinkState} */
  state = 'offline';
  #options;
  #handlers;
  #signIn;
  #end = new AbortController();
  /** @type {Connection | undefined} */
  #connection;
  /** @type {Inbox} */
  #inbox;
  /** @type {Outbox} */
  #outbox;
  /** @type {{ session: string, token: string } | undefined} undefined: the next welcome is a new session's */
  #resume;
  /** Our peers do not live in this page: it was loaded anew. */
  #fresh;
  /** When the server has asked us to come back, in milliseconds of performance.now. */
  #returnAt = 0;
  /** We know that the connection was dead, or that the network is back: there is nothing to wait for. */
  #hurry = false;
  /** Cuts short what is going on while there is no connection: a pause, or the opening of one. */
  #interrupt = new AbortController();
  #openingSince = 0;
  #heard = 0;
  #pace = new Pace();
  /** @type {ReturnType<typeof setTimeout> | undefined} nothing is sent until then: it would be too much */
  #resting;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #doubt;
  /** @type {Promise<boolean> | undefined} */
  #probing;

  /**
   * @param {ClientOptions} options
   * @param {Kept | undefined} kept of the page that was here before
   * @param {LinkHandlers} handlers
   */
  constructor(options, kept, handlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#signIn = new SignIn(options);
    this.#resume = kept && { session: kept.session, token: kept.token };
    this.#fresh = kept !== undefined;
    this.#inbox = new Inbox(kept?.received);
    this.#outbox = new Outbox(kept?.lastId);
  }

  /** @returns {Kept | undefined} with which another page can go on; undefined if there is no session */
  get kept() {
    return this.#resume && { ...this.#resume, received: this.#inbox.received, lastId: this.#outbox.lastId };
  }

  /** Connects, and does so again whenever the connection is lost, until `close`. */
  async run() {
    const ended = this.#end.signal;
    for (let attempt = 0; !ended.aborted; attempt++) {
      const since = performance.now();
      try {
        this.#setState('connecting');
        const resume = this.#resume && { ...this.#resume, received: this.#inbox.received, fresh: this.#fresh || undefined };
        const connection = await this.#signIn.enter(() => this.#connect(), resume, ended);
        const { code, reason } = await connection.closed;
        if (reason === 'unauthorized') this.#signIn.refused();
        if (code === REPLACED) this.#resume = undefined;
        if (code === ENDED) this.end(new TurnpikeError('ended', 'The server has ended the session.'));
        if (performance.now() - since > STABLE_MS) attempt = 0;
      } catch (error) {
        if (!isPassing(error)) this.end(error); // Any other stays as it is.
        if (error instanceof TurnpikeError && error.retryAfter) this.#returnAt = performance.now() + error.retryAfter * 1000;
      }
      this.#connection?.drop();
      if (ended.aborted) return;
      this.#outbox.lost();
      this.#setState('offline');
      await this.#pause(attempt);
    }
  }

  /**
   * Asks for something and resolves with the answer, which may come on a later connection.
   *
   * @param {ClientMessage} message
   * @returns {Promise<any>}
   */
  async request(message) {
    if (this.state === 'closed') throw new TurnpikeError('closed', 'The client is closed.');
    const answer = this.#outbox.request(message);
    this.#flush();
    return answer;
  }

  /**
   * Says something that has no answer. It arrives, once, if the session lives.
   *
   * @param {ClientMessage} message
   * @throws {TurnpikeError} `too-long`
   */
  tell(message) {
    if (this.state === 'closed') return;
    if (this.#outbox.isFull) return this.#giveUp();
    this.#outbox.tell(message);
    this.#flush();
  }

  /** @param {(message: ClientMessage) => boolean} matches @returns {boolean} whether such a message waits for its answer */
  isWaiting(matches) {
    return this.#outbox.has(matches);
  }

  /**
   * Finds out whether the server still hears us. If not, the connection is dropped, and the way back begins at once.
   *
   * @param {{ suspicious?: boolean }} [options] something else speaks for a change of network
   * @returns {Promise<boolean>}
   */
  async probe({ suspicious = false } = {}) {
    const connection = this.#connection;
    if (this.state !== 'online' || !connection) return false;
    this.#probing ??= connection.ask({ type: 'ping' }, suspicious ? SHORT_PROBE_MS : PROBE_MS)
      .then(() => true, (error) => !['timeout', 'offline'].includes(codeOf(error))) // Any word from the server will do.
      .then((alive) => {
        this.#probing = undefined;
        this.#hurry = !alive;
        if (!alive) connection.drop();
        return alive;
      });
    return this.#probing;
  }

  /**
   * The network is back, or the user: a pause is over, and a connection has to show that it works.
   *
   * @param {{ suspicious?: boolean }} [options]
   */
  wake(options) {
    if (this.state === 'online') return void this.probe(options);
    const isForlorn = this.state === 'connecting' && performance.now() - this.#openingSince > FORLORN_MS;
    if (this.state === 'connecting' && !isForlorn) return;
    this.#hurry = true;
    this.#interrupt.abort(new TurnpikeError('offline', 'The network has changed.'));
    this.#connection?.drop();
  }

  /** Says farewell: the session and its relays end. Resolves when the server has closed. */
  async close() {
    const connection = this.#connection;
    const wasOnline = this.state === 'online';
    if (wasOnline) connection?.send({ type: 'bye' });
    this.#resume = undefined;
    this.end(undefined);
    if (!connection) return;
    if (!wasOnline) return connection.drop();
    const timer = setTimeout(() => connection.drop(), BYE_MS);
    await connection.closed;
    clearTimeout(timer);
  }

  /** @param {unknown} error why the link ends; undefined if it was told to */
  end(error) {
    if (this.state === 'closed') return;
    this.#setState('closed');
    const closed = new TurnpikeError('closed', 'The client is closed.');
    this.#end.abort(closed);
    this.#interrupt.abort(closed);
    clearTimeout(this.#doubt);
    clearTimeout(this.#resting);
    this.#outbox.fail(closed);
    this.#handlers.closed(error);
    if (error !== undefined) this.#connection?.drop();
  }

  async #connect() {
    const url = new URL('/signal', this.#options.url ?? HOME);
    url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
    this.#end.signal.throwIfAborted();
    this.#interrupt = new AbortController();
    this.#openingSince = performance.now();
    /** @type {Connection} */
    const connection = await Connection.open(this.#options.WebSocket ?? WebSocket, url,
      (message, length) => this.#receive(connection, message, length), this.#interrupt.signal);
    this.#connection = connection;
    return connection;
  }

  /**
   * @param {Connection} connection
   * @param {ServerMessage} message
   * @param {number} length
   */
  #receive(connection, message, length) {
    if (connection !== this.#connection || this.#end.signal.aborted) return; // What an abandoned one still says, the next says again.
    this.#heard++;
    if (message.type === 'welcome') return this.#welcome(message);
    switch (this.#inbox.take('seq' in message ? message.seq : undefined, length)) {
      case 'known': return;
      case 'gap': return connection.drop();
    }
    this.#handle(message);
    this.#settle(message);
    if (this.#inbox.isDue) this.#acknowledge();
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
    // The server keeps the former token valid until it hears from us here.
    if (resumed) this.#acknowledge();
    this.#setState('online');
    this.#flush();
  }

  #acknowledge() {
    this.#inbox.tell();
    this.#connection?.send({ type: 'ack', received: this.#inbox.received });
  }

  #flush() {
    if (this.state !== 'online' || this.#resting) return;
    if (!this.#outbox.flush((message) => this.#send(message), this.#pace)) this.#rest(PACE_MS);
  }

  /** @param {number} ms */
  #rest(ms) {
    this.#resting ??= setTimeout(() => {
      this.#resting = undefined;
      this.#flush();
    }, Math.min(ms, MAX_ASKED_MS));
  }

  /** @param {ClientMessage & Numbered} message */
  #send(message) {
    const received = this.#inbox.tell();
    this.#connection?.send(received === undefined ? message : { ...message, received });
    const heard = this.#heard;
    this.#doubt ??= setTimeout(() => {
      this.#doubt = undefined;
      if (heard === this.#heard) this.probe();
    }, DOUBT_MS);
  }

  /** More is unsaid than may be: better no session than one with a gap. */
  #giveUp() {
    if (!this.#resume && this.state !== 'online') return; // The next session begins without it anyway.
    this.#resume = undefined;
    if (this.state === 'connecting') this.#interrupt.abort(new TurnpikeError('offline', 'Too much waits to be sent.'));
    this.#connection?.drop();
  }

  /** @param {number} attempt */
  async #pause(attempt) {
    this.#interrupt = new AbortController();
    const asked = Math.min(MAX_ASKED_MS, Math.max(0, this.#returnAt - performance.now()));
    if (!this.#hurry) await pause(asked + backoff(attempt), this.#interrupt.signal);
    this.#hurry = false;
    this.#returnAt = 0;
  }

  /** @param {LinkState} state */
  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.#handlers.state(state);
  }
}
