// @ts-check

/** @typedef {() => void} Unsubscribe */

/**
 * Emits an event. Like the functions below it is the SDK's alone, and not among its exports.
 *
 * @type {<Events extends Record<string, any>, Name extends keyof Events & string>(emitter: Emitter<Events, any>, name: Name, detail: Events[Name]) => void}
 */
export let emit;

/** Says how a snapshot is made. Every event changes it. @type {<Snapshot>(emitter: Emitter<any, Snapshot>, describe: () => Snapshot) => void} */
export let describe;

/** Its snapshot is another one now, although no event says so. @type {(emitter: Emitter<any, any>) => void} */
export let changed;

/** Its events wait from now on, until they are released: nobody can listen yet. @type {(emitter: Emitter<any, any>) => void} */
export let hold;

/** Releases the events that wait, at once. @type {(emitter: Emitter<any, any>) => void} */
export let release;

/**
 * Has the SDK itself hear every event when it is emitted, before listeners do and even while events wait.
 *
 * @type {(emitter: Emitter<any, any>, tap: (name: string, detail: any) => void) => void}
 */
export let tap;

/** Runs the next step once the listeners have had all events that were emitted before. @type {(emitter: Emitter<any, any>, next: () => void) => void} */
export let afterEvents;

/**
 * Has events, each with a detail that its listeners get as their argument, and a snapshot of its state.
 *
 * @template {Record<string, any>} Events names and the type of each one's detail
 * @template [Snapshot=undefined]
 */
export class Emitter {
  /** @type {Map<string, Set<{ listener: (detail: any) => void }>>} by name */
  #listeners = new Map();
  /** @type {(() => void)[] | undefined} what waits until the events are released, in order */
  #held;
  /** @type {((name: string, detail: unknown) => void) | undefined} */
  #tap;
  /** @type {Set<{ listener: () => void }>} */
  #subscribers = new Set();
  /** @type {() => Snapshot} */
  #describe = () => /** @type {any} */ (undefined);
  /** @type {Snapshot | undefined} of this moment; undefined after a change, until somebody asks */
  #snapshot;

  static {
    emit = (emitter, name, detail) => {
      emitter.#change();
      emitter.#tap?.(name, detail);
      emitter.#inOrder(() => emitter.#emit(name, detail));
    };
    describe = (emitter, describe) => void (emitter.#describe = describe);
    changed = (emitter) => emitter.#change();
    hold = (emitter) => void (emitter.#held ??= []);
    release = (emitter) => emitter.#release();
    tap = (emitter, tap) => void (emitter.#tap = tap);
    afterEvents = (emitter, next) => emitter.#inOrder(next);
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
   * An immutable object with the state of this moment, the same until something changes. With `subscribe` it suits React's
   * `useSyncExternalStore(room.subscribe, () => room.snapshot)`, and the like.
   *
   * @returns {Snapshot}
   */
  get snapshot() {
    return (this.#snapshot ??= Object.freeze(this.#describe()));
  }

  /**
   * Calls the listener after each change of `snapshot`.
   *
   * @param {() => void} listener
   * @returns {Unsubscribe}
   */
  subscribe = (listener) => {
    const added = { listener };
    this.#subscribers.add(added);
    return () => void this.#subscribers.delete(added);
  };

  #change() {
    this.#snapshot = undefined;
    for (const { listener } of [...this.#subscribers]) call(listener, undefined);
  }

  /** @param {() => void} step runs now, or after all that waits */
  #inOrder(step) {
    if (this.#held) this.#held.push(step);
    else step();
  }

  /** What the listeners cause waits its turn behind what waits already. */
  #release() {
    for (let step; (step = this.#held?.shift()); ) step();
    this.#held = undefined;
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
 * Releases the events that wait, in a task of its own: first run the continuations of all promises that are settled now, and
 * they may add listeners. No timer does it, since those of a hidden page are late.
 *
 * @param {Emitter<any, any>} emitter
 */
export function releaseSoon(emitter) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    release(emitter);
  };
  port2.postMessage(undefined);
}

/**
 * @param {(detail: unknown) => void} listener
 * @param {unknown} detail
 */
function call(listener, detail) {
  try {
    listener(detail);
  } catch (error) {
    report(error);
  }
}

/** Reports an error of the app's, and goes on. @param {unknown} error */
export function report(error) {
  if (typeof reportError === 'function') reportError(error);
  else console.error(error); // Node.js has no reportError.
}

/**
 * For snapshots.
 *
 * @template T
 * @template {keyof T} Key
 * @param {T} from
 * @param {Key[]} keys
 * @returns {Pick<T, Key>}
 */
export function pick(from, ...keys) {
  return /** @type {any} */ (Object.fromEntries(keys.map((key) => [key, from[key]])));
}
