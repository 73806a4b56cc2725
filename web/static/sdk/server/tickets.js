// @ts-check
import { TurnpikeError, codeOf } from '../error.js';
import { askApi } from './api.js';

/** @typedef {{ ticket: string, expires: string, name: string, role: string, rooms: string[] }} Ticket */

/** So many names are made up, should somebody have the ones before. */
const GUEST_TRIES = 5;

/**
 * Asks the server for a ticket, which admits its bearer for some minutes. It fits the option of the same name:
 * `connect({ getTicket })`, or with an invite `connect({ getTicket: (request) => getTicket({ ...request, invite }) })`.
 *
 * @param {object} [request]
 * @param {string | undefined} [request.name] shown to others, 1 to 32 characters; default: made up, such as "Guest 482"
 * @param {string | undefined} [request.invite] from an invite link; without one, the server's configuration decides
 * @param {string | URL | undefined} [request.url] the server; default: the server that this file came from
 * @param {AbortSignal | undefined} [request.signal]
 * @returns {Promise<Ticket>}
 * @throws {TurnpikeError} `invite-required`, `unauthorized`, `expired`, `invite-used`, `invite-revoked`, `name-taken`, `bad-request`, `rate-limited`, `offline`
 */
export async function getTicket({ name, invite, url, signal } = {}) {
  for (let tries = 1; ; tries++) {
    try {
      const body = await askApi('/api/v1/tickets', { method: 'POST', url, signal, body: { name: name ?? guestName(), invite } });
      if (typeof body?.ticket !== 'string') throw new TurnpikeError('internal', 'The answer has no ticket.');
      return body;
    } catch (error) {
      if (name !== undefined || codeOf(error) !== 'name-taken' || tries === GUEST_TRIES) throw error;
    }
  }
}

/** Short, and rarely the same for two people. */
function guestName() {
  return `Guest ${100 + Math.floor(Math.random() * 9900)}`;
}
