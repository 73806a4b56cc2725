// @ts-check
import { backoff, pause } from './backoff.js';
import { Call } from './call.js';
import { Connection, fromMessage } from './connection.js';
import { Emitter } from './emitter.js';
import { moderate } from './moderation.js';
import { TurnpikeError, codeOf } from './error.js';
import { Room } from './room.js';
import { HOME } from './tickets.js';
import { Waits } from './waits.js';

/**
 * @import { ClientMessage, JoinMessage, ServerMessage, User, Welcome } from './messages.js'
 *
 * @typedef {object} ClientOptions
 * @property {string | URL} [url] the server; default: where this file came from
 * @property {string} [ticket] admits us; when it has expired, there is no reconnecting
 * @property {(request: TicketRequest) => Promise<string | { ticket: string }>} [getTicket] asked at every connection
 * @property {string} [name] a guest's own choice; default: the ticket's
 * @property {(taken: string) => string | undefined} [onNameTaken] another name to try; undefined gives up
 * @property {AbortSignal} [signal] gives up waiting for the first welcome
 * @property {typeof WebSocket} [WebSocket] default: the platform's
 * @property {typeof RTCPeerConnection} [RTCPeerConnection] default: the platform's
 *
 * @typedef {object} TicketRequest
 * @property {string | undefined} name that the ticket should be for
 * @property {boolean} fresh the last ticket was refused, so that a stored one will not do
 * @property {AbortSignal} signal
 *
 * @typedef {object} JoinOptions
 * @property {boolean} [create] make the room if there is none of this id
 * @property {number} [size] 2 to 16 people; for creating
 * @property {boolean} [waitingRoom] whoever comes later waits until the host lets them in; for creating
 * @property {() => void} [onWaiting] we wait to be let in
 * @property {AbortSignal} [signal] gives up, waiting too
 *
 * @typedef {'connecting' | 'online' | 'offline' | 'closed'} ClientState
 *
 * @typedef {object} ClientEvents
 * @property {ClientState} state
 * @property {User[]} presence everyone else who is online; guests see nobody
 * @property {Call} call somebody rings
 * @property {Room} room entered, by `join` or by a call
 * @property {{ retryAfter: number }} going-away the server is about to stop
 * @property {TurnpikeError} error the server's answer to a message that wanted none
 * @property {{ error: unknown }} closed `error` says why, unless it was by `close`
 */

/** What time may heal; any other error ends the client. */
const PASSING = new Set(['offline', 'timeout', 'rate-limited', 'internal', 'slow']);
/** A connection that lived this long was a good one: the next pause is a short one again. */
const STABLE_MS = 10_000;
const MAX_SIGN_IN_TRIES = 20;
/** The server needs up to 45 s to notice that the connection of our former session is dead. */
const REJOIN_TRIES = 12;
const REJOIN_PAUSE_MS = 5000;
const BYE_MS = 2000;

/**
 * A signed-in connection to the server. When it is lost, the client comes back by itself: as a new session that enters
 * the same rooms.
 *
 * @extends {Emitter<ClientEvents>}
 */
export class Client extends Emitter {
  /** @type {Connection | undefined} */
  #connection;
  #waits = new Waits();
  #end = new AbortController();
  #refused = false;
  /** Seconds that the server asked us to wait before coming back. */
  #retryAfter = 0;

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    this.options = options;
    /** @type {ClientState} */
    this.state = 'offline';
    this.session = '';
    this.user = '';
    this.name = options.name ?? '';
    this.role = '';
    /** @type {RTCIceServer[]} */
    this.iceServers = [];
    /** @type {Map<string, User>} everyone else who is online, by user */
    this.online = new Map();
    /** @type {Map<string, Room>} by id */
    this.rooms = new Map();
    /** @type {Map<string, Call>} by id */
    this.calls = new Map();
  }

  /**
   * Signs in and stays so until `close`. Resolves at the first welcome; a server that cannot be reached is tried again
   * for as long as it takes. Rejects with what time will not heal: `unauthorized`, `name-taken`, `invite-required`...
   */
  open() {
    const { signal } = this.options;
    const settled = new AbortController();
    const opened = new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      signal?.addEventListener('abort', () => this.#fail(signal.reason), { signal: settled.signal });
      this.on('state', ({ detail }) => detail === 'online' && resolve(undefined), { signal: settled.signal });
      this.on('closed', ({ detail }) => reject(detail.error ?? new TurnpikeError('closed')), { signal: settled.signal });
      this.#run();
    });
    return opened.finally(() => settled.abort());
  }

  /**
   * Enters a room. Without an id the server makes one up and creates it. If the room has a waiting room, this
   * resolves when somebody has let us in.
   *
   * @param {string} [id]
   * @param {JoinOptions} [options]
   * @returns {Promise<Room>}
   * @throws {TurnpikeError} `not-existing`, `full`, `locked`, `kicked`, `refused`, `forbidden`, `bad-message`
   */
  async join(id, { create, size, waitingRoom, onWaiting, signal } = {}) {
    signal?.throwIfAborted();
    const message = { type: /** @type {const} */ ('join'), room: id?.toLowerCase(), create, size, waiting: waitingRoom };
    return abortable(this.#enter(message, onWaiting, signal), signal, (room) => room.leave());
  }

  /**
   * @param {JoinMessage} message
   * @param {(() => void) | undefined} onWaiting
   * @param {AbortSignal | undefined} signal
   */
  async #enter(message, onWaiting, signal) {
    const { room: id } = await this.request(message);
    if (this.#waits.has(id)) {
      const giveUp = () => this.send({ type: 'leave', room: id });
      if (signal?.aborted) giveUp();
      signal?.addEventListener('abort', giveUp);
      onWaiting?.();
      await this.#waits.over(id).finally(() => signal?.removeEventListener('abort', giveUp));
    }
    const room = this.rooms.get(id);
    if (!room) throw new TurnpikeError('closed', 'The room was left before it was entered.');
    return room;
  }

  /**
   * Rings a user. Resolves when it rings there.
   *
   * @param {string} user
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Call>}
   * @throws {TurnpikeError} `no-such-user`, `busy`, `forbidden`
   */
  async call(user, { signal } = {}) {
    signal?.throwIfAborted();
    const calling = this.request({ type: 'call', to: user }).then((ringing) => {
      const call = this.calls.get(ringing.call);
      if (!call) throw new TurnpikeError('no-such-call', 'The call has ended.');
      return call;
    });
    return abortable(calling, signal, (call) => call.cancel());
  }

  /** Says farewell: the session and its relays end. Resolves when the server has closed. */
  async close() {
    const connection = this.#connection;
    if (this.state === 'online') connection?.send({ type: 'bye' });
    this.#fail(undefined);
    if (!connection) return;
    const timer = setTimeout(() => connection.drop(), BYE_MS);
    await connection.closed;
    clearTimeout(timer);
  }

  /**
   * For Room and Call.
   *
   * @param {ClientMessage} message
   */
  send(message) {
    this.#connection?.send(message);
  }

  /**
   * For Room and Call.
   *
   * @param {ClientMessage} message
   * @returns {Promise<any>} the answer
   */
  async request(message) {
    if (this.state === 'closed') throw new TurnpikeError('closed', 'The client is closed.');
    if (this.state !== 'online' || !this.#connection) {
      throw new TurnpikeError('offline', 'There is no connection to the server.');
    }
    return this.#connection.request(message);
  }

  async #run() {
    const ended = this.#end.signal;
    let attempt = 0;
    while (!ended.aborted) {
      try {
        this.#setState('connecting');
        const connection = await this.#signIn();
        const since = performance.now();
        this.#setState('online');
        for (const room of this.rooms.values()) this.#rejoin(room);
        for (const room of this.#waits.rooms) this.#waitAgain(room);
        const { reason } = await connection.closed;
        this.#refused = reason === 'unauthorized';
        if (performance.now() - since > STABLE_MS) attempt = 0;
      } catch (error) {
        if (!PASSING.has(codeOf(error))) this.#fail(error);
        this.#retryAfter ||= (error instanceof TurnpikeError && error.retryAfter) || 0;
      }
      this.#connection?.drop();
      if (ended.aborted) return;
      this.#lost();
      await pause(this.#retryAfter * 1000 + backoff(attempt++), ended).catch(() => {});
      this.#retryAfter = 0;
    }
  }

  /** @returns {Promise<Connection>} that has been welcomed */
  async #signIn() {
    for (let tries = 1; ; tries++) {
      try {
        const ticket = await this.#getTicket();
        if (!this.#connection?.isOpen) this.#connection = await this.#connect();
        await this.#connection.request({ type: 'hello', ticket, name: this.name || undefined }, this.#end.signal);
        this.#refused = false;
        return this.#connection;
      } catch (error) {
        this.#end.signal.throwIfAborted();
        if (tries >= MAX_SIGN_IN_TRIES || !this.#mayTryAgain(error)) throw error;
      }
    }
  }

  /** @param {unknown} error of an attempt to sign in */
  #mayTryAgain(error) {
    if (codeOf(error) === 'name-taken') {
      const other = this.options.onNameTaken?.(this.name);
      if (!other) return false;
      this.name = other;
      this.#refused = true; // A stored ticket is for the old name.
      return true;
    }
    const again = codeOf(error) === 'unauthorized' && !!this.options.getTicket && !this.#refused;
    this.#refused = true;
    return again;
  }

  async #getTicket() {
    const { ticket, getTicket } = this.options;
    if (!getTicket) return ticket ?? '';
    const signal = this.#end.signal;
    const answer = await getTicket({ name: this.name || undefined, fresh: this.#refused, signal });
    return typeof answer === 'string' ? answer : answer.ticket;
  }

  #connect() {
    const url = new URL('/signal', this.options.url ?? HOME);
    url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
    const Socket = this.options.WebSocket ?? WebSocket;
    return Connection.open(Socket, url, (message) => this.#receive(message), this.#end.signal);
  }

  /**
   * Everything that a message changes is changed here, before the promise of a request resolves.
   *
   * @param {ServerMessage} message
   */
  #receive(message) {
    switch (message.type) {
      case 'welcome': return this.#welcome(message);
      case 'joined': return this.#joined(message);
      case 'left': return this.#left(message.room, message.reason);
      case 'waiting': return this.#waits.begin(message.room);
      case 'peer-joined': return this.rooms.get(message.room)?.addPeer(message.peer);
      case 'peer-left': return this.rooms.get(message.room)?.removePeer(message.session, message.reason);
      case 'signal': return this.rooms.get(message.room)?.receive(message);
      case 'online':
      case 'offline': return this.#presence(message.type, message.users);
      case 'call': return this.emit('call', this.#newCall(message.call, 'incoming', message.from));
      case 'ringing': return void this.#newCall(message.call, 'outgoing', message.to);
      case 'accept': return this.calls.get(message.call)?.accepted(message.room);
      case 'decline': return this.calls.get(message.call)?.end('decline', message.reason ?? 'declined');
      case 'cancel': return this.calls.get(message.call)?.end('cancel', message.reason ?? 'cancelled');
      case 'hangup': return this.calls.get(message.call)?.end('hangup', 'hangup');
      case 'ice-servers': return this.#setIceServers(message.iceServers);
      case 'going-away':
        this.#retryAfter = message.retryAfter;
        return this.emit('going-away', { retryAfter: message.retryAfter });
      case 'error':
        if (message.ref === undefined) this.emit('error', fromMessage(message));
        return;
      default:
        if ('room' in message) moderate(this.rooms.get(message.room), message);
    }
  }

  /** @param {Welcome} welcome */
  #welcome({ session, user, name, role, iceServers, online }) {
    Object.assign(this, { session, user, name, role, iceServers });
    this.online.clear();
    this.#presence('online', online ?? []);
  }

  /** @param {import('./messages.js').Joined} joined */
  #joined(joined) {
    const known = this.rooms.get(joined.room);
    const room = known ?? new Room(this, joined);
    this.rooms.set(room.id, room);
    room.update(joined);
    this.#waits.admitted(room.id);
    if (known) return;
    this.emit('room', room);
    for (const call of this.calls.values()) {
      if (call.roomId === room.id) call.joined(room);
    }
  }

  /**
   * @param {string} room that we were in, or waited for
   * @param {string} reason
   */
  #left(room, reason) {
    this.rooms.get(room)?.end(reason);
    this.#waits.left(room, reason);
  }

  /**
   * @param {'online' | 'offline'} change
   * @param {User[]} users
   */
  #presence(change, users) {
    for (const user of users) {
      if (change === 'online') this.online.set(user.user, user);
      else this.online.delete(user.user);
    }
    this.emit('presence', [...this.online.values()]);
  }

  /**
   * @param {string} id
   * @param {'incoming' | 'outgoing'} direction
   * @param {User} user
   */
  #newCall(id, direction, user) {
    const call = new Call(this, id, direction, user);
    this.calls.set(id, call);
    return call;
  }

  /** @param {RTCIceServer[]} iceServers */
  #setIceServers(iceServers) {
    this.iceServers = iceServers;
    for (const room of this.rooms.values()) {
      for (const peer of room.peers.values()) peer.setIceServers(iceServers);
    }
  }

  /** @param {Room} room that we were in before the connection was lost */
  async #rejoin(room) {
    const connection = this.#connection;
    for (let tries = 1; connection === this.#connection && !room.isLeft; tries++) {
      try {
        await this.request({ type: 'join', room: room.id, create: true, size: room.size });
        return;
      } catch (error) {
        const code = codeOf(error);
        if (code === 'offline' || code === 'closed') return; // The next connection enters it.
        if (code !== 'full' || tries === REJOIN_TRIES) return room.end(code);
        await pause(REJOIN_PAUSE_MS, this.#end.signal).catch(() => {});
      }
    }
  }

  /** Only our former session waited. @param {string} room */
  async #waitAgain(room) {
    try {
      await this.request({ type: 'join', room });
    } catch (error) {
      if (codeOf(error) !== 'offline') this.#waits.failed(room, error);
    }
  }

  /** What cannot outlive the connection. Peers can, until we are back. */
  #lost() {
    this.#setState('offline');
    for (const call of [...this.calls.values()]) {
      if (call.state === 'ringing') call.end('cancel', 'gone');
    }
    this.calls.clear();
    this.online.clear();
    this.emit('presence', []);
  }

  /** @param {unknown} error why the client ends; undefined if it was told to */
  #fail(error) {
    if (this.state === 'closed') return;
    this.#setState('closed');
    this.#end.abort(new TurnpikeError('closed', 'The client is closed.'));
    for (const call of [...this.calls.values()]) call.end('cancel', 'gone');
    for (const room of [...this.rooms.values()]) room.end('closed');
    for (const room of this.#waits.rooms) this.#waits.failed(room, new TurnpikeError('closed', 'The client is closed.'));
    this.emit('closed', { error });
    if (error !== undefined) this.#connection?.drop();
  }

  /** @param {ClientState} state */
  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }
}

/**
 * What is asked for, unless the signal aborts first. The server may be doing it by then, so it is undone once it is
 * done.
 *
 * @template T
 * @param {Promise<T>} asked
 * @param {AbortSignal | undefined} signal
 * @param {(done: T) => unknown} undo
 * @returns {Promise<T>}
 */
function abortable(asked, signal, undo) {
  if (!signal) return asked;
  const settled = new AbortController();
  /** @type {Promise<never>} */
  const aborted = new Promise((_, reject) => {
    const abort = () => {
      reject(signal.reason);
      asked.then(undo, () => {});
    };
    signal.addEventListener('abort', abort, { signal: settled.signal });
  });
  return Promise.race([asked, aborted]).finally(() => settled.abort());
}
