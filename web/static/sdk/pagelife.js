// @ts-check

/**
 * What happens to the page that we are in, as far as it concerns a connection.
 *
 * @typedef {object} PageLife
 * @property {() => void} online the network is there again, maybe another one
 * @property {() => void} wake the user is there again
 * @property {() => void} hide the page may be about to end
 * @property {() => void} show the page that was to end is shown again
 */

/**
 * @param {EventTarget} events a window, or something that tells of the same
 * @param {PageLife} life
 * @param {AbortSignal} signal
 */
export function follow(events, { online, wake, hide, show }, signal) {
  /** @param {string} name @param {(event: any) => void} listener */
  const listen = (name, listener) => events.addEventListener?.(name, listener, { signal }); // Not every globalThis has it.
  listen('online', online);
  listen('visibilitychange', ({ target }) => target?.visibilityState !== 'hidden' && wake());
  listen('pagehide', hide);
  listen('pageshow', ({ persisted }) => persisted && show());
}
