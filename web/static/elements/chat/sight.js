// @ts-check

/** Notices which messages have been in sight: of a log that is open, on a page that people can see. */
export class Sight {
  #observer;
  #onSeen;
  /** @type {Set<Element>} in the part of the log that is shown, perhaps on a page that is hidden */
  #inside = new Set();

  /**
   * @param {HTMLElement} log
   * @param {(items: Element[]) => void} onSeen gets each watched message once, in the order in which it came into sight
   * @param {AbortSignal} signal
   */
  constructor(log, onSeen, signal) {
    this.#onSeen = onSeen;
    this.#observer = new IntersectionObserver((entries) => this.#moved(entries), { root: log, threshold: [0, 0.5] });
    document.addEventListener('visibilitychange', () => this.#look(), { signal });
    signal.addEventListener('abort', () => this.#observer.disconnect());
  }

  /** @param {Element} item */
  watch(item) {
    this.#observer.observe(item);
  }

  /** @param {Element} item */
  forget(item) {
    this.#observer.unobserve(item);
    this.#inside.delete(item);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #moved(entries) {
    for (const { target, isIntersecting, intersectionRatio, boundingClientRect, rootBounds } of entries) {
      const isLong = boundingClientRect.height > (rootBounds?.height ?? 0) / 2;
      if (isIntersecting && (intersectionRatio >= 0.5 || isLong)) this.#inside.add(target);
      else this.#inside.delete(target);
    }
    this.#look();
  }

  #look() {
    if (document.visibilityState !== 'visible' || this.#inside.size === 0) return;
    const items = [...this.#inside];
    for (const item of items) this.forget(item);
    this.#onSeen(items);
  }
}
