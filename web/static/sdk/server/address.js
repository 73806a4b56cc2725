// @ts-check

/** The server that this file came from. An app that imports the SDK from its server need not name it. */
const HOME = new URL('/', import.meta.url);

/**
 * @param {string | URL | undefined} url of a server; default: the server that this file came from
 * @returns {URL} the root of the server's pages and API
 */
export function serverUrl(url) {
  return new URL('/', url ?? HOME);
}
