// @ts-check
import { fill, findButton } from '../../dom.js';
import { storeCorner, storedCorner } from '../../storage.js';

/**
 * @import { Box, Shape } from './grid.js'
 *
 * @typedef {{ top: boolean, left: boolean }} Place
 */

/** Pixels from the edges of the stage. */
const MARGIN = 10;
/** A pointer that moves less than this has pressed, and not dragged. */
const STILL = 6;
/** The longer side of our own tile: a share of the stage, and bounds in pixels. */
const SIDE = { width: 0.22, height: 0.45, least: 88, most: 224 };
/** A stage that is lower has no room for it. */
const LEAST_HEIGHT = 132;

/** @type {Record<string, Partial<Place>>} */
const KEYS = { ArrowUp: { top: true }, ArrowDown: { top: false }, ArrowLeft: { left: true }, ArrowRight: { left: false } };

/**
 * The corner in which our own tile lies on the other's, while two people talk. It moves by a drag, by the arrow keys, and by a
 * press, which leads on to the next corner. The browser remembers it.
 */
export class Corner {
  #tile;
  #moved;
  /** @type {Place} */
  #place;

  /**
   * @param {HTMLElement} tile our own; it gets a button all over it
   * @param {() => void} moved called when it must be placed again
   */
  constructor(tile, moved) {
    this.#tile = tile;
    this.#moved = moved;
    const stored = storedCorner() ?? '';
    this.#place = { top: stored.startsWith('top'), left: stored.endsWith('left') };
    const handle = document.createElement('span');
    fill(handle, 'mover');
    const button = findButton(handle, 'move-own');
    tile.append(button);
    this.#drag(button);
    button.addEventListener('click', () => this.#set(this.#next));
    button.addEventListener('keydown', (event) => {
      const towards = KEYS[event.key];
      if (!towards || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#set({ ...this.#place, ...towards });
    });
  }

  /** Such as `bottom-right`. */
  get name() {
    return `${this.#place.top ? 'top' : 'bottom'}-${this.#place.left ? 'left' : 'right'}`;
  }

  /**
   * @param {Shape} shape of our own picture
   * @param {number} width of the stage
   * @param {number} height
   * @returns {Box | undefined} undefined if there is no room
   */
  box(shape, width, height) {
    if (height < LEAST_HEIGHT) return undefined;
    const side = Math.min(Math.max(SIDE.least, Math.min(SIDE.width * width, SIDE.most)), SIDE.height * height);
    const upright = shape < 1;
    const size = upright ? { width: side * 0.75, height: side } : { width: side, height: side * 0.75 };
    return {
      left: this.#place.left ? MARGIN : width - MARGIN - size.width,
      top: this.#place.top ? MARGIN : height - MARGIN - size.height,
      ...size,
    };
  }

  /** Clockwise. @returns {Place} */
  get #next() {
    const { top, left } = this.#place;
    return { top: left, left: !top };
  }

  /** @param {Place} place */
  #set(place) {
    this.#place = place;
    storeCorner(this.name);
    this.#moved();
  }

  /** @param {HTMLButtonElement} button */
  #drag(button) {
    /** @type {{ x: number, y: number } | undefined} */
    let from;
    let wasDrawn = false;
    button.addEventListener('pointerdown', (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      wasDrawn = false;
      from = { x: event.clientX, y: event.clientY };
      button.setPointerCapture(event.pointerId);
    });
    button.addEventListener('pointermove', ({ clientX, clientY }) => {
      if (!from) return;
      const [x, y] = [clientX - from.x, clientY - from.y];
      wasDrawn ||= Math.hypot(x, y) > STILL;
      if (!wasDrawn) return;
      this.#tile.toggleAttribute('data-dragged', true);
      this.#tile.style.translate = [x, y].map((pixels) => `${pixels}px`).join(' ');
    });
    const end = (/** @type {boolean} */ isKept) => {
      if (!from) return;
      from = undefined;
      const place = wasDrawn && isKept ? this.#nearest() : this.#place;
      this.#tile.style.translate = '';
      this.#tile.toggleAttribute('data-dragged', false);
      if (wasDrawn) this.#set(place);
    };
    button.addEventListener('pointerup', () => end(true));
    button.addEventListener('pointercancel', () => end(false));
    // A drag ends with a click, too.
    button.addEventListener('click', (event) => wasDrawn && event.detail > 0 && event.stopImmediatePropagation());
  }

  /** @returns {Place} */
  #nearest() {
    const [tile, stage] = [this.#tile, this.#tile.parentElement ?? this.#tile].map((element) => element.getBoundingClientRect());
    if (!tile || !stage) return this.#place;
    return { top: tile.top + tile.bottom < stage.top + stage.bottom, left: tile.left + tile.right < stage.left + stage.right };
  }
}
