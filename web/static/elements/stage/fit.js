// @ts-check

/** The share of a picture that may be cut off at the sides, or above and below, where faces are. */
const MAY_LOSE = { sides: 0.25, height: 0.12 };
const REDRAW_MS = 1000;
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
  #observer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} tile
   * @param {HTMLVideoElement} video
   * @param {HTMLCanvasElement} backdrop
   */
  constructor(tile, video, backdrop) {
    this.#tile = tile;
    this.#video = video;
    this.#backdrop = backdrop;
    this.#observer = new ResizeObserver(() => this.#update());
    this.#observer.observe(tile);
    for (const change of ['resize', 'emptied']) video.addEventListener(change, () => this.#update());
  }

  stop() {
    this.#observer.disconnect();
    clearInterval(this.#timer);
  }

  #update() {
    const { videoWidth, videoHeight } = this.#video;
    const { clientWidth, clientHeight } = this.#tile;
    clearInterval(this.#timer);
    if (!videoWidth || !clientWidth) return;
    const [picture, tile] = [videoWidth / videoHeight, clientWidth / clientHeight];
    const fills = picture > tile ? 1 - tile / picture <= MAY_LOSE.sides : 1 - picture / tile <= MAY_LOSE.height;
    this.#tile.dataset.fit = fills ? 'cover' : 'contain';
    this.#tile.toggleAttribute('data-portrait', picture < 1);
    if (fills) return;
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), REDRAW_MS);
  }

  /** Blurs by making the picture tiny and large again, and darkens it. */
  #draw() {
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
