// @ts-check
import { abortable } from './abortable.js';
import { Emitter, afterEvents, changed, describe, emit, pick, releaseSoon } from './emitter.js';
import { TurnpikeError, clientClosed } from './error.js';
import { Opening } from './opening.js';
import { checkPlatform } from './platform.js';
import { insideOf as insideOfPeer } from './peer/peer.js';
import { Liveness } from './recovery/liveness.js';
import { Handover } from './recovery/handover.js';
import { Rejoin } from './recovery/rejoin.js';
import { Admissions } from './room/admission.js';
import { Calls } from './room/calls.js';
import { Rooms } from './room/rooms.js';
import { Invites } from './server/invites.js';
import { errorFrom } from './server/messages.js';
import { Presence } from './server/presence.js';
import { Renewal } from './server/renewal.js';
import { Signaling } from './server/signaling.js';

/**
 * @import { ClientEvents, ClientSnapshot, ClientStatus, JoinOptions } from './clientevents.js'
 * @import { ClientOptions } from './options.js'
 * @import { Call } from './room/call.js'
 * @import { Room, RoomClient } from './room/room.js'
 * @import { Invite, InviteList, InviteRequest } from './server/invites.js'
 * @import { Limits, Refreshed, RoomState, ServerMessage, User, Welcome } from './server/messages.js'
 * @import { Retry } from './server/signaling.js'
 */

const RESUME_WINDOW_S = 30;

/**
 * What only the SDK may do with a client.
 *
 * @type {(client: Client) => RoomClient}
 */
export let insideOf;

/**
 * A session with the server. It outlives lost connections, changes of network, restarts of the server and, with a
 * `storage`, reloads of the page. The client reconnects by itself.
 *
 * @extends {Emitter<ClientEvents, ClientSnapshot>}
 */
export class Client extends Emitter {
  #options;
  /** What is ours alone, and what the rooms and calls need. */
  #inside = this.#makeInside();
  #admissions = new Admissions(this.#inside);
  #calls = new Calls(this.#inside);
  #signaling;
  #liveness;
  #handover;
  #ended = new AbortController();
  #rejoin = new Rejoin(this.#inside, this.#ended.signal);
  #renewal;
  #invites;
  #presence = new Presence((change) => emit(this, 'presence', change));
  #rooms = new Rooms(this.#inside);
  /** @type {Pick<Welcome, 'session' | 'user' | 'name' | 'role' | 'iceServers' | 'limits'>} */
  #welcomed = { session: '', user: '', name: '', role: '', iceServers: [] };
  /** @type {Opening | undefined} */
  #opening;

  static {
    insideOf = (client) => client.#inside;
  }

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    checkPlatform(options);
    this.#options = options;
    this.#welcomed.name = options.name ?? '';
    describe(this, () => this.#describe());
    this.#handover = new Handover(options);
    const { saved } = this.#handover;
    if (saved) this.#calls.restore(saved);
    this.#signaling = new Signaling(options, saved?.link, {
      lost: (cause) => emit(this, 'reconnecting', { cause }),
      retry: (retry) => this.#retry(retry),
      welcome: (welcome, fresh) => this.#welcome(welcome, fresh),
      online: (how) => this.#online(how),
      message: (message) => this.#receive(message),
      refused: (error) => emit(this, 'error', error),
      isNeeded: () => this.#rooms.peers.some((peer) => insideOfPeer(peer).isConnected),
      barred: (error) => emit(this, 'barred', { error }),
      closed: (error) => this.#closed(error),
    });
    this.#renewal = new Renewal(options, () => this.#signaling.name, (ticket) => this.refresh(ticket), (seconds) => emit(this, 'expiring', { seconds }));
    this.#invites = new Invites(options.url, () => this.#signaling.saved?.token, (signal) => this.#untilOnline(signal));
    this.#liveness = new Liveness(this.#signaling, () => this.#rooms.peers, () => this.#rooms.listen());
  }

  /** @returns {ClientStatus} */
  get status() {
    const { state } = this.#signaling;
    if (state === 'online' || state === 'closed') return state;
    return this.session ? 'reconnecting' : 'connecting';
  }

  /** Our own, which others know us by; another one after `online` with `anew`. */
  get session() {
    return this.#welcomed.session;
  }

  /** Our identifier, issuer and subject of the ticket. */
  get user() {
    return this.#welcomed.user;
  }

  /** The name that others see. */
  get name() {
    return this.#welcomed.name;
  }

  /** `guest`, `member`, `moderator` or `admin`. */
  get role() {
    return this.#welcomed.role;
  }

  /** @returns {RTCIceServer[]} with a credential for this session alone; `ice-servers` tells of new ones */
  get iceServers() {
    return this.#welcomed.iceServers;
  }

  /** @returns {Limits | undefined} what this session may do; undefined before the first welcome */
  get limits() {
    return this.#welcomed.limits;
  }

  /** @returns {ReadonlyMap<string, User>} everyone else who is online, by user; the first of them if `hasMoreOnline` */
  get online() {
    return this.#presence.users;
  }

  /** @returns {ReadonlyMap<string, Room>} those that we are in, by id */
  get rooms() {
    return this.#rooms.all;
  }

  /** @returns {ReadonlyMap<string, Call>} those that ring or go on, by id */
  get calls() {
    return this.#calls.all;
  }

  /** Whether more people are online than `online` has. */
  get hasMoreOnline() {
    return this.#presence.listedTo !== undefined;
  }

  /**
   * Adds the next of the people who are online to `online`, if there are more; `presence` fires.
   *
   * @param {{ signal?: AbortSignal }} [options]
   */
  async listMore({ signal } = {}) {
    const after = this.#presence.listedTo;
    if (after) await this.#inside.request({ type: 'online', after }, signal);
  }

  /**
   * Signs in and stays signed in until `close`. Resolves at the first welcome. Until then a server that cannot be reached is
   * tried again.
   *
   * @throws {TurnpikeError} what time will not heal, such as `unauthorized`, `name-taken`, `bad-url`, or `timeout`
   */
  open() {
    const { signal } = this.#options;
    if (signal?.aborted) {
      this.#signaling.end(signal.reason);
      return Promise.reject(signal.reason);
    }
    signal?.addEventListener('abort', () => this.#aborted(signal.reason), { signal: this.#ended.signal });
    this.#handover.follow(this.#signaling, { rooms: this.#rooms.all, calls: this.#calls }, this.#ended.signal);
    this.#opening = new Opening(this.#options, (error) => this.#signaling.end(error));
    this.#signaling.run();
    return this.#opening.done;
  }

  /** The app's signal closes the client, whenever that is. @param {unknown} reason */
  #aborted(reason) {
    if (this.session) this.close();
    else this.#signaling.end(reason);
  }

  /**
   * Joins a room. Without an id, the server makes one up and creates the room. If the room has a waiting room, this
   * resolves once somebody has let us in.
   *
   * @param {string} [id]
   * @param {JoinOptions} [options]
   * @returns {Promise<Room>}
   * @throws {TurnpikeError} `not-existing`, `full` (unless somebody there is away and goes in time), `locked`, `kicked`, `refused`, `forbidden`, `bad-message`
   */
  async join(id, { create, size, waitingRoom, onWaiting, onFull, signal } = {}) {
    signal?.throwIfAborted();
    const message = { type: /** @type {const} */ ('join'), room: id?.toLowerCase(), create, size, waiting: waitingRoom };
    const entering = this.#admissions.enter(message, { onWaiting, onFull, signal }).then((entered) => {
      const room = this.rooms.get(entered);
      if (!room) throw new TurnpikeError('closed', 'We left the room before we were in it.');
      return room;
    });
    return abortable(entering, signal, (room) => room.leave());
  }

  /**
   * Rings a user. Resolves when the user's client rings; then wait for `call.answered`.
   *
   * @param {string | User} user
   * @param {{ data?: unknown, signal?: AbortSignal }} [options] data: for the other side to see while it rings, as JSON
   * @returns {Promise<Call>}
   * @throws {TurnpikeError} `no-such-user`, `busy`, `forbidden`
   */
  async call(user, { data, signal } = {}) {
    signal?.throwIfAborted();
    const to = typeof user === 'string' ? user : user.user;
    const calling = this.#signaling.request({ type: 'call', to, data }).then((ringing) => {
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
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<any>}
   * @throws {TurnpikeError} `unauthorized`, `forbidden`
   */
  refresh(ticket, { signal } = {}) {
    return this.#inside.request({ type: 'refresh', ticket }, signal);
  }

  /**
   * Takes another name. The session, its rooms and its calls stay; room mates hear `peer-renamed`.
   *
   * @param {string} name
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<string>} the name in force
   * @throws {TurnpikeError} `name-taken`, `bad-message` (no name can be so), `forbidden` (the app whose ticket we have gives our name), `rate-limited`
   */
  async rename(name, { signal } = {}) {
    const renamed = await this.#inside.request({ type: 'rename', name }, signal);
    return renamed.name;
  }

  /**
   * Makes a link that lets people into a room.
   *
   * @param {InviteRequest & { signal?: AbortSignal }} [request]
   * @returns {Promise<Invite>}
   * @throws {TurnpikeError} `forbidden`, `too-many-invites`, `bad-request`, `rate-limited`, `offline`
   */
  async createInvite({ signal, ...invite } = {}) {
    const room = invite.room?.toLowerCase() ?? (this.rooms.size === 1 ? [...this.rooms.keys()][0] : undefined);
    if (room === undefined) throw new TypeError('Name the room: we are in none, or in several.');
    return this.#invites.create({ ...invite, room }, signal);
  }

  /**
   * Lists the invites that this user has made, and the one by which it came.
   *
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<InviteList>}
   */
  invites({ signal } = {}) {
    return this.#invites.list(signal);
  }

  /**
   * Takes an invite back. The sessions of those who came by it end.
   *
   * @param {string} id
   * @param {{ signal?: AbortSignal }} [options]
   * @throws {TurnpikeError} `not-found`
   */
  revokeInvite(id, { signal } = {}) {
    return this.#invites.revoke(id, signal);
  }

  /** Says farewell: the session and its relays end. Resolves when the server has closed the connection. @param {{ signal?: AbortSignal }} [options] */
  close({ signal } = {}) {
    return abortable(this.#signaling.close(), signal);
  }

  /** @returns {ClientSnapshot} */
  #describe() {
    const [rooms, calls, online] = [this.rooms, this.calls, this.online].map((all) => Object.freeze([...all.values()]));
    return /** @type {any} */ ({ ...pick(this, 'status', 'session', 'user', 'name', 'role', 'hasMoreOnline'), rooms, calls, online });
  }

  /** @returns {RoomClient} */
  #makeInside() {
    const client = this;
    return {
      get session() { return client.session; },
      get role() { return client.role; },
      get iceServers() { return client.iceServers; },
      get limits() { return client.limits; },
      get options() { return client.#options; },
      get rooms() { return client.#rooms.all; },
      get calls() { return client.#calls.all; },
      send: (message) => this.#signaling.send(message),
      request: async (message, signal) => {
        signal?.throwIfAborted();
        return abortable(this.#signaling.request(message), signal);
      },
      roomEnded: (room, reason) => {
        this.#calls.roomEnded(room, reason);
        changed(this);
      },
      changed: () => changed(this),
      leftRoom: (room, reason) => this.#rooms.left(room, reason),
      doubt: (peer) => void this.#liveness.doubt(peer),
      claimChats: (room) => this.#handover.claimChats(room),
    };
  }

  /** @param {AbortSignal | undefined} signal */
  async #untilOnline(signal) {
    const settled = new AbortController();
    if (this.status !== 'online' && this.status !== 'closed' && !this.#signaling.barred) {
      const news = new Promise((resolve) => {
        for (const event of /** @type {const} */ (['online', 'closed', 'barred'])) this.on(event, resolve, { signal: settled.signal });
      });
      await abortable(news, signal).finally(() => settled.abort());
    }
    if (this.status === 'closed') throw clientClosed();
    if (this.#signaling.barred) throw this.#signaling.barred;
  }

  /** @param {Retry} retry */
  #retry(retry) {
    this.#opening?.failed(retry.cause);
    emit(this, 'retry', retry);
  }

  /** @param {ClientEvents['online']['how']} how */
  #online(how) {
    emit(this, 'online', { how });
    this.#opening?.welcomed();
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
      case 'online':
        if (message.ref === undefined) return this.#presence.came(message.users);
        this.#presence.add(message.users, message.more);
        return changed(this);
      case 'offline': return this.#presence.went(message.users);
      case 'refreshed': return this.#refreshed(message);
      case 'call': return this.#rings(this.#calls.ring(message.call, 'incoming', message.from, message.data));
      case 'ringing': return releaseSoon(this.#calls.ring(message.call, 'outgoing', message.to, message.data));
      case 'accept': return this.#calls.accepted(message.call, message.room);
      case 'decline': return this.#calls.over(message.call, { outcome: 'declined', by: 'them', reason: message.reason });
      case 'cancel': return this.#calls.cancelled(message.call, message.reason);
      case 'hangup':
        this.#calls.over(message.call, { outcome: 'hangup', by: 'them' });
        return this.#left(message.room ?? '', 'hangup');
      case 'renamed': return this.#renamed(message.name);
      case 'ice-servers':
        this.#setIceServers(message.iceServers);
        return emit(this, 'ice-servers', { iceServers: message.iceServers });
      case 'going-away': return emit(this, 'going-away', { retryAfter: message.retryAfter });
      case 'error': return message.ref === undefined ? emit(this, 'error', errorFrom(message)) : undefined;
      default:
        if (!('room' in message) || message.room === undefined) return;
        this.#rooms.receive(/** @type {ServerMessage & { room: string }} */ (message));
        if (message.type === 'peer-joined') this.#liveness.start();
    }
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
    this.#welcomed = { session, user, name, role, limits, iceServers };
    this.#renewal.ends(welcome.expiresIn);
    this.#setIceServers(iceServers);
    if (online) this.#presence.list(online, onlineMore);
    if (resumed !== 'replayed') this.#admissions.askAgain();
    if (!resumed) {
      this.#calls.startSession(({ state }) => isFirst || state === 'ringing');
      if (isSomebodyElse) this.#rooms.forgetPeers();
      return this.#rejoin.all();
    }
    if (fresh) {
      this.#calls.end(({ roomId }) => !rooms.some(({ room }) => room === roomId));
      for (const room of rooms) this.#joined(room, 'reload');
      this.#calls.cancelOrphaned();
    } else if (resumed === 'restored') {
      this.#calls.end(({ state }) => state === 'ringing');
      const changing = this.#signaling.isWaiting(({ type }) => ['join', 'leave', 'accept'].includes(type));
      this.#rejoin.restored(rooms, resumeWindow * 1000, changing);
    }
    this.#liveness.resumed();
  }

  /** @param {Refreshed} refreshed */
  #refreshed({ name, role, expiresIn, online, onlineMore }) {
    this.#welcomed = { ...this.#welcomed, name, role };
    this.#renewal.ends(expiresIn);
    if (online) this.#presence.list(online, onlineMore);
    changed(this);
  }

  /** @param {string} name */
  #renamed(name) {
    if (name === this.name) return;
    this.#welcomed = { ...this.#welcomed, name };
    this.#signaling.name = name; // For the sessions after this one.
    emit(this, 'renamed', { name });
  }

  /** @param {string} room @returns {boolean} whether we are leaving it, or must leave it */
  #isLeaving(room) {
    return this.#calls.isUnwanted(room) || this.#signaling.isWaiting((message) => message.type === 'leave' && message.room === room);
  }

  /** An incoming call. Its events wait until the app knows of it. @param {Call} call */
  #rings(call) {
    emit(this, 'call', { call });
    afterEvents(this, () => releaseSoon(call));
  }

  /**
   * The events of a new room wait until the app knows of it: until `join` has resolved, and `room` was heard.
   *
   * @param {RoomState} joined
   * @param {'reload'} [how]
   */
  #joined(joined, how) {
    const room = this.#rooms.joined(joined);
    this.#liveness.start();
    this.#admissions.admitted(joined.room);
    if (!room) return;
    const isCall = [...this.calls.values()].some(({ roomId }) => roomId === room.id);
    emit(this, 'room', { room, how: how ?? (isCall ? 'call' : 'join') });
    afterEvents(this, () => releaseSoon(room));
    this.#calls.joined(room);
  }

  /**
   * @param {string} room that we were in, or waited to enter
   * @param {string} reason
   */
  #left(room, reason) {
    this.#calls.left(room);
    this.#rooms.left(room, reason);
    this.#admissions.left(room, reason);
  }

  /** @param {RTCIceServer[]} iceServers */
  #setIceServers(iceServers) {
    this.#welcomed.iceServers = iceServers;
    this.#rooms.setIceServers(iceServers);
  }

  /** @param {unknown} error why the client ends; undefined after `close` */
  #closed(error) {
    this.#ended.abort();
    this.#handover.release(!this.session);
    this.#renewal.stop();
    this.#calls.end(() => true);
    this.#rooms.end('closed');
    for (const room of this.#admissions.rooms) this.#admissions.failed(room, clientClosed());
    emit(this, 'closed', error === undefined ? {} : { error });
    this.#opening?.ended(error);
  }
}
