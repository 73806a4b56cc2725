// @ts-check
import { Emitter, emit } from './emitter.js';
import { TurnpikeError } from './error.js';
import { Liveness } from './recovery/liveness.js';
import { followPage } from './recovery/pagelife.js';
import { Rejoin } from './recovery/rejoin.js';
import { ReloadStore } from './recovery/reload.js';
import { Admissions } from './room/admission.js';
import { Calls } from './room/calls.js';
import { Room } from './room/room.js';
import { serverUrl } from './server/address.js';
import { errorFrom } from './server/messages.js';
import { Renewal } from './server/renewal.js';
import { Signaling } from './server/signaling.js';

/**
 * @import { ClientOptions } from './options.js'
 * @import { SavedChat } from './peer/chat.js'
 * @import { Peer } from './peer/peer.js'
 * @import { SavedPage } from './recovery/reload.js'
 * @import { Call } from './room/call.js'
 * @import { ClientMessage, JoinMessage, Limits, Refreshed, RoomState, ServerMessage, User, Welcome } from './server/messages.js'
 * @import { SignalingState } from './server/signaling.js'
 *
 * @typedef {object} JoinOptions
 * @property {boolean} [create] make the room if there is none of this id
 * @property {number} [size] 2 to 16 people; for creating
 * @property {boolean} [waitingRoom] later people must wait until the host lets them in; for creating
 * @property {() => void} [onWaiting] called when we must wait to be let in
 * @property {AbortSignal} [signal] gives up, also while we wait to be let in
 *
 * @typedef {SignalingState} ClientState
 *
 * @typedef {object} ClientEvents
 * @property {ClientState} state
 * @property {null} reconnecting the connection is lost; the session may come back, and requests wait for it
 * @property {{ how: 'replayed' | 'restored' }} resumed replayed: nothing is lost; restored: the server has restarted
 * @property {null} lost another session had to begin; we join our rooms again, and calls that rang are over
 * @property {User[]} presence everyone else who is online; guests see nobody
 * @property {Call} call an incoming one
 * @property {Room} room we are in it: by `join`, by a call, or since before a reload
 * @property {{ retryAfter: number }} going-away the server is about to stop
 * @property {{ seconds: number }} expiring the session ends in so long unless `refresh` gets a new ticket; only without `getTicket`
 * @property {TurnpikeError} error the server's error for a message without an answer
 * @property {{ error: unknown }} closed `error` says why; undefined after `close`
 */

const RESUME_WINDOW_S = 30;
/** So many chats are saved for the next page, since the storage has a quota. */
const MAX_CHATS = 32;

/**
 * A session with the server. It outlives lost connections, changes of network, restarts of the server and, with a
 * `storage`, reloads of the page. The client reconnects by itself.
 *
 * @extends {Emitter<ClientEvents>}
 */
export class Client extends Emitter {
  #admissions = new Admissions();
  #calls = new Calls(this);
  #signaling;
  #liveness;
  #reloads;
  /** @type {Record<string, SavedChat>} of the page before this one, by room and session */
  #savedChats = {};
  #ended = new AbortController();
  #rejoin = new Rejoin(this, this.#ended.signal);
  #renewal;
  /** @type {User | undefined} the server has listed those who are online up to here; undefined: all */
  #listedTo;

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    this.options = options;
    this.session = '';
    this.user = '';
    this.name = options.name ?? '';
    this.role = '';
    /** @type {RTCIceServer[]} */
    this.iceServers = [];
    /** @type {Limits | undefined} what this session may do; undefined before the first welcome */
    this.limits = undefined;
    /** @type {Map<string, User>} everyone else who is online, by user; the first of them if `hasMoreOnline` */
    this.online = new Map();
    /** @type {Map<string, Room>} by id */
    this.rooms = new Map();
    /** @type {Map<string, Call>} by id */
    this.calls = this.#calls.all;
    this.#reloads = new ReloadStore(options.storage, serverUrl(options.url).origin);
    const saved = this.#reloads.claim();
    if (saved) this.#restore(saved);
    this.#signaling = new Signaling(options, saved?.link, {
      state: (state) => this.#stateChanged(state),
      welcome: (welcome, fresh) => this.#welcome(welcome, fresh),
      message: (message) => this.#receive(message),
      refused: (error) => emit(this, 'error', error),
      closed: (error) => this.#closed(error),
    });
    this.#renewal = new Renewal(options, (ticket) => this.refresh(ticket), (seconds) => emit(this, 'expiring', { seconds }));
    this.#liveness = new Liveness(this.#signaling, () => [...this.rooms.values()].flatMap((room) => [...room.peers.values()]));
  }

  /** @returns {ClientState} */
  get state() {
    return this.#signaling.state;
  }

  /** Whether more people are online than `online` has. */
  get hasMoreOnline() {
    return this.#listedTo !== undefined;
  }

  /** Adds the next of the people who are online to `online`, if there are more; `presence` fires. */
  async listMore() {
    if (this.#listedTo) await this.#signaling.request({ type: 'online', after: this.#listedTo });
  }

  /**
   * Signs in and stays signed in until `close`. Resolves at the first welcome. A server that cannot be reached is tried
   * again for as long as it takes. Rejects with errors that time will not heal: `unauthorized`, `name-taken`,
   * `invite-required`...
   */
  open() {
    const { signal } = this.options;
    const settled = new AbortController();
    const opened = new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      signal?.addEventListener('abort', () => this.#signaling.end(signal.reason), { signal: settled.signal });
      this.on('state', (state) => state === 'online' && resolve(undefined), { signal: settled.signal });
      this.on('closed', ({ error }) => reject(error ?? new TurnpikeError('closed')), { signal: settled.signal });
      this.#listen();
      this.#signaling.run();
    });
    return opened.finally(() => settled.abort());
  }

  /**
   * Joins a room. Without an id, the server makes one up and creates the room. If the room has a waiting room, this
   * resolves once somebody has let us in.
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
    if (this.#admissions.has(id)) {
      const giveUp = () => {
        this.#admissions.failed(id, signal?.reason);
        this.request({ type: 'leave', room: id }).catch(() => {});
      };
      if (signal?.aborted) giveUp();
      signal?.addEventListener('abort', giveUp);
      onWaiting?.();
      await this.#admissions.until(id).finally(() => signal?.removeEventListener('abort', giveUp));
    }
    const room = this.rooms.get(id);
    if (!room) throw new TurnpikeError('closed', 'We left the room before we were in it.');
    return room;
  }

  /**
   * Rings a user. Resolves when the user's client rings.
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

  /**
   * Has the session go on with a new ticket of the same user, and its rights; nothing breaks off. A client with `getTicket`
   * does so by itself.
   *
   * @param {string} ticket
   * @returns {Promise<any>}
   * @throws {TurnpikeError} `unauthorized`, `forbidden`
   */
  refresh(ticket) {
    return this.request({ type: 'refresh', ticket });
  }

  /** Says farewell: the session and its relays end. Resolves when the server has closed the connection. */
  close() {
    return this.#signaling.close();
  }

  // The methods below are for the rooms and calls: see RoomClient.

  /**
   * @param {string} room
   * @param {string} reason
   */
  roomEnded(room, reason) {
    this.#calls.roomEnded(room, reason);
  }

  /** @param {ClientMessage} message has no answer; without a connection it waits */
  send(message) {
    this.#signaling.send(message);
  }

  /**
   * Without a connection, the request waits. If the connection is lost, the answer comes on the next one.
   *
   * @param {ClientMessage} message
   * @returns {Promise<any>} the answer
   */
  request(message) {
    return this.#signaling.request(message);
  }

  /** Something is wrong with the path to a peer. @param {Peer} peer */
  doubt(peer) {
    this.#liveness.doubt(peer);
  }

  /**
   * Hands over the chat with a peer that the page before this one has saved.
   *
   * @param {string} room
   * @param {string} session
   */
  claimChat(room, session) {
    const key = `${room} ${session}`;
    const chat = this.#savedChats[key];
    delete this.#savedChats[key];
    return chat;
  }

  #listen() {
    const back = () => {
      this.#reloads.claim(); // We go on with the session ourselves.
      this.#signaling.wake();
    };
    followPage(this.options.events ?? globalThis, {
      online: () => this.#signaling.wake({ suspicious: true }),
      wake: () => this.#signaling.wake(),
      hide: () => this.#save(),
      show: back,
    }, this.#ended.signal);
  }

  /** Saves the session for the page that takes the place of this one. */
  #save() {
    const link = this.#signaling.saved;
    if (!link) return;
    const chats = [...this.rooms.values()].flatMap((room) => room.roster.chats.map(([session, chat]) => [`${room.id} ${session}`, chat]));
    const latest = [...Object.entries(this.#savedChats), ...chats].slice(-MAX_CHATS);
    this.#reloads.save({ link, chats: Object.fromEntries(latest), ...this.#calls.saved });
  }

  /** @param {SavedPage} saved */
  #restore(saved) {
    this.#savedChats = saved.chats;
    this.#calls.restore(saved);
  }

  /** @param {ClientState} state */
  #stateChanged(state) {
    emit(this, 'state', state);
    if (state === 'offline' && this.session) emit(this, 'reconnecting', null);
  }

  /**
   * Applies a message at once, before the promise of the request that it answers resolves.
   *
   * @param {ServerMessage} message
   */
  #receive(message) {
    switch (message.type) {
      case 'joined': return this.#isLeaving(message.room) ? undefined : this.#joined(message);
      case 'left': return this.#left(message.room, message.reason);
      case 'waiting': return this.#admissions.begin(message.room);
      case 'peer-joined':
        this.#roster(message)?.add(message.peer, { offers: false });
        return this.#liveness.start();
      case 'peer-left': return this.#roster(message)?.remove(message.session, message.reason);
      case 'peer-away': return this.#roster(message)?.away(message.session);
      case 'peer-back': return this.#roster(message)?.back(message.session, message.fresh ?? false);
      case 'signal': return this.rooms.get(message.room)?.receive(message);
      case 'online':
        if (message.ref !== undefined) this.#listedTo = message.more ? message.users.at(-1) : undefined;
        return this.#presence(message.type, message.users);
      case 'offline': return this.#presence(message.type, message.users);
      case 'refreshed': return this.#refreshed(message);
      case 'call': return emit(this, 'call', this.#calls.add(message.call, 'incoming', message.from));
      case 'ringing': return void this.#calls.add(message.call, 'outgoing', message.to);
      case 'accept': return this.#calls.accepted(message.call, message.room);
      case 'decline': return this.calls.get(message.call)?.end('decline', message.reason ?? 'declined');
      case 'cancel': return this.calls.get(message.call)?.end('cancel', message.reason ?? 'cancelled');
      case 'hangup':
        this.calls.get(message.call)?.end('hangup', 'hangup');
        return this.#left(message.room ?? '', 'hangup');
      case 'ice-servers': return this.#setIceServers(message.iceServers);
      case 'going-away': return emit(this, 'going-away', { retryAfter: message.retryAfter });
      case 'error':
        if (message.ref === undefined) emit(this, 'error', errorFrom(message));
        return;
      default:
        if ('room' in message) this.rooms.get(message.room)?.moderate(message);
    }
  }

  /** @param {{ room: string }} message */
  #roster({ room }) {
    return this.rooms.get(room)?.roster;
  }

  /**
   * @param {Welcome} welcome
   * @param {boolean} fresh whether the session comes from the page before this one
   */
  #welcome(welcome, fresh) {
    const {
      session, user, name, role, limits = this.limits, iceServers, online, onlineMore, resumed, rooms = [], resumeWindow = RESUME_WINDOW_S,
    } = welcome;
    const isFirst = !this.session;
    const isSomebodyElse = !isFirst && user !== this.user;
    Object.assign(this, { session, user, name, role, limits });
    this.#renewal.ends(welcome.expiresIn);
    this.#setIceServers(iceServers);
    if (online) this.#listed(online, onlineMore);
    if (resumed !== 'replayed') {
      for (const room of this.#admissions.rooms) this.#waitAgain(room);
    }
    if (!resumed) {
      this.#calls.startSession(({ state }) => isFirst || state === 'ringing');
      // The others recognize a returning peer by its user. As another user, we would be there twice.
      if (isSomebodyElse) for (const room of this.rooms.values()) room.roster.clear('gone');
      this.#rejoin.all();
      if (!isFirst) emit(this, 'lost', null);
      return;
    }
    if (fresh) {
      this.#calls.end(({ roomId }) => !rooms.some(({ room }) => room === roomId));
      for (const room of rooms) this.#joined(room);
      this.#calls.cancelOrphaned();
    } else if (resumed === 'restored') {
      this.#calls.end(({ state }) => state === 'ringing');
      const changing = this.#signaling.isWaiting(({ type }) => ['join', 'leave', 'accept'].includes(type));
      this.#rejoin.restored(rooms, resumeWindow * 1000, changing);
    }
    emit(this, 'resumed', { how: resumed });
    this.#liveness.resumed();
  }

  /** @param {Refreshed} refreshed */
  #refreshed({ name, role, expiresIn, online, onlineMore }) {
    Object.assign(this, { name, role });
    this.#renewal.ends(expiresIn);
    if (online) this.#listed(online, onlineMore);
  }

  /**
   * These are online, and nobody else so far.
   *
   * @param {User[]} users
   * @param {boolean | undefined} more there are others
   */
  #listed(users, more) {
    this.online.clear();
    this.#listedTo = more ? users.at(-1) : undefined;
    this.#presence('online', users);
  }

  /** @param {string} room @returns {boolean} whether we are leaving it, or must leave it */
  #isLeaving(room) {
    return this.#calls.isUnwanted(room) || this.#signaling.isWaiting((message) => message.type === 'leave' && message.room === room);
  }

  /** @param {RoomState} joined */
  #joined(joined) {
    const known = this.rooms.get(joined.room);
    const room = known ?? new Room(this, joined);
    this.rooms.set(room.id, room);
    room.update(joined);
    this.#liveness.start();
    this.#admissions.admitted(room.id);
    if (known) return;
    emit(this, 'room', room);
    this.#calls.joined(room);
  }

  /**
   * @param {string} room that we were in, or waited to enter
   * @param {string} reason
   */
  #left(room, reason) {
    this.#calls.left(room);
    this.rooms.get(room)?.end(reason);
    this.#admissions.left(room, reason);
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
    emit(this, 'presence', [...this.online.values()]);
  }

  /** @param {RTCIceServer[]} iceServers */
  #setIceServers(iceServers) {
    this.iceServers = iceServers;
    for (const room of this.rooms.values()) {
      for (const peer of room.peers.values()) peer.setIceServers(iceServers);
    }
  }

  /**
   * Asks again to be let in: the session that waited is gone, or the server has forgotten that it waited.
   *
   * @param {string} room
   */
  async #waitAgain(room) {
    try {
      await this.request({ type: 'join', room });
    } catch (error) {
      this.#admissions.failed(room, error);
    }
  }

  /** @param {unknown} error why the client ends; undefined after `close` */
  #closed(error) {
    this.#ended.abort();
    this.#renewal.stop();
    this.#calls.end(() => true);
    for (const room of [...this.rooms.values()]) room.end('closed');
    for (const room of this.#admissions.rooms) this.#admissions.failed(room, new TurnpikeError('closed', 'The client is closed.'));
    emit(this, 'closed', { error });
  }
}

/**
 * Lets a signal give up a request. The server may already carry it out then, so `undo` takes its result back.
 *
 * @template T
 * @param {Promise<T>} result of the request
 * @param {AbortSignal | undefined} signal
 * @param {(result: T) => unknown} undo
 * @returns {Promise<T>}
 */
function abortable(result, signal, undo) {
  if (!signal) return result;
  const settled = new AbortController();
  /** @type {Promise<never>} */
  const aborted = new Promise((_, reject) => {
    const abort = () => {
      reject(signal.reason);
      result.then(undo, () => {});
    };
    signal.addEventListener('abort', abort, { signal: settled.signal });
  });
  return Promise.race([result, aborted]).finally(() => settled.abort());
}
