// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bestGrid, leastHeight } from '../static/elements/stage/grid.js';

test('tiles stand beside each other where the window is wide, and below each other where it is high', () => {
  /** @type {[tiles: number, width: number, height: number, columns: number, rows: number][]} */
  const cases = [
    [1, 1000, 600, 1, 1], [1, 360, 640, 1, 1],
    [3, 1000, 600, 2, 2], [3, 360, 640, 1, 3], [3, 760, 290, 3, 1],
    [4, 1000, 600, 2, 2], [4, 360, 640, 1, 4], [4, 360, 320, 2, 2],
    [9, 1000, 600, 3, 3], [16, 1000, 600, 4, 4], [16, 360, 640, 3, 6],
  ];
  for (const [tiles, width, height, columns, rows] of cases) {
    const best = bestGrid(tiles, width, height);
    assert.deepEqual([best.columns, best.rows], [columns, rows], `${tiles} in ${width} x ${height}`);
  }
});

test('from one to sixteen people, everybody has a place in any window', () => {
  for (let tiles = 1; tiles <= 16; tiles++) {
    for (const [width, height] of [[300, 96], [366, 700], [700, 290], [1400, 800], [0, 0]]) {
      const { columns, rows } = bestGrid(tiles, width ?? 0, height ?? 0);
      assert.ok(columns * rows >= tiles && columns * (rows - 1) < tiles, `${tiles} in ${columns} x ${rows}`);
    }
  }
});

test('each row has a least height, for which a low window scrolls', () => {
  assert.equal(leastHeight(1, 300), 128);
  assert.equal(leastHeight(4, 300), 2 * 96);
  assert.equal(leastHeight(16, 300), 8 * 96);
  assert.equal(leastHeight(16, 1400), 2 * 96);
  assert.equal(leastHeight(3, 0), 3 * 96);
});
