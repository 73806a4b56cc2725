// @ts-check
import { TurnpikeError } from '../error.js';
import { serverUrl } from './address.js';

/** @typedef {{ ticket: string, expires: string, name: string, role: string, rooms: string[] }} Ticket */

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
export async function getTicket({ name = guestName(), invite, url, signal } = {}) {
  const response = await request(new URL('/api/v1/tickets', serverUrl(url)), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(invite === undefined ? { name } : { name, invite }),
    credentials: 'omit',
    signal: signal ?? null,
  });
  const body = await response.json().catch(() => undefined);
  if (!response.ok) throw refusal(response, body);
  if (typeof body?.ticket !== 'string') throw new TurnpikeError('internal', 'The answer has no ticket.');
  return body;
}

/** Short, and rarely the same for two people. */
function guestName() {
  return `Guest ${100 + Math.floor(Math.random() * 9900)}`;
}

/**
 * @param {URL} url
 * @param {RequestInit} init
 */
async function request(url, init) {
  try {
    return await fetch(url, init);
  } catch (cause) {
    init.signal?.throwIfAborted();
    throw new TurnpikeError('offline', 'The server cannot be reached.', { cause });
  }
}

/**
 * @param {Response} response
 * @param {any} body
 */
function refusal(response, body) {
  const { code, message, field } = body?.error ?? {};
  if (typeof code !== 'string') return new TurnpikeError(codeForStatus(response.status), `HTTP status ${response.status}`);
  return new TurnpikeError(code, message, { field, retryAfter: Number(response.headers.get('Retry-After')) || undefined });
}

/** @param {number} status of an answer that comes from something else than the server, such as a reverse proxy */
function codeForStatus(status) {
  if (status === 429) return 'rate-limited';
  return [502, 503, 504].includes(status) ? 'offline' : 'internal';
}
