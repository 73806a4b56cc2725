// @ts-check

/**
 * The events in a page's life that concern its connection.
 *
 * @typedef {object} PageLife
 * @property {() => void} online the network is back, maybe another one
 * @property {() => void} wake the user is back
 * @property {(persisted: boolean) => void} hide the page may be about to end; persisted: or be shown again
 * @property {() => void} show the page that was about to end is shown again
 */

/**
 * @param {EventTarget} events a window, or something with the same events
 * @param {PageLife} life
 * @param {AbortSignal} signal
 */
export function followPage(events, { online, wake, hide, show }, signal) {
  /** @param {string} name @param {(event: any) => void} listener */
  const listen = (name, listener) => events.addEventListener?.(name, listener, { signal }); // Some globalThis lack addEventListener.
  listen('online', online);
  listen('visibilitychange', ({ target }) => target?.visibilityState !== 'hidden' && wake());
  listen('pagehide', ({ persisted }) => hide(persisted === true));
  listen('pageshow', ({ persisted }) => persisted && show());
}
