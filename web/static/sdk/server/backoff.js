// @ts-check

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/**
 * The pause before an attempt, in milliseconds. It doubles with each attempt, up to 15 s. Half of it is random, so that
 * the clients of a restarted server do not all come back at once.
 *
 * @param {number} attempt from 0
 * @param {() => number} [random] in [0, 1)
 */
export function backoff(attempt, random = Math.random) {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return whole / 2 + random() * (whole / 2);
}

/**
 * Resolves after `ms`, or as soon as the signal aborts.
 *
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
