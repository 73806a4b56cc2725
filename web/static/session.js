// @ts-check
// Not from turnpike.js: the home page would load all of it, the devices of a room included.
import { Client } from './sdk/client.js';
import { TurnpikeError, codeOf } from './sdk/error.js';
import { getTicket } from './sdk/server/tickets.js';
import { Emitter, emit } from './sdk/emitter.js';
import { madeUpName, nextName } from './names.js';
import { storeInvite, storeName, storeTicket, storedInvite, storedName, storedTicket, tabStorage } from './storage.js';

/**
 * @import { Call, Room } from './sdk/turnpike.js'
 * @import { ClientEvents, ClientStatus } from './sdk/clientevents.js'
 * @import { TicketRequest } from './sdk/options.js'
 *
 * @typedef {ClientStatus | 'offline'} SessionState offline: the server cannot be reached, and we were never signed in
 *
 * @typedef {object} SessionEvents
 * @property {SessionState} state
 * @property {null} presence
 * @property {{ call: Call }} call
 * @property {{ room: Room }} room
 * @property {ClientEvents['online']} online
 * @property {string} name
 * @property {{ error: unknown }} barred the server refuses to sign us in again, and what goes on without it goes on
 * @property {{ error?: unknown }} refused the server refuses to sign us in
 */

/** A stored ticket that expires sooner than this is not used. */
const TICKET_MARGIN_MS = 10_000;

/**
 * The one client of this tab, under the name that its user has chosen.
 *
 * @extends {Emitter<SessionEvents>}
 */
export class Session extends Emitter {
  /** @type {Promise<unknown>} resolves when no sign-in is under way */
  #opened = Promise.resolve();
  /** Whether the browser makes no connections to other people: a setting, an extension or a policy forbids it. What is written still arrives. */
  onlyWrites = false;

  constructor() {
    super();
    this.name = storedName() ?? madeUpName();
    this.client = this.#newClient();
  }

  get state() {
    return this.client.status;
  }

  /** Signs in. Errors come as a `refused` event. */
  start() {
    this.#watch(this.client);
    this.#opened = this.client.open().catch(() => {});
  }

  /** Tries again after a refusal. */
  restart() {
    this.client = this.#newClient();
    this.start();
  }

  /** Forgets the invite, which is not valid, and tries without one. */
  restartWithoutInvite() {
    storeInvite(undefined);
    storeTicket(undefined);
    this.restart();
  }

  /**
   * Takes another name. Rooms, calls and all that belongs to them stay. If that rejects, for example with `name-taken`, the
   * old name stays.
   *
   * @param {string} name
   */
  async rename(name) {
    const client = await this.settled();
    if (name === this.name) return;
    const given = await client.rename(name).catch(rethrow);
    storeName(given, { typed: true });
  }

  /** Waits until the client has signed in or was refused. */
  async settled() {
    await this.#opened;
    return this.client;
  }

  /** Whether our ticket names this very room, not only a pattern. @param {string} room */
  isInvitedTo(room) {
    return storedInvite() !== undefined && !!storedTicket()?.rooms?.includes(room);
  }

  /** @param {Client} client */
  #watch(client) {
    const mine = () => this.client === client;
    client.on('online', (detail) => {
      if (!mine()) return;
      emit(this, 'online', detail);
      this.#changed('online');
    });
    client.on('reconnecting', () => mine() && this.#changed('reconnecting'));
    client.on('retry', () => mine() && client.status === 'connecting' && this.#changed('offline'));
    client.on('closed', (detail) => {
      if (!mine()) return;
      this.#changed('closed');
      if (detail.error) emit(this, 'refused', detail);
    });
    client.on('barred', (detail) => mine() && emit(this, 'barred', detail));
    client.on('presence', () => mine() && emit(this, 'presence', null));
    client.on('call', (detail) => mine() && emit(this, 'call', detail));
    client.on('renamed', ({ name }) => mine() && this.#renamed(name));
    client.on('room', (detail) => mine() && emit(this, 'room', detail));
    this.#changed(client.status);
    emit(this, 'presence', null);
  }

  /** @param {SessionState} state */
  #changed(state) {
    if (state === 'online') this.#named();
    emit(this, 'state', state);
  }

  #named() {
    this.name = this.client.name;
    storeName(this.name, { typed: false });
    emit(this, 'name', this.name);
  }

  /** @param {string} name */
  #renamed(name) {
    // The ticket goes on to admit us, also under the new name. Another one would cost the invite another use.
    const ticket = storedTicket();
    if (ticket) storeTicket({ ...ticket, name });
    this.#named();
  }

  #newClient() {
    const storage = tabStorage();
    const options = { timeout: Infinity, name: this.name, onNameTaken: nextName, getTicket: ticketFor, ...(storage && { storage }) };
    try {
      return new Client(options);
    } catch (error) {
      if (codeOf(error) !== 'unsupported') throw error;
      this.onlyWrites = true;
      return new Client({ ...options, media: false });
    }
  }
}

/**
 * A ticket for this tab: the stored one if it is still good, or else a new one.
 *
 * @param {TicketRequest} request
 */
export async function ticketFor({ name = '', fresh, signal }) {
  const stored = storedTicket();
  if (!fresh && stored?.name === name && Date.parse(stored.expires) > Date.now() + TICKET_MARGIN_MS) return stored.token;
  const { ticket, expires, rooms } = await getTicket({ name, invite: storedInvite(), signal }).catch(rethrow);
  storeTicket({ name, token: ticket, expires, rooms });
  return ticket;
}

/**
 * @param {unknown} error
 * @returns {never}
 */
function rethrow(error) {
  if (['bad-request', 'bad-message'].includes(codeOf(error))) throw new TurnpikeError('bad-name', String(error), { cause: error });
  throw error;
}
