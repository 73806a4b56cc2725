// @ts-check

/**
 * What is asked for, unless the signal aborts first. The server may be doing it by then, so it is undone once it is
 * done.
 *
 * @template T
 * @param {Promise<T>} asked
 * @param {AbortSignal | undefined} signal
 * @param {(done: T) => unknown} undo
 * @returns {Promise<T>}
 */
export function abortable(asked, signal, undo) {
  if (!signal) return asked;
  const settled = new AbortController();
  /** @type {Promise<never>} */
  const aborted = new Promise((_, reject) => {
    const abort = () => {
      reject(signal.reason);
      asked.then(undo, () => {});
    };
    signal.addEventListener('abort', abort, { signal: settled.signal });
  });
  return Promise.race([asked, aborted]).finally(() => settled.abort());
}
