// @ts-check

/**
 * A tile's place, in pixels from the corner of the stage.
 * @typedef {{ left: number, top: number, width: number, height: number }} Box
 *
 * A picture's width divided by its height.
 * @typedef {number} Shape
 */

/** Pixels between two tiles. */
export const GAP = 8;
/** The share of a picture that may be cut off at the sides, or above and below, where faces are. */
const MAY_LOSE = { sides: 0.25, height: 0.12 };
/** A blurred copy of the picture fills what remains of a tile, but little of a tile should be blurred. */
const SLACKS = [4 / 3, 1];
/** How much an empty place in the last row counts. */
const HOLES = 0.2;
/** Tiles count so little if their signs and buttons lie on each other. */
const TOO_SMALL = 0.1;
/** The least size of a tile with its signs and buttons, the least height of the stage, and that of a large tile, in pixels. */
export const LEAST = { row: 96, column: 112, all: 132, large: 160 };
/** The best size of a tile beside or below a large one, as a share of the stage, and its bounds in pixels. */
const STRIP = { width: { share: 0.17, most: 240 }, height: { share: 0.2, most: 180 } };

/**
 * Whether a picture may fill its tile, although that cuts off its edges.
 *
 * @param {Shape} picture
 * @param {number} width of the tile
 * @param {number} height
 */
export function fills(picture, width, height) {
  const tile = width / height;
  return picture > tile ? 1 - tile / picture <= MAY_LOSE.sides : 1 - picture / tile <= MAY_LOSE.height;
}

/**
 * How large a face is in a tile, by the shorter side of the picture in it.
 *
 * @param {Shape} picture
 * @param {number} width
 * @param {number} height
 */
export function faceIn(picture, width, height) {
  const heights = [height, width / picture];
  const shown = fills(picture, width, height) ? Math.max(...heights) : Math.min(...heights);
  return shown * Math.min(1, picture);
}

/**
 * Lays tiles out in rows and columns, so that the faces become as large as they can. The last row is in the middle.
 *
 * @param {Shape[]} pictures in the order of reading
 * @param {Box} place
 * @param {readonly number[]} [slacks] how much narrower or wider a tile may be than its picture can fill
 * @returns {Box[]}
 */
export function inGrid(pictures, place, slacks = SLACKS) {
  const tiles = pictures.length;
  const narrowest = Math.min(...pictures) * (1 - MAY_LOSE.sides);
  const widest = Math.max(...pictures) / (1 - MAY_LOSE.height);
  let best = { columns: 1, rows: tiles, width: 0, height: 0, score: -1 };
  for (let columns = 1; columns <= tiles; columns++) {
    const rows = Math.ceil(tiles / columns);
    const cell = { width: part(place.width, columns), height: part(place.height, rows) };
    for (const slack of slacks) {
      const width = Math.min(cell.width, Math.max(LEAST.column, cell.height * widest * slack));
      const height = Math.min(cell.height, Math.max(LEAST.row, (cell.width / narrowest) * slack));
      const faces = pictures.reduce((sum, picture) => sum + faceIn(picture, width, height), 0);
      const isUseful = Math.min(cell.width / LEAST.column, cell.height / LEAST.row) >= 1;
      const score = faces * (1 - HOLES * (1 - tiles / (rows * columns))) * (isUseful ? 1 : TOO_SMALL);
      if (score > best.score) best = { columns, rows, width, height, score };
    }
  }
  const { columns, rows, width, height } = best;
  const top = place.top + (place.height - rows * (height + GAP) + GAP) / 2;
  return pictures.map((_, tile) => {
    const row = Math.floor(tile / columns);
    const inRow = row === rows - 1 ? tiles - row * columns : columns;
    const left = place.left + (place.width - inRow * (width + GAP) + GAP) / 2;
    return { left: left + (tile % columns) * (width + GAP), top: top + row * (height + GAP), width, height };
  });
}

/**
 * Lays out large tiles, with the others in a strip beside or below them: where the large ones become largest. The others take
 * all that is left.
 *
 * @param {Shape[]} large
 * @param {Shape[]} others
 * @param {number} width of the stage
 * @param {number} height
 * @returns {Box[]} of the large ones, then of the others
 */
export function withStrip(large, others, width, height) {
  const whole = { left: 0, top: 0, width, height };
  if (others.length === 0) return largest(large, whole).boxes;
  const beside = largest(large, { ...whole, width: width - GAP - stripWidth(others.length, width, height) });
  const below = largest(large, { ...whole, height: height - GAP - stripHeight(others.length, width, height) });
  const isBeside = beside.area >= below.area;
  const { boxes } = isBeside ? beside : below;
  const [start, size] = isBeside ? /** @type {const} */ (['left', 'width']) : /** @type {const} */ (['top', 'height']);
  const first = Math.min(...boxes.map((box) => box[start]));
  const end = Math.max(...boxes.map((box) => box[start] + box[size])) - first + GAP;
  const strip = { ...whole, [start]: end, [size]: whole[size] - end };
  return [...boxes.map((box) => ({ ...box, [start]: box[start] - first })), ...inGrid(others, strip, [1])];
}

/**
 * Lays out one tile, or more beside or below each other, each as large as its shape allows, in the middle of a place.
 *
 * @param {Shape[]} shapes
 * @param {Box} place
 */
function largest(shapes, place) {
  const ways = [[shapes.length, 1], [1, shapes.length]].map(([columns = 1, rows = 1]) => {
    const [width, height] = [part(place.width, columns), part(place.height, rows)];
    const boxes = shapes.map((shape, tile) => {
      const size = { width: Math.min(width, height * shape), height: Math.min(height, width / shape) };
      return {
        left: place.left + (columns > 1 ? tile * (width + GAP) : 0) + (width - size.width) / 2,
        top: place.top + (rows > 1 ? tile * (height + GAP) : 0) + (height - size.height) / 2,
        ...size,
      };
    });
    return { boxes, area: boxes.reduce((sum, { width, height }) => sum + width * height, 0) };
  });
  return /** @type {{ boxes: Box[], area: number }} */ (ways.reduce((best, way) => (way.area > best.area ? way : best)));
}

/**
 * How high the stage must be, in pixels, even if the page has to scroll for that. It depends on the width alone: a height that
 * depended on the height would change it again.
 *
 * @param {number} tiles in the grid, or in the strip
 * @param {number} width
 * @param {number} [large]
 */
export function leastHeight(tiles, width, large = 0) {
  const rows = (/** @type {number} */ within) => Math.ceil(tiles / Math.max(1, fit(within, LEAST.column)));
  const high = (/** @type {number} */ count, least = LEAST.row) => count * least + (count - 1) * GAP;
  if (large === 0) return Math.max(LEAST.all, high(rows(width)));
  const abreast = (/** @type {number} */ within) => Math.ceil(large / Math.max(1, fit(within, LEAST.large)));
  const below = high(abreast(width), LEAST.large) + GAP + high(rows(width));
  const beside = Math.max(high(abreast(width / 2), LEAST.large), high(rows(width / 2)));
  return Math.max(LEAST.all, Math.min(below, beside));
}

/**
 * The width of a strip beside the large tiles, with as few columns as it can have.
 *
 * @param {number} tiles
 * @param {number} width of the stage
 * @param {number} height
 */
function stripWidth(tiles, width, height) {
  const columns = Math.ceil(tiles / Math.max(1, fit(height, LEAST.row)));
  const best = Math.min(STRIP.width.most, (STRIP.width.share * width * 2) / (columns + 1));
  return columns * Math.max(LEAST.column, best) + (columns - 1) * GAP;
}

/**
 * The height of a strip below them, with as few rows as it can have.
 *
 * @param {number} tiles
 * @param {number} width
 * @param {number} height
 */
function stripHeight(tiles, width, height) {
  const rows = Math.ceil(tiles / Math.max(1, fit(width, LEAST.column)));
  const best = Math.min(STRIP.height.most, (STRIP.height.share * height * 2) / (rows + 1));
  return rows * Math.max(LEAST.row, best) + (rows - 1) * GAP;
}

/** What each of some tiles beside each other has of a length. @param {number} length @param {number} tiles */
function part(length, tiles) {
  return Math.max(0, (length - (tiles - 1) * GAP) / tiles);
}

/** How many tiles of a size stand beside each other. @param {number} length @param {number} size */
function fit(length, size) {
  return Math.floor((length + GAP) / (size + GAP));
}
