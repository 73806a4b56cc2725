// @ts-check
// What is wrong with the layout of a page, as a person with eyes and fingers would find it. It runs in the page.

/**
 * Returns a sentence for each fault.
 * @returns {string[]}
 */
export function faultsOfLayout() {
  /** @type {string[]} */
  const faults = [];
  const TARGET = 44;
  const modal = document.querySelector('dialog[open], .popup:popover-open');
  const root = modal ?? document.body;

  /** @param {Element} element */
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('.sr-only, .skip:not(:focus)');
  /** @param {Element} element */
  const nameOf = (element) => {
    const text = element.getAttribute('aria-label') ?? element.textContent?.trim().replace(/\s+/g, ' ').slice(0, 30);
    const id = element.getAttribute('data-testid');
    return `${element.localName}${id ? `[${id}]` : ''} "${text}"`;
  };
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
  /** The part of a picture that shows the face which faces.mjs draws. @param {number} width @param {number} height */
  const faceIn = (width, height) => {
    const tall = height > width ? width * 0.8 : height * 0.7;
    const [x, y] = [width / 2, height > width ? height * 0.42 : height * 0.5];
    return { left: x - tall * 0.37, right: x + tall * 0.37, top: y - tall / 2, bottom: y + tall / 2 };
  };

  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} px wide, the window ${innerWidth}`);

  const controls = [...root.querySelectorAll('button, a[href], input, select, textarea')].filter(isShown);
  for (const control of controls) {
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
      if (met && (target.contains(met) || met.contains(target) && met.closest('label'))) continue;
      faults.push(`${nameOf(target)} is covered by ${met ? `${met.localName}.${met.className}` : 'nothing'} at ${x}, ${y}`);
      break;
    }
    if (control instanceof HTMLButtonElement && (control.scrollWidth > control.clientWidth + 1 || control.scrollHeight > control.clientHeight + 1)) {
      faults.push(`the words of ${nameOf(control)} do not fit into it`);
    }
  }

  for (const field of root.querySelectorAll('input:not([type=checkbox]), select, textarea')) {
    if (!isShown(field) || field.matches(':focus-visible')) continue; // Then an outline is in the border's place.
    const ratio = contrast(getComputedStyle(field).borderTopColor, ground(field.parentElement));
    if (ratio < 3) faults.push(`the border of ${nameOf(field)} has a contrast of ${ratio.toFixed(2)} to 1`);
  }
  const pen = document.createElement('canvas').getContext('2d');
  for (const select of root.querySelectorAll('select')) {
    if (!isShown(select) || !pen) continue;
    const style = getComputedStyle(select);
    pen.font = style.font;
    const ARROW = 16;
    const room = select.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - ARROW;
    const words = select.selectedOptions[0]?.text ?? '';
    if (pen.measureText(words).width > room) faults.push(`"${words}" does not fit into its select: ${room.toFixed(0)} px`);
  }
  for (const time of root.querySelectorAll('time')) {
    const words = document.createRange();
    words.selectNodeContents(time);
    if (isShown(time) && words.getClientRects().length > 1) faults.push(`the time ${time.textContent} is broken into lines`);
  }

  // Words that end in an ellipsis may be long, but some of them must be there. Others must not be cut.
  for (const element of root.querySelectorAll('*')) {
    if (!isShown(element) || !(element instanceof HTMLElement) || element.matches('html, body, textarea, input, select, video, canvas')) continue;
    const style = getComputedStyle(element);
    const hasWords = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
    if (!hasWords) continue;
    const box = element.getBoundingClientRect();
    if (style.textOverflow === 'ellipsis') {
      if (box.width < 24) faults.push(`nothing is left of ${nameOf(element)}: ${box.width.toFixed(1)} px`);
      continue;
    }
    const cutter = element.closest('tp-tile, .side, tp-notice, dialog, .popup, .card, button') ?? document.documentElement;
    const edge = cutter.getBoundingClientRect();
    if (box.left < edge.left - 1 || box.right > edge.right + 1) faults.push(`${nameOf(element)} sticks out of ${cutter.localName}.${cutter.className}`);
  }
  if (modal) return faults;

  const tiles = [...document.querySelectorAll('tp-tile')].filter(isShown);
  for (const tile of tiles) {
    tile.scrollIntoView({ block: 'nearest', behavior: 'instant' });
    const at = tile.getBoundingClientRect();
    if (at.width < 40 || at.height < 40) faults.push(`the tile of ${tile.getAttribute('aria-label')} is ${Math.round(at.width)} x ${Math.round(at.height)} px`);
    if (at.left < 0 || at.right > innerWidth + 0.5) faults.push(`the tile of ${tile.getAttribute('aria-label')} is beside the window`);
    const video = tile.querySelector('video');
    if (!tile.hasAttribute('data-video') || !video) continue;
    const { videoWidth, videoHeight } = video;
    if (!videoWidth) {
      faults.push(`the tile of ${tile.getAttribute('aria-label')} has no picture`);
      continue;
    }
    const scales = [at.width / videoWidth, at.height / videoHeight];
    const scale = getComputedStyle(video).objectFit === 'cover' ? Math.max(...scales) : Math.min(...scales);
    const face = faceIn(videoWidth, videoHeight);
    const [dx, dy] = [(at.width - videoWidth * scale) / 2, (at.height - videoHeight * scale) / 2];
    const shown = { left: dx + face.left * scale, right: dx + face.right * scale, top: dy + face.top * scale, bottom: dy + face.bottom * scale };
    if (shown.left < -0.5 || shown.top < -0.5 || shown.right > at.width + 0.5 || shown.bottom > at.height + 0.5) {
      faults.push(`the face of ${tile.getAttribute('aria-label')} is cut: ${Object.values(shown).map(Math.round)} in ${Math.round(at.width)} x ${Math.round(at.height)}`);
    }
    for (const other of tiles) {
      if (other === tile) continue;
      const over = other.getBoundingClientRect();
      const width = Math.min(at.left + shown.right, over.right) - Math.max(at.left + shown.left, over.left);
      const height = Math.min(at.top + shown.bottom, over.bottom) - Math.max(at.top + shown.top, over.top);
      const isAbove = !!(tile.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING);
      const face = (shown.right - shown.left) * (shown.bottom - shown.top);
      if (isAbove && width > 0 && height > 0 && width * height > face * 0.1) faults.push(`the face of ${tile.getAttribute('aria-label')} is behind another tile`);
    }
  }
  for (const [i, tile] of tiles.entries()) {
    for (const other of tiles.slice(i + 1)) {
      if (tile.parentElement?.getAttribute('data-count') === '2') break;
      const [a, b] = [tile.getBoundingClientRect(), other.getBoundingClientRect()];
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1) faults.push('two tiles overlap');
    }
  }

  const log = document.querySelector('[data-testid=chat-log]');
  const last = log?.lastElementChild;
  if (log && last && isShown(log)) {
    log.scrollIntoView({ block: 'nearest', behavior: 'instant' });
    const [frame, item] = [log.getBoundingClientRect(), last.getBoundingClientRect()];
    if (frame.height < 60) faults.push(`the log is ${Math.round(frame.height)} px high`);
    if (item.bottom > frame.bottom + 1 || item.bottom < frame.top) faults.push('the newest message is out of sight');
  }
  scrollTo(0, 0);
  return faults;
}
