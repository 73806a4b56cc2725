// @ts-check
// Rules that hold for every line of the browser code.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../static/', import.meta.url);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll('\\', '/'));

/** @param {string} file */
function code(file) {
  return readFileSync(new URL(file, root), 'utf8').replace(/\/\*[^]*?\*\/|\/\/ .*$/gm, '');
}

/** @type {[rule: string, files: (file: string) => boolean, forbidden: RegExp][]} */
const rules = [
  ['the SDK knows no DOM and no storage', (file) => file.startsWith('sdk/'), /\b(document|window|navigator|localStorage|sessionStorage|HTMLElement|location)\b/],
  ['the SDK imports nothing of the page', (file) => file.startsWith('sdk/'), /from '\.\.\//],
  ['the page opens no sockets', (file) => !file.startsWith('sdk/'), /\b(WebSocket|RTCPeerConnection)\b/],
  ['text is never read as HTML or as code', () => true, /\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function)\s*[(=]/],
];

for (const [rule, applies, forbidden] of rules) {
  test(rule, () => {
    for (const file of files.filter((name) => name.endsWith('.js') && applies(name))) {
      assert.doesNotMatch(code(file), forbidden, file);
    }
  });
}

test('every module is checked by the compiler', () => {
  for (const file of files.filter((name) => name.endsWith('.js'))) {
    assert.ok(readFileSync(new URL(file, root), 'utf8').startsWith('// @ts-check\n'), file);
  }
});

test('the pages have no inline scripts, styles or handlers: the content security policy would stop them', () => {
  for (const file of files.filter((name) => name.endsWith('.html'))) {
    const html = readFileSync(new URL(file, root), 'utf8');
    assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|="javascript:/i, file);
  }
});
