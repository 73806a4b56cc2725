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

/** A timer so much too late says that this machine had no time for us. What we wait for may have come, and waits too. */
const LATE_MS = 250;

/**
 * Runs `late` when nothing has come for `ms`. A timer that comes too late itself counts once more: a page that was busy,
 * or asleep, has not listened. (Once, since the timers of hidden pages are always late.)
 *
 * @param {number} ms
 * @param {() => void} late
 * @returns {() => void} ends the wait
 */
export function patience(ms, late) {
  const due = performance.now() + ms;
  let timer = setTimeout(() => {
    if (performance.now() - due <= LATE_MS) return late();
    timer = setTimeout(late, ms);
  }, ms);
  return () => clearTimeout(timer);
}
