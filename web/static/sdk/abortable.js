// @ts-check

/**
 * Lets a signal give up something that was asked of the server. The server may carry it out all the same, so `undo` takes
 * the result back.
 *
 * @template T
 * @param {Promise<T>} result
 * @param {AbortSignal | undefined} signal
 * @param {(result: T) => unknown} [undo]
 * @returns {Promise<T>}
 */
export function abortable(result, signal, undo = () => {}) {
  if (!signal) return result;
  const settled = new AbortController();
  /** @type {Promise<never>} */
  const aborted = new Promise((_, reject) => {
    const abort = () => {
      reject(signal.reason);
      result.then(undo, () => {});
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { signal: settled.signal });
  });
  return Promise.race([aborted, result]).finally(() => settled.abort());
}
