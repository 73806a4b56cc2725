// @ts-check

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Draws a text as a QR code, black on white whatever the theme, as cameras want it.
 *
 * @param {SVGSVGElement} svg
 * @param {string} text
 */
export async function drawQrCode(svg, text) {
  // Few people need it, so it comes when somebody does.
  const { encodeQR } = await import('./vendor/qr.js');
  const rows = encodeQR(text, 'raw', { ecc: 'low', border: 3 });
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ''))).join(''));
  svg.setAttribute('viewBox', `0 0 ${rows.length} ${rows.length}`);
  svg.replaceChildren(path);
}
