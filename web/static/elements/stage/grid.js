// @ts-check

/** The shape of most cameras' pictures, between 16:9 and upright ones. */
const SHAPE = 4 / 3;
/** The least height of a row, and of them all, in pixels. A column is as wide, if fewer columns are possible. */
const LEAST = { row: 96, all: 128, column: 128 };

/**
 * The numbers of columns and rows with which the tiles become largest.
 *
 * @param {number} tiles
 * @param {number} width of the place for them
 * @param {number} height
 */
export function bestGrid(tiles, width, height) {
  let best = { columns: 1, rows: tiles, size: -1 };
  for (let columns = 1; columns <= tiles; columns++) {
    const rows = Math.ceil(tiles / columns);
    const size = Math.min(width / columns, (height / rows) * SHAPE);
    if (size > best.size) best = { columns, rows, size };
  }
  return best;
}

/**
 * How high the place for the tiles must be, in pixels, even if the page has to scroll for that. It depends on the width
 * alone: a height that depended on the height would change it again.
 *
 * @param {number} tiles
 * @param {number} width
 */
export function leastHeight(tiles, width) {
  const columns = Math.max(1, Math.floor(width / LEAST.column));
  return Math.max(LEAST.all, Math.ceil(tiles / columns) * LEAST.row);
}
