// @ts-check
import { TurnpikeError } from '../error.js';
import { serverUrl } from './address.js';

/**
 * Asks the HTTP API of the server.
 *
 * @param {string} path
 * @param {object} request
 * @param {string} [request.method]
 * @param {string | URL | undefined} [request.url] the server; default: the server that this file came from
 * @param {string} [request.bearer]
 * @param {unknown} [request.body]
 * @param {AbortSignal | undefined} [request.signal]
 * @returns {Promise<any>} the answer, an object
 * @throws {TurnpikeError}
 */
export async function askApi(path, { method = 'GET', url, bearer, body, signal }) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (bearer !== undefined) headers.Authorization = `Bearer ${bearer}`;
  const response = await request(new URL(path, serverUrl(url)), {
    method, headers, body: body === undefined ? null : JSON.stringify(body), credentials: 'omit', signal: signal ?? null,
  });
  const answer = await response.json().catch(() => undefined);
  if (!response.ok) throw refusal(response, answer);
  return answer;
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
