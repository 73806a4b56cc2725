// @ts-check

/**
 * Keeps the screen on until `signal` aborts, as far as the browser can. The lock is lost whenever the page is hidden, so it
 * is taken again when the page is back.
 *
 * @param {AbortSignal} signal
 */
export function keepAwake(signal) {
  if (!navigator.wakeLock || signal.aborted) return;
  /** @type {WakeLockSentinel | undefined} */
  let lock;
  const take = async () => {
    if (document.hidden || (lock && !lock.released)) return;
    try {
      const taken = await navigator.wakeLock.request('screen');
      if (signal.aborted || (lock && !lock.released)) await taken.release();
      else lock = taken;
    } catch {
      // The battery is low, or the page was hidden meanwhile.
    }
  };
  document.addEventListener('visibilitychange', take, { signal });
  signal.addEventListener('abort', () => lock?.release().catch(() => {}));
  take();
}
