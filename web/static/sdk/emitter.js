// @ts-check

/**
 * An EventTarget whose type lists its events, so that `on` knows the type of each event's `detail`. `addEventListener`
 * works too, but untyped.
 *
 * @template {Record<string, any>} Events names and the type of each one's detail
 */
export class Emitter extends EventTarget {
  /**
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {(event: CustomEvent<Events[Name]>) => void} listener
   * @param {AddEventListenerOptions} [options] `{signal}` removes the listener when the signal aborts
   */
  on(name, listener, options) {
    this.addEventListener(name, /** @type {EventListener} */ (listener), options);
  }

  /**
   * For the SDK's own use.
   *
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {Events[Name]} detail
   */
  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
