// @ts-check
import { fills } from './grid.js';

/** Pixels each way of what is left of the picture in the blurred copy. */
const TINY = 8;

/**
 * Fits the picture of a tile into it: it fills the tile, unless that would cut off too much. Then all of it is shown, before
 * a blurred copy that fills the tile.
 */
export class Fit {
  #tile;
  #video;
  #backdrop;
  #width = 0;
  #height = 0;

  /**
   * @param {HTMLElement} tile
   * @param {HTMLVideoElement} video
   * @param {HTMLCanvasElement} backdrop
   */
  constructor(tile, video, backdrop) {
    this.#tile = tile;
    this.#video = video;
    this.#backdrop = backdrop;
    for (const change of ['resize', 'emptied']) video.addEventListener(change, () => this.#update());
  }

  /** The tile's size is told, and not measured: many tiles change at once. @param {number} width @param {number} height */
  resize(width, height) {
    if (width === this.#width && height === this.#height) return;
    [this.#width, this.#height] = [width, height];
    this.#update();
  }

  #update() {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || !this.#width) return;
    this.#tile.dataset.fit = fills(videoWidth / videoHeight, this.#width, this.#height) ? 'cover' : 'contain';
    this.redraw();
  }

  /** Blurs by making the picture tiny and large again, and darkens it. Nothing is drawn where nobody sees it. */
  redraw() {
    if (this.#tile.dataset.fit !== 'contain' || !this.#tile.hasAttribute('data-video')) return;
    const { width, height } = this.#backdrop;
    const pen = this.#backdrop.getContext('2d');
    if (!pen) return;
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(this.#video, 0, 0, TINY, TINY);
    pen.drawImage(this.#backdrop, 0, 0, TINY, TINY, 0, 0, width, height);
    pen.fillStyle = 'rgb(8 14 13 / 50%)';
    pen.fillRect(0, 0, width, height);
  }
}
