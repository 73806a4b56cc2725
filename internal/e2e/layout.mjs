// @ts-check
// What is wrong with the layout of a page, as a person with eyes and fingers would find it.

/**
 * @typedef {ReturnType<typeof makeEye>} Eye
 * @typedef {{ left: number, top: number, right: number, bottom: number }} Box
 */

/**
 * Returns a sentence for each fault.
 * @param {import('playwright-core').Page} page
 */
export async function faultsOfLayout(page) {
  const eye = await page.evaluateHandle(makeEye);
  const faults = [];
  const isModal = await page.evaluate((eye) => !!eye.modal, eye);
  // The log is first: to look for the buttons in it moves it.
  for (const check of [...(isModal ? [] : [log]), reach, fields, words, ...(isModal ? [] : [tiles, overlaps])]) faults.push(...await page.evaluate(check, eye));
  await eye.dispose();
  await page.evaluate(() => {
    scrollTo(0, 0);
    const log = document.querySelector('[data-testid=chat-log]'); // Its links and buttons were looked for.
    if (log) log.scrollTop = log.scrollHeight;
  });
  return faults;
}

/**
 * Waits until everything has the same place in two frames, one after the other.
 * @param {import('playwright-core').Page} page
 */
export async function settled(page) {
  await page.waitForFunction(() => {
    const state = /** @type {{ places?: string }} */ (globalThis);
    const former = state.places;
    state.places = [...document.body.querySelectorAll('*')].map((element) => Object.values(element.getBoundingClientRect().toJSON()).join()).join(';');
    return state.places === former;
  });
}

/** Windows of desks and phones, and what is left at 400 %. */
const SIZES = /** @type {const} */ ([[1440, 900], [390, 844], [844, 390], [320, 256]]);
/** The low ones. */
export const LOW = SIZES.slice(2);

/**
 * Looks at a room at these sizes: it has no fault, and every tile is in the window, unless that is very small.
 * @param {import('playwright-core').Page} page
 * @param {string} what
 */
export async function fits(page, what, sizes = SIZES.slice()) {
  const before = page.viewportSize();
  for (const [width, height] of sizes) {
    await page.setViewportSize({ width, height });
    await settled(page);
    const faults = await faultsOfLayout(page);
    if (faults.length > 0) throw new Error(`${what}, ${width} x ${height}: ${faults.join('\n')}`);
    if (width < 360) continue;
    const outside = await page.evaluate(() => [...document.querySelectorAll('.tiles > *')].filter((tile) => {
      const { top, bottom, left, right } = tile.getBoundingClientRect();
      return top < 0 || left < 0 || right > innerWidth || bottom > innerHeight;
    }).map((tile) => tile.getAttribute('aria-label')));
    if (outside.length > 0) throw new Error(`${what}, ${width} x ${height}: outside the window are ${outside}`);
  }
  if (before) await page.setViewportSize(before);
  await settled(page);
}

/** The names of the tiles in the order in which one reads them: row by row. @param {import('playwright-core').Page} page */
export function readingOrder(page) {
  return page.evaluate(() => [...document.querySelectorAll('.tiles > *')].map((tile) => ({ tile, at: tile.getBoundingClientRect() }))
    .sort((a, b) => Math.round(a.at.top - b.at.top) || a.at.left - b.at.left).map(({ tile }) => tile.getAttribute('aria-label') ?? ''));
}

// All that follows runs in the page.

/** What the checks share. */
function makeEye() {
  const modal = document.querySelector('dialog[open], .popup:popover-open');
  /** @param {Element} element */
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('.sr-only, .skip:not(:focus)');
  /** The elements that are there to be seen, or those of what is open above all others. @param {string} selector */
  const shown = (selector) => [...(modal ?? document.body).querySelectorAll(selector)].filter(isShown);
  /** @param {Element} element */
  const nameOf = (element) => {
    const text = element.getAttribute('aria-label') ?? element.textContent?.trim().replace(/\s+/g, ' ').slice(0, 30);
    const id = element.getAttribute('data-testid');
    return `${element.localName}${id ? `[${id}]` : ''} "${text}"`;
  };
  /** Where the face that faces.mjs draws is in the window. @param {Element} tile @returns {Box | undefined} */
  const faceOf = (tile) => {
    const video = tile.querySelector('video');
    if (!video?.videoWidth || !tile.hasAttribute('data-video')) return undefined;
    const { videoWidth: width, videoHeight: height } = video;
    const at = tile.getBoundingClientRect();
    const scales = [at.width / width, at.height / height];
    const scale = getComputedStyle(video).objectFit === 'cover' ? Math.max(...scales) : Math.min(...scales);
    const tall = (height > width ? width * 0.8 : height * 0.7) * scale;
    const x = at.left + at.width / 2;
    const y = at.top + at.height / 2 + (height > width ? (0.42 - 0.5) * height * scale : 0);
    return { left: x - tall * 0.37, right: x + tall * 0.37, top: y - tall / 2, bottom: y + tall / 2 };
  };
  /** How many square pixels two boxes share. @param {Box} a @param {Box} b */
  const shared = (a, b) => {
    const [width, height] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
    return width > 0 && height > 0 ? width * height : 0;
  };
  return { modal, isShown, shown, nameOf, faceOf, shared };
}

/** Everything that can be operated is in the window or scrolls into it, is large enough for a finger, and lies under nothing. @param {Eye} eye */
function reach({ shown, nameOf }) {
  const TARGET = 44;
  /** @type {string[]} */
  const faults = [];
  const { scrollWidth } = document.documentElement;
  if (scrollWidth > innerWidth) faults.push(`the page is ${scrollWidth} px wide, the window ${innerWidth}`);
  // Links in the text of a message are in a line of words (WCAG 2.5.8).
  for (const control of shown('button, a[href]:not(.message .text a), input, select, textarea, summary')) {
    // The label is part of what a finger can meet.
    const target = (control instanceof HTMLInputElement && control.type === 'checkbox' && control.closest('label')) || control;
    target.scrollIntoView({ block: 'nearest', inline: 'nearest', behavior: 'instant' });
    const { left, top, right, bottom, width, height } = target.getBoundingClientRect();
    if (width < TARGET - 0.5 || height < TARGET - 0.5) faults.push(`${nameOf(target)} is ${width.toFixed(1)} x ${height.toFixed(1)} px`);
    if (left < -0.5 || top < -0.5 || right > innerWidth + 0.5 || bottom > innerHeight + 0.5) {
      faults.push(`${nameOf(target)} is out of reach: ${[left, top, right, bottom].map(Math.round)} in ${innerWidth} x ${innerHeight}`);
      continue;
    }
    for (const [x, y] of [[0.5, 0.5], [0.2, 0.5], [0.8, 0.5], [0.5, 0.25], [0.5, 0.75]]) {
      const met = document.elementFromPoint(left + width * x, top + height * y);
      if (met && target.contains(met)) continue;
      faults.push(`${nameOf(target)} is covered by ${met ? `${met.localName}.${met.className}` : 'nothing'} at ${x}, ${y}`);
      break;
    }
    if (control instanceof HTMLButtonElement && (control.scrollWidth > control.clientWidth + 1 || control.scrollHeight > control.clientHeight + 1)) {
      faults.push(`the words of ${nameOf(control)} do not fit into it`);
    }
  }
  return faults;
}

/** The borders of fields can be seen (WCAG 1.4.11), what is selected can be read, and no phone zooms the page for a small field. @param {Eye} eye */
function fields({ shown, nameOf }) {
  /** @type {string[]} */
  const faults = [];
  /** Red, green and blue, from 0 to 1, and how opaque. @param {string} colour */
  const parts = (colour) => {
    const [r = 0, g = 0, b = 0, opaque = 1] = (colour.match(/[\d.]+/g) ?? []).map(Number);
    const scale = colour.startsWith('rgb') ? 255 : 1;
    return { rgb: [r / scale, g / scale, b / scale], opaque };
  };
  /** The colour behind an element. @param {Element | null} element @returns {string} */
  const ground = (element) => {
    const colour = element ? getComputedStyle(element).backgroundColor : 'rgb(255, 255, 255)';
    return parts(colour).opaque > 0.99 ? colour : ground(element?.parentElement ?? null);
  };
  /** As in WCAG. @param {string} a @param {string} b */
  const contrast = (a, b) => {
    const [dark = 0, light = 0] = [a, b].map((colour) => {
      const [red = 0, green = 0, blue = 0] = parts(colour).rgb.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    }).sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  const pen = document.createElement('canvas').getContext('2d');
  for (const field of shown('input:not([type=checkbox]), select, textarea')) {
    const style = getComputedStyle(field);
    // With the focus, an outline is in the border's place.
    const ratio = field.matches(':focus-visible') ? Infinity : contrast(style.borderTopColor, ground(field.parentElement));
    if (ratio < 3) faults.push(`the border of ${nameOf(field)} has a contrast of ${ratio.toFixed(2)} to 1`);
    if (parseFloat(style.fontSize) < 16) faults.push(`iPhones zoom the page when ${nameOf(field)} gets the focus: its font has ${style.fontSize}`);
    if (!(field instanceof HTMLSelectElement) || !pen) continue;
    pen.font = style.font;
    const ARROW = 16;
    const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - ARROW;
    const words = field.selectedOptions[0]?.text ?? '';
    const isDevice = /^fake[ _]/i.test(words); // Names of devices are as long as they like.
    if (!isDevice && pen.measureText(words).width > room) faults.push(`"${words}" does not fit into its select: ${room.toFixed(0)} px`);
  }
  return faults;
}

/** Words that end in an ellipsis may be long, but some of them must be there. Others must not be cut. @param {Eye} eye */
function words({ shown, nameOf }) {
  /** @type {string[]} */
  const faults = [];
  for (const element of shown('*')) {
    if (!(element instanceof HTMLElement) || element.matches('textarea, input, select, option, video, canvas')) continue;
    const hasWords = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
    if (!hasWords) continue;
    const box = element.getBoundingClientRect();
    if (getComputedStyle(element).textOverflow === 'ellipsis') {
      if (box.width < 24 && element.scrollWidth > element.clientWidth) faults.push(`nothing is left of ${nameOf(element)}: ${box.width.toFixed(1)} px`);
      continue;
    }
    const cutter = element.closest('tp-tile, .side, tp-notice, dialog, .popup, .card, button') ?? document.documentElement;
    const edge = cutter.getBoundingClientRect();
    if (box.left < edge.left - 1 || box.right > edge.right + 1) faults.push(`${nameOf(element)} sticks out of ${cutter.localName}.${cutter.className}`);
  }
  for (const time of shown('time')) {
    const range = document.createRange();
    range.selectNodeContents(time);
    if (range.getClientRects().length > 1) faults.push(`the time ${time.textContent} is broken into lines`);
  }
  return faults;
}

/** Everybody's tile can be seen, and all of the face in it. @param {Eye} eye */
function tiles({ shown, faceOf, shared }) {
  /** @type {string[]} */
  const faults = [];
  const tiles = shown('tp-tile');
  for (const [place, tile] of tiles.entries()) {
    tile.scrollIntoView({ block: 'nearest', behavior: 'instant' });
    const name = tile.getAttribute('aria-label');
    const at = tile.getBoundingClientRect();
    if (at.width < 40 || at.height < 40) faults.push(`the tile of ${name} is ${Math.round(at.width)} x ${Math.round(at.height)} px`);
    if (at.left < -0.5 || at.right > innerWidth + 0.5) faults.push(`the tile of ${name} is beside the window`);
    const face = faceOf(tile);
    if (!face) {
      if (tile.hasAttribute('data-video')) faults.push(`the tile of ${name} has no picture`);
      continue;
    }
    const area = (face.right - face.left) * (face.bottom - face.top);
    if (shared(face, at) < area * 0.99) faults.push(`the face of ${name} is cut: ${Object.values(face).map(Math.round)} in ${[at.left, at.right, at.top, at.bottom].map(Math.round)}`);
    for (const above of tiles.slice(place + 1)) {
      if (shared(face, above.getBoundingClientRect()) > area * 0.1) faults.push(`the face of ${name} is behind another tile`);
    }
  }
  return faults;
}

/** Only our own tile may lie on another, and only if there are two. @param {Eye} eye */
function overlaps({ shown, shared }) {
  const tiles = shown('tp-tile');
  if (tiles.length === 2) return [];
  const pairs = tiles.flatMap((tile, place) => tiles.slice(place + 1).map((other) => /** @type {const} */ ([tile, other])));
  return pairs.filter(([a, b]) => shared(a.getBoundingClientRect(), b.getBoundingClientRect()) > 10).map(() => 'two tiles overlap');
}

/** The newest message is in sight. @param {Eye} eye */
function log({ isShown }) {
  /** @type {string[]} */
  const faults = [];
  const log = document.querySelector('[data-testid=chat-log]');
  const last = log?.lastElementChild;
  if (!log || !last || !isShown(log)) return faults;
  log.scrollIntoView({ block: 'nearest', behavior: 'instant' });
  const [frame, item] = [log.getBoundingClientRect(), last.getBoundingClientRect()];
  if (frame.height < 60) faults.push(`the log is ${Math.round(frame.height)} px high`);
  if (item.bottom > frame.bottom + 1 || item.bottom < frame.top) faults.push('the newest message is out of sight');
  return faults;
}
