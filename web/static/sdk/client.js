// @ts-check
import { abortable } from './abortable.js';
import { Call } from './call.js';
import { fromMessage } from './connection.js';
import { Emitter } from './emitter.js';
import { TurnpikeError, codeOf } from './error.js';
import { Keep } from './keep.js';
import { Link } from './link.js';
import { moderate } from './moderation.js';
import { follow } from './pagelife.js';
import { Reentry } from './reentry.js';
import { Room } from './room.js';
import { HOME } from './tickets.js';
import { Waits } from './waits.js';
import { Watch } from './watch.js';

/**
 * @import { KeptChat } from './chat.js'
 * @import { KeepStorage, Keepsake } from './keep.js'
 * @import { LinkState } from './link.js'
 * @import { ClientMessage, JoinMessage, RoomState, ServerMessage, User, Welcome } from './messages.js'
 * @import { Peer } from './peer.js'
 *
 * @typedef {object} ClientOptions
 * @property {string | URL} [url] the server; default: where this file came from
 * @property {string} [ticket] admits us; when it has expired, no new session can be begun
 * @property {(request: TicketRequest) => Promise<string | { ticket: string }>} [getTicket] asked for every new session
 * @property {string} [name] a guest's own choice; default: the ticket's
 * @property {(taken: string) => string | undefined} [onNameTaken] another name to try; undefined gives up
 * @property {KeepStorage} [storage] of this tab and this Client alone, as sessionStorage: with it a reload returns to the session; default: none
 * @property {EventTarget} [events] tells of `online`, `visibilitychange`, `pagehide` and `pageshow`; default: the page's window
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
 * @typedef {LinkState} ClientState
 *
 * @typedef {object} ClientEvents
 * @property {ClientState} state
 * @property {null} reconnecting the connection is lost; nothing else is, so far, and what is asked for meanwhile waits
 * @property {{ how: 'replayed' | 'restored' }} resumed the session is back: with nothing lost, or on a server that was started again
 * @property {null} lost another session had to be begun; the rooms are entered again, calls that rang are over
 * @property {User[]} presence everyone else who is online; guests see nobody
 * @property {Call} call somebody rings
 * @property {Room} room entered, by `join`, by a call, or because this page was in it before it was reloaded
 * @property {{ retryAfter: number }} going-away the server is about to stop
 * @property {TurnpikeError} error the server's answer to a message that wanted none
 * @property {{ error: unknown }} closed `error` says why, unless it was by `close`
 */

const RESUME_WINDOW_S = 30;
/** So many chats are left to the next page, which has a quota for them. */
const MAX_CHATS = 32;

/**
 * A session with the server. It outlives lost connections, changes of network, restarts of the server and, with a `storage`,
 * reloads of the page: the client does what there is to do unasked.
 *
 * @extends {Emitter<ClientEvents>}
 */
export class Client extends Emitter {
  #waits = new Waits();
  /** @type {Set<string>} of calls that we had ended when they were accepted: they are hung up */
  #unwanted = new Set();
  #link;
  #watch;
  #keep;
  /** @type {Record<string, KeptChat>} of the page that was here before, by room and session */
  #keptChats = {};
  /** @type {string[]} calls that the page before had made, and that rang when it went */
  #keptRinging = [];
  #ended = new AbortController();
  #reentry = new Reentry(this, this.#ended.signal);

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
    /** @type {Map<string, User>} everyone else who is online, by user */
    this.online = new Map();
    /** @type {Map<string, Room>} by id */
    this.rooms = new Map();
    /** @type {Map<string, Call>} by id */
    this.calls = new Map();
    this.#keep = new Keep(options.storage, new URL(options.url ?? HOME).origin);
    const kept = this.#keep.take();
    if (kept) this.#restore(kept);
    this.#link = new Link(options, kept?.link, {
      state: (state) => this.#changed(state),
      welcome: (welcome, fresh) => this.#welcome(welcome, fresh),
      message: (message) => this.#receive(message),
      refused: (error) => this.emit('error', error),
      closed: (error) => this.#closed(error),
    });
    this.#watch = new Watch(this.#link, () => [...this.rooms.values()].flatMap((room) => [...room.peers.values()]));
  }

  /** @returns {ClientState} */
  get state() {
    return this.#link.state;
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
      signal?.addEventListener('abort', () => this.#link.end(signal.reason), { signal: settled.signal });
      this.on('state', ({ detail }) => detail === 'online' && resolve(undefined), { signal: settled.signal });
      this.on('closed', ({ detail }) => reject(detail.error ?? new TurnpikeError('closed')), { signal: settled.signal });
      this.#listen();
      this.#link.run();
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
      const giveUp = () => {
        this.#waits.failed(id, signal?.reason);
        this.request({ type: 'leave', room: id }).catch(() => {});
      };
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
  close() {
    return this.#link.close();
  }

  // What follows is for Room, Roster and Call.

  /**
   * A room has ended, and so has the call that led to it.
   *
   * @param {string} room
   * @param {string} reason
   */
  roomEnded(room, reason) {
    for (const call of [...this.calls.values()]) {
      if (call.roomId === room) call.end('hangup', reason);
    }
  }

  /** @param {ClientMessage} message without an answer; without a connection it waits */
  send(message) {
    this.#link.tell(message);
  }

  /**
   * Without a connection, it waits; if it is lost, the answer comes on the next one.
   *
   * @param {ClientMessage} message
   * @returns {Promise<any>} the answer
   */
  request(message) {
    return this.#link.request(message);
  }

  /** @param {Peer} peer on the way to whom something is wrong */
  doubt(peer) {
    this.#watch.doubt(peer);
  }

  /**
   * @param {string} room
   * @param {string} session
   * @returns {KeptChat | undefined} what the page that was here before has said to a peer, and heard
   */
  takeChat(room, session) {
    const key = `${room} ${session}`;
    const chat = this.#keptChats[key];
    delete this.#keptChats[key];
    return chat;
  }

  #listen() {
    const back = () => {
      this.#keep.take(); // It is for us again.
      this.#link.wake();
    };
    follow(this.options.events ?? globalThis, {
      online: () => this.#link.wake({ suspicious: true }),
      wake: () => this.#link.wake(),
      hide: () => this.#leaveBehind(),
      show: back,
    }, this.#ended.signal);
  }

  /** The page that takes the place of this one goes on with the session. */
  #leaveBehind() {
    const link = this.#link.kept;
    if (!link) return;
    const chats = [...this.rooms.values()].flatMap((room) => room.roster.chats.map(([session, chat]) => [`${room.id} ${session}`, chat]));
    const all = [...this.calls.values()];
    const calls = all.flatMap(({ id, direction, user, state, roomId }) => (
      state === 'accepted' && roomId ? [{ id, direction, user, room: roomId }] : []));
    const ringing = all.filter(({ direction, state }) => direction === 'outgoing' && state === 'ringing').map(({ id }) => id);
    const latest = [...Object.entries(this.#keptChats), ...chats].slice(-MAX_CHATS);
    this.#keep.put({ link, chats: Object.fromEntries(latest), calls, ringing });
  }

  /** @param {Keepsake} kept */
  #restore({ chats, calls, ringing }) {
    this.#keptChats = chats;
    this.#keptRinging = ringing;
    for (const { id, direction, user, room } of calls) this.#newCall(id, direction, user).accepted(room);
  }

  /** @param {ClientState} state */
  #changed(state) {
    this.emit('state', state);
    if (state === 'offline' && this.session) this.emit('reconnecting', null);
  }

  /**
   * Everything that a message changes is changed here, before the promise of a request resolves.
   *
   * @param {ServerMessage} message
   */
  #receive(message) {
    switch (message.type) {
      case 'joined': return this.#isLeaving(message.room) ? undefined : this.#joined(message);
      case 'left': return this.#left(message.room, message.reason);
      case 'waiting': return this.#waits.begin(message.room);
      case 'peer-joined':
        this.#roster(message)?.add(message.peer, { offers: false });
        return this.#watch.start();
      case 'peer-left': return this.#roster(message)?.remove(message.session, message.reason);
      case 'peer-away': return this.#roster(message)?.away(message.session);
      case 'peer-back': return this.#roster(message)?.back(message.session, message.fresh ?? false);
      case 'signal': return this.rooms.get(message.room)?.receive(message);
      case 'online':
      case 'offline': return this.#presence(message.type, message.users);
      case 'call': return this.emit('call', this.#newCall(message.call, 'incoming', message.from));
      case 'ringing': return void this.#newCall(message.call, 'outgoing', message.to);
      case 'accept': return this.#accepted(message.call, message.room);
      case 'decline': return this.calls.get(message.call)?.end('decline', message.reason ?? 'declined');
      case 'cancel': return this.calls.get(message.call)?.end('cancel', message.reason ?? 'cancelled');
      case 'hangup':
        this.calls.get(message.call)?.end('hangup', 'hangup');
        return this.#left(message.room ?? '', 'hangup');
      case 'ice-servers': return this.#setIceServers(message.iceServers);
      case 'going-away': return this.emit('going-away', { retryAfter: message.retryAfter });
      case 'error':
        if (message.ref === undefined) this.emit('error', fromMessage(message));
        return;
      default:
        if ('room' in message) moderate(this.rooms.get(message.room), message);
    }
  }

  /** @param {{ room: string }} message */
  #roster({ room }) {
    return this.rooms.get(room)?.roster;
  }

  /**
   * @param {Welcome} welcome
   * @param {boolean} fresh the session was another page's
   */
  #welcome(welcome, fresh) {
    const { session, user, name, role, iceServers, online, resumed, rooms = [], resumeWindow = RESUME_WINDOW_S } = welcome;
    const isFirst = !this.session;
    const isSomebodyElse = !isFirst && user !== this.user;
    Object.assign(this, { session, user, name, role });
    this.#setIceServers(iceServers);
    if (online) {
      this.online.clear();
      this.#presence('online', online);
    }
    if (resumed !== 'replayed') {
      for (const room of this.#waits.rooms) this.#waitAgain(room);
    }
    if (!resumed) {
      this.#unwanted.clear();
      this.#endCalls(({ state }) => isFirst || state === 'ringing');
      // Others recognize whom they still hear by the user, and would have us twice.
      if (isSomebodyElse) for (const room of this.rooms.values()) room.roster.clear('gone');
      this.#reentry.lost();
      if (!isFirst) this.emit('lost', null);
      return;
    }
    if (fresh) {
      this.#endCalls(({ roomId }) => !rooms.some(({ room }) => room === roomId));
      for (const room of rooms) this.#joined(room);
      for (const call of this.#keptRinging.splice(0)) this.#takeBack(call); // Nobody waits for it any more.
    } else if (resumed === 'restored') {
      this.#endCalls(({ state }) => state === 'ringing');
      const changing = this.#link.isWaiting(({ type }) => ['join', 'leave', 'accept'].includes(type));
      this.#reentry.restored(rooms, resumeWindow * 1000, changing);
    }
    this.emit('resumed', { how: resumed });
    this.#watch.resumed();
  }

  /** @param {string} room @returns {boolean} whether we are about to leave it, or have to */
  #isLeaving(room) {
    return this.#unwanted.has(room) || this.#link.isWaiting((message) => message.type === 'leave' && message.room === room);
  }

  /** @param {RoomState} joined */
  #joined(joined) {
    const known = this.rooms.get(joined.room);
    const room = known ?? new Room(this, joined);
    this.rooms.set(room.id, room);
    room.update(joined);
    this.#watch.start();
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
    this.#unwanted.delete(room);
    this.rooms.get(room)?.end(reason);
    this.#waits.left(room, reason);
  }

  /**
   * @param {string} id of a call
   * @param {string} room
   */
  #accepted(id, room) {
    const call = this.calls.get(id);
    if (call) return call.accepted(room);
    this.#unwanted.add(room); // We have ended it at the same moment.
    this.#hangUp(id).catch((error) => codeOf(error) === 'no-such-call' && this.request({ type: 'leave', room })).catch(() => {});
  }

  /** @param {string} call that the page before had made */
  #takeBack(call) {
    this.request({ type: 'cancel', call }).catch((error) => codeOf(error) === 'no-such-call' && this.#hangUp(call)).catch(() => {});
  }

  /** @param {string} call */
  #hangUp(call) {
    return this.request({ type: 'hangup', call });
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

  /** @param {(call: Call) => boolean} matches */
  #endCalls(matches) {
    for (const call of [...this.calls.values()]) {
      if (matches(call)) call.end('cancel', 'gone');
    }
  }

  /** @param {RTCIceServer[]} iceServers */
  #setIceServers(iceServers) {
    this.iceServers = iceServers;
    for (const room of this.rooms.values()) {
      for (const peer of room.peers.values()) peer.setIceServers(iceServers);
    }
  }

  /** The session that waited is no more, or the door is. @param {string} room */
  async #waitAgain(room) {
    try {
      await this.request({ type: 'join', room });
    } catch (error) {
      this.#waits.failed(room, error);
    }
  }

  /** @param {unknown} error why the client ends; undefined if it was told to */
  #closed(error) {
    this.#ended.abort();
    this.#endCalls(() => true);
    for (const room of [...this.rooms.values()]) room.end('closed');
    for (const room of this.#waits.rooms) this.#waits.failed(room, new TurnpikeError('closed', 'The client is closed.'));
    this.emit('closed', { error });
  }
}
