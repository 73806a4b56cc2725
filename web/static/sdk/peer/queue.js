// @ts-check

/** With more than this in the buffers of a data channel, what else there is waits. */
export const MAX_BUFFERED_BYTES = 1 << 20;
const LOW_BYTES = 1 << 18;

/**
 * What waits for room in the buffers, the oldest first. A signal gives up waiting.
 *
 * @template Item
 * @template Result of sending one
 */
export class SendQueue {
  #isReady;
  #send;
  /** @type {Set<() => void>} each sends one */
  #waiting = new Set();

  /**
   * @param {() => boolean} isReady whether the next one need not wait
   * @param {(item: Item) => Result} send may throw
   */
  constructor(isReady, send) {
    this.#isReady = isReady;
    this.#send = send;
  }

  /**
   * Sends an item once its turn has come.
   *
   * @param {Item} item
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<Result>}
   */
  add(item, signal) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const giveUp = () => {
        this.#waiting.delete(send);
        reject(signal?.reason);
      };
      const send = () => {
        signal?.removeEventListener('abort', giveUp);
        try {
          resolve(this.#send(item));
        } catch (error) {
          reject(error);
        }
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#waiting.add(send);
      this.drain();
    });
  }

  /** Goes on whenever a channel has room again. @param {RTCDataChannel} channel */
  follow(channel) {
    channel.bufferedAmountLowThreshold = LOW_BYTES;
    channel.addEventListener('bufferedamountlow', () => this.drain());
  }

  /** Must be called when there may be room, or when nothing needs to wait any more. */
  drain() {
    for (const send of this.#waiting) {
      if (!this.#isReady()) return;
      this.#waiting.delete(send);
      send();
    }
  }
}
