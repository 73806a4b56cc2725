// @ts-check
// Where tiles stand, from one to sixteen, on phones and desks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GAP, LEAST, faceIn, fills, inGrid, leastHeight, withStrip } from '../static/elements/stage/grid.js';

/** @import { Box } from '../static/elements/stage/grid.js' */

/** What the stage has on phones upright and on their side, a tablet, a desk with and without the chat, and at 400 %. */
const STAGES = /** @type {const} */ ([[366, 560], [720, 290], [736, 800], [1030, 700], [1408, 700], [300, 132]]);
/** The shapes of cameras that people have: one of them for all, or each in turn. */
const CAMERAS = { laptop: [16 / 9], phone: [9 / 16], old: [4 / 3], mixed: [16 / 9, 9 / 16, 4 / 3] };

/** @param {number} tiles @param {number[]} shapes */
const pictures = (tiles, shapes) => Array.from({ length: tiles }, (_, i) => shapes[i % shapes.length] ?? 1);
/** @param {number} width @param {number} height */
const whole = (width, height) => ({ left: 0, top: 0, width, height });
const area = (/** @type {Box[]} */ boxes) => boxes.reduce((sum, { width, height }) => sum + width * height, 0);

/** None lies on another, all are inside, and one reads them in their order. @param {Box[]} boxes @param {Box} place @param {string} what */
function tidy(boxes, place, what) {
  for (const [i, box] of boxes.entries()) {
    const { left, top, width, height } = box;
    assert.ok(width > 0 && height > 0, `${what}: ${JSON.stringify(box)}`);
    assert.ok(left >= place.left - 0.01 && top >= place.top - 0.01, `${what}: ${i} begins outside`);
    assert.ok(left + width <= place.left + place.width + 0.01 && top + height <= place.top + place.height + 0.01, `${what}: ${i} ends outside`);
    for (const later of boxes.slice(i + 1)) {
      const apart = later.left >= left + width + GAP - 0.01 || later.top >= top + height + GAP - 0.01;
      assert.ok(apart, `${what}: ${i} at ${JSON.stringify(box)}, and later ${JSON.stringify(later)}`);
    }
  }
}

/** @param {(tiles: number, width: number, height: number, shapes: number[], what: string) => void} check */
function everywhere(check) {
  for (let tiles = 1; tiles <= 16; tiles++) {
    for (const [width, height] of STAGES) {
      for (const [camera, shapes] of Object.entries(CAMERAS)) check(tiles, width, height, shapes, `${tiles} ${camera} in ${width} x ${height}`);
    }
  }
}

test('from one to sixteen, tiles have one size, lie beside each other, and use the place', () => {
  everywhere((tiles, width, height, shapes, what) => {
    const place = whole(width, Math.max(height, leastHeight(tiles, width)));
    const boxes = inGrid(pictures(tiles, shapes), place);
    assert.equal(boxes.length, tiles);
    tidy(boxes, place, what);
    assert.equal(new Set(boxes.map(({ width, height }) => `${width} ${height}`)).size, 1, what);
    const [first] = boxes;
    assert.ok(first && first.width >= LEAST.column - 0.01 && first.height >= LEAST.row - 0.01, `${what}: ${JSON.stringify(first)}`);
    assert.ok(tiles === 1 || area(boxes) >= 0.4 * place.width * place.height, `${what}: ${area(boxes) / (place.width * place.height)}`);
  });
});

test('no other number of columns gives faces much more room', () => {
  everywhere((tiles, width, height, shapes, what) => {
    const place = whole(width, Math.max(height, leastHeight(tiles, width)));
    const faces = (/** @type {Box[]} */ boxes) => boxes.reduce((sum, { width, height }, i) => sum + faceIn(pictures(tiles, shapes)[i] ?? 1, width, height), 0);
    const ours = faces(inGrid(pictures(tiles, shapes), place));
    for (let columns = 1; columns <= tiles; columns++) {
      const rows = Math.ceil(tiles / columns);
      const cell = { width: (place.width - (columns - 1) * GAP) / columns, height: (place.height - (rows - 1) * GAP) / rows };
      if (cell.width < LEAST.column || cell.height < LEAST.row) continue;
      const theirs = faces(pictures(tiles, shapes).map(() => ({ ...whole(0, 0), ...cell })));
      assert.ok(ours >= 0.8 * theirs, `${what}: ${columns} columns give ${theirs}, and not ${ours}`);
    }
  });
});

test('the last row is in the middle, and so is all of it', () => {
  const boxes = inGrid(pictures(5, CAMERAS.laptop), whole(1408, 700));
  const rows = [...new Set(boxes.map(({ top }) => top))].map((top) => boxes.filter((box) => box.top === top));
  assert.deepEqual(rows.map(({ length }) => length), [3, 2]);
  for (const row of rows) {
    const middle = row.reduce((sum, { left, width }) => sum + left + width / 2, 0) / row.length;
    assert.ok(Math.abs(middle - 704) < 0.01, `${middle}`);
  }
});

test('tiles stand beside each other where the window is wide, and below each other where it is high', () => {
  /** @type {[tiles: number, width: number, height: number, columns: number][]} */
  const cases = [[1, 1000, 600, 1], [3, 1000, 600, 2], [3, 360, 640, 1], [3, 760, 290, 3], [4, 1000, 600, 2], [9, 1000, 600, 3], [16, 1000, 600, 4]];
  for (const [tiles, width, height, columns] of cases) {
    const boxes = inGrid(pictures(tiles, CAMERAS.laptop), whole(width, height));
    assert.equal(boxes.filter(({ top }) => top === boxes[0]?.top).length, columns, `${tiles} in ${width} x ${height}`);
  }
  const upright = inGrid(pictures(4, CAMERAS.phone), whole(360, 640));
  assert.equal(upright[0]?.top, upright[1]?.top, 'upright pictures stand beside each other on a phone, too');
});

test('a face is never cut, and a picture is cut at its sides rather than above', () => {
  assert.equal(fills(16 / 9, 400, 300), true);
  assert.equal(fills(16 / 9, 300, 300), false);
  assert.equal(fills(16 / 9, 500, 300), true);
  assert.equal(fills(16 / 9, 700, 300), false);
  assert.equal(fills(9 / 16, 400, 300), false);
});

test('a shared screen is whole, and either fills the stage one way or is larger than each of the others', () => {
  for (const screen of [16 / 9, 16 / 10, 21 / 9, 4 / 3, 9 / 19.5]) {
    everywhere((tiles, width, height, shapes, what) => {
      const stage = whole(width, Math.max(height, leastHeight(tiles, width, 1)));
      const [large, ...others] = withStrip([screen], pictures(tiles, shapes), width, stage.height);
      assert.ok(large && others.length === tiles);
      tidy([large, ...others], stage, `${what}, and a screen`);
      assert.ok(Math.abs(large.width / large.height - screen) < 0.01, what);
      const isAsLargeAsItCanBe = width < 320 || large.width > width - 1 || large.height > stage.height - 1;
      assert.ok(isAsLargeAsItCanBe || others.every((other) => area([large]) > area([other])), `${what}, and a screen of ${screen}`);
      assert.ok((others[0]?.height ?? 0) >= LEAST.row - 0.01 && (others[0]?.width ?? 0) >= LEAST.column - 0.01, `${what}: ${JSON.stringify(others[0])}`);
    });
  }
});

test('the people stand beside a screen on a desk and a phone on its side, and below it on a phone upright', () => {
  const strip = (/** @type {number} */ width, /** @type {number} */ height) => {
    const [screen, first] = withStrip([16 / 9], pictures(3, CAMERAS.laptop), width, height);
    return screen && first && first.left >= screen.left + screen.width ? 'beside' : 'below';
  };
  assert.deepEqual([strip(1408, 700), strip(720, 290), strip(366, 560), strip(736, 800)], ['beside', 'beside', 'below', 'below']);
});

test('two screens are as large as the stage allows', () => {
  for (const [width, height] of STAGES) {
    const stage = whole(width, Math.max(height, leastHeight(4, width, 2)));
    const boxes = withStrip([16 / 9, 4 / 3], pictures(4, CAMERAS.mixed), width, stage.height);
    tidy(boxes, stage, `${width} x ${height}`);
  }
  const [left, right] = withStrip([16 / 9, 16 / 9], pictures(2, CAMERAS.laptop), 1408, 500);
  assert.equal(left?.top, right?.top);
  const [above, under] = withStrip([16 / 9, 16 / 9], pictures(2, CAMERAS.laptop), 366, 700);
  assert.equal(above?.left, under?.left);
});

test('each row has a least height, for which a low window scrolls', () => {
  assert.equal(leastHeight(1, 300), LEAST.all);
  assert.equal(leastHeight(4, 300), 2 * LEAST.row + GAP);
  assert.equal(leastHeight(16, 1408), 2 * LEAST.row + GAP);
  assert.equal(leastHeight(3, 0), 3 * LEAST.row + 2 * GAP);
  assert.equal(leastHeight(2, 366, 1), 2 * LEAST.row + GAP);
});
