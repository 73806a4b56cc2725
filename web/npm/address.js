// @ts-check

/**
 * In this package, unlike in the file that a server hands out, nothing says which server is meant.
 *
 * @param {string | URL | undefined} url of a server
 * @returns {URL} the root of the server's pages and API
 */
export function serverUrl(url) {
  if (url === undefined) throw new TypeError("Say which server: url: 'https://turn.example.org'.");
  return new URL('/', url);
}
