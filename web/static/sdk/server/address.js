// @ts-check
import { TurnpikeError } from '../error.js';
import { HOME } from './home.js';

/**
 * @param {string | URL | undefined} url of a server, by HTTP or WebSocket; default: the server that this file came from
 * @returns {URL} the root of the server's pages and API
 * @throws {TurnpikeError} `bad-url`
 */
export function serverUrl(url) {
  const whole = parsed(url ?? HOME);
  const protocol = { 'http:': 'http:', 'https:': 'https:', 'ws:': 'http:', 'wss:': 'https:' }[whole?.protocol ?? ''];
  if (!whole || !protocol) {
    throw new TurnpikeError('bad-url', url === undefined ? 'The option url is missing.' : `"${url}" is not the address of a server.`);
  }
  // A URL of ws: cannot get the protocol http:, so the text does.
  return new URL('/', protocol + whole.href.slice(whole.protocol.length));
}

/** @param {string | URL} url @returns {URL | undefined} */
function parsed(url) {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}
