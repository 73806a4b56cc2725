// @ts-check
import { fill, find, write } from '../../dom.js';
import { Pace, duration, size, sized } from '../../quantities.js';
import { asIs, say } from '../../words/code.js';

const SHOW_MS = 200;

/** How much has come, how fast, and how long the rest takes. */
export class Progress extends HTMLElement {
  #pace = new Pace();
  #total = 0;
  #bytes = 0;
  #shownAt = 0;

  connectedCallback() {
    if (this.childElementCount === 0) fill(this, 'code-progress');
  }

  /**
   * @param {number} total bytes; 0 if nobody knows
   * @param {string} label of the bar
   */
  begin(total, label) {
    this.#total = total;
    find(this, '.track', HTMLElement).ariaLabel = label;
    this.#show();
  }

  /** @param {number} bytes until now */
  set(bytes) {
    this.#bytes = bytes;
    this.#pace.add(bytes);
    if (bytes < this.#total && performance.now() - this.#shownAt < SHOW_MS) return;
    this.#show();
  }

  /** Nothing moves for the time being. @param {string} words why */
  pause(words) {
    this.#pace.clear();
    this.#show();
    write(this, '.pace', words);
  }

  #show() {
    this.#shownAt = performance.now();
    const [bytes, total, { rate }] = [this.#bytes, this.#total, this.#pace];
    const part = total > 0 ? Math.min(1, bytes / total) : 0;
    const track = find(this, '.track', HTMLElement);
    track.ariaValueNow = String(Math.floor(100 * part));
    find(track, 'div', HTMLElement).style.setProperty('--part', String(part));
    write(this, '.part', total > 0 ? say('code.part', { size: sized(bytes), total: sized(total) }) : size(bytes));
    const pace = rate > 0 ? say('code.pace', { size: sized(rate) }) : '';
    write(this, '.pace', pace && bytes < total ? say('code.pace-and-left', { pace: asIs(pace), time: asIs(duration((total - bytes) / rate)) }) : pace);
  }
}

customElements.define('tp-progress', Progress);
