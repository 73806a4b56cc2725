// @ts-check

const PATIENCE_MS = 2000;

/**
 * Why no WebSocket to the server opens. A browser does not say, so this asks the server by HTTP.
 *
 * @param {URL} server
 * @returns {Promise<string>} what to do about it
 */
export async function adviceOn(server) {
  const { origin } = globalThis;
  if (await answers(new URL('api/v1/client', server), 'cors')) {
    return `${server.origin} answers by HTTP, but no WebSocket opens: a proxy before it must let WebSockets through to /signal, or it has as many as it may.`;
  }
  if (origin && origin !== server.origin && await answers(new URL('healthz', server), 'no-cors')) {
    return `${server.origin} answers, but not to pages of ${origin}: http.allowed_origins in its configuration must have that origin.`;
  }
  return `Nothing answers at ${server.origin}. Is the address right, and does the server run?`;
}

/**
 * @param {URL} url
 * @param {RequestMode} mode with `no-cors`, the server's answer counts even if this page may not read it
 */
async function answers(url, mode) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), PATIENCE_MS);
  try {
    await fetch(url, { mode, cache: 'no-store', credentials: 'omit', signal: late.signal });
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
