// @ts-check
// Draws static/icons/*.png of static/favicon.svg again, with Chromium: `make icons`.
import { readFileSync, writeFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const svg = readFileSync(new URL('static/favicon.svg', import.meta.url), 'utf8');
const [, background] = /<rect [^>]*fill="(#[0-9a-f]{6})"/.exec(svg) ?? [];
const [, drawing] = /<rect [^>]*\/>([^]*)<\/svg>/.exec(svg) ?? [];
if (!background || !drawing) throw new Error('favicon.svg has no background, or no drawing on it');

/**
 * The drawing on a whole square, since the system cuts corners or a circle out of it: its middle has all.
 * @param {number} scale
 */
function square(scale) {
  const shift = 16 - 16 * scale;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" fill="${background}"/><g transform="translate(${shift - scale} ${shift}) scale(${scale})">${drawing}</g></svg>`;
}

/** @type {[name: string, size: number, picture: string][]} */
const icons = [['192', 192, svg], ['512', 512, svg], ['maskable', 512, square(0.8)], ['apple-touch-icon', 180, square(0.9)]];
const browser = await chromium.launch({ executablePath: process.argv[2] ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await browser.newPage();
for (const [name, size, picture] of icons) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(`<style>* { margin: 0 } svg { display: block; width: ${size}px; height: ${size}px }</style>${picture}`);
  writeFileSync(new URL(`static/icons/${name}.png`, import.meta.url), await page.screenshot({ omitBackground: true }));
}
await browser.close();
