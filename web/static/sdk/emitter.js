// @ts-check

/** @typedef {() => void} Unsubscribe */

/** @type {(emitter: Emitter<any>, name: string, detail: unknown) => void} */
let emitOn;

/**
 * Has events, each with a detail that its listeners get as their argument.
 *
 * @template {Record<string, any>} Events names and the type of each one's detail
 */
export class Emitter {
  /** @type {Map<string, Set<{ listener: (detail: any) => void }>>} by name */
  #listeners = new Map();

  static {
    emitOn = (emitter, name, detail) => emitter.#emit(name, detail);
  }

  /**
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => void} listener if it throws, the error is reported and everything else goes on
   * @param {{ signal?: AbortSignal | undefined }} [options] `signal` removes the listener when it aborts
   * @returns {Unsubscribe} removes the listener
   */
  on(name, listener, { signal } = {}) {
    if (typeof listener !== 'function') throw new TypeError(`The listener of '${name}' is no function.`);
    if (signal?.aborted) return () => {};
    const added = { listener };
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(added));
    const remove = () => {
      signal?.removeEventListener('abort', remove);
      listeners.delete(added);
    };
    signal?.addEventListener('abort', remove);
    return remove;
  }

  /**
   * The detail of the next such event.
   *
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {{ signal?: AbortSignal | undefined }} [options] `signal` gives up: the promise rejects with its reason
   * @returns {Promise<Events[Name]>}
   */
  once(name, { signal } = {}) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const aborted = () => {
        remove();
        reject(signal?.reason);
      };
      const remove = this.on(name, (detail) => {
        remove();
        signal?.removeEventListener('abort', aborted);
        resolve(detail);
      });
      signal?.addEventListener('abort', aborted, { once: true });
    });
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #emit(name, detail) {
    const listeners = this.#listeners.get(name);
    if (!listeners) return;
    // A listener may remove others, which are not called any more, and add some, which wait for the next event.
    for (const added of [...listeners]) {
      if (listeners.has(added)) call(added.listener, detail);
    }
  }
}

/**
 * Emits an event. Only the SDK can: this function is not among its exports.
 *
 * @template {Record<string, any>} Events
 * @template {keyof Events & string} Name
 * @param {Emitter<Events>} emitter
 * @param {Name} name
 * @param {Events[Name]} detail
 */
export function emit(emitter, name, detail) {
  emitOn(emitter, name, detail);
}

/**
 * @param {(detail: unknown) => void} listener
 * @param {unknown} detail
 */
function call(listener, detail) {
  try {
    listener(detail);
  } catch (error) {
    if (typeof reportError === 'function') reportError(error);
    else console.error(error); // Node.js has no reportError.
  }
}
