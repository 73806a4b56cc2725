// @ts-check

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/**
 * The pause before attempt number `attempt` (from 0), in milliseconds. It doubles up to 15 s; half of it is chance, so
 * that the clients of a restarted server do not all come back at once.
 *
 * @param {number} attempt
 * @param {() => number} [random] in [0, 1)
 */
export function backoff(attempt, random = Math.random) {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return whole / 2 + random() * (whole / 2);
}

/**
 * Resolves after `ms`, or rejects with the signal's reason. The browser's `online` event ends the pause early.
 *
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const settled = new AbortController();
    /** @param {() => void} settle */
    const end = (settle) => {
      clearTimeout(timer);
      settled.abort();
      settle();
    };
    const timer = setTimeout(() => end(resolve), ms);
    signal.addEventListener('abort', () => end(() => reject(signal.reason)), { signal: settled.signal });
    globalThis.addEventListener?.('online', () => end(resolve), { signal: settled.signal });
  });
}
