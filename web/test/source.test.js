// @ts-check
// Rules for every line of the browser code.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../static/', import.meta.url);
/** All files but those of others, in vendor/. */
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll('\\', '/')).filter((file) => !file.startsWith('vendor/'));

/** @param {string} file */
function code(file) {
  return readFileSync(new URL(file, root), 'utf8').replace(/\/\*[^]*?\*\/|\/\/ .*$/gm, '');
}

/** @type {[rule: string, files: (file: string) => boolean, forbidden: RegExp][]} */
const rules = [
  // The devices are the browser's, and no part of a page.
  ['the SDK uses no DOM and no storage', (file) => file.startsWith('sdk/') && !['sdk/recovery/reload.js', 'sdk/devices.js'].includes(file), /\b(document|window|navigator|localStorage|sessionStorage|HTMLElement|location)\b/],
  // pinning.js opens none either: it tells the SDK how.
  ['the page opens no sockets', (file) => !file.startsWith('sdk/') && file !== 'code/pinning.js', /\b(WebSocket|RTCPeerConnection)\b/],
  ['text is never read as HTML or as code', () => true, /\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function)\s*[(=]/],
];

for (const [rule, applies, forbidden] of rules) {
  test(rule, () => {
    for (const file of files.filter((name) => name.endsWith('.js') && applies(name))) {
      assert.doesNotMatch(code(file), forbidden, file);
    }
  });
}

/**
 * The layers of the SDK from the bottom to the top. Each may import itself and the layers in its list. A name that ends in
 * a slash is a folder.
 *
 * @type {Record<string, { imports: string[], reason: string }>}
 */
const layers = {
  'sdk/abortable.js': { imports: [], reason: 'everything that can wait can be given up' },
  'sdk/emitter.js': { imports: [], reason: 'every part of the SDK emits its events with it' },
  'sdk/error.js': { imports: [], reason: 'every part of the SDK throws it' },
  'sdk/options.js': { imports: ['sdk/client.js', 'sdk/peer/'], reason: 'types only: apps write them, and every layer reads its own' },
  'sdk/server/': { imports: ['sdk/error.js', 'sdk/options.js'], reason: 'a session with the server needs no room and no WebRTC' },
  'sdk/peer/': {
    imports: ['sdk/emitter.js', 'sdk/error.js', 'sdk/server/messages.js'],
    reason: 'one peer is a WebRTC connection and a way to send it messages, no matter what carries them',
  },
  'sdk/room/': {
    imports: ['sdk/abortable.js', 'sdk/emitter.js', 'sdk/error.js', 'sdk/options.js', 'sdk/server/', 'sdk/peer/'],
    reason: 'a room joins the server to its peers; it declares what it needs of the client that is in it',
  },
  'sdk/recovery/': {
    imports: ['sdk/error.js', 'sdk/options.js', 'sdk/server/', 'sdk/peer/', 'sdk/room/'],
    reason: 'it brings the layers below back after an interruption; without one, they work without it',
  },
  'sdk/clientevents.js': { imports: ['sdk/'], reason: 'types only: what the client tells of the layers' },
  'sdk/opening.js': { imports: ['sdk/error.js', 'sdk/options.js'], reason: 'the wait for the first welcome needs none of the layers' },
  'sdk/platform.js': { imports: ['sdk/error.js', 'sdk/options.js'], reason: 'it looks at the platform before anything is made' },
  'sdk/devices.js': { imports: ['sdk/abortable.js', 'sdk/emitter.js', 'sdk/peer/'], reason: 'it opens what a room can share, and knows no room' },
  'sdk/client.js': { imports: ['sdk/'], reason: 'the client joins the layers' },
  'sdk/turnpike.js': { imports: ['sdk/'], reason: 'it exports the public names, from any layer' },
};

/** @param {string} file @param {string} text @returns {string[]} its imports, of types too, that its layer must not have */
function forbiddenImports(file, text) {
  const [layer, { imports }] = Object.entries(layers).find(([name]) => file === name || file.startsWith(name)) ?? ['', { imports: [] }];
  const targets = [...text.matchAll(/\bfrom '([^']+)'|\bimport\('([^']+)'\)|\bimport '([^']+)'/g)]
    .map((match) => new URL(match[1] ?? match[2] ?? match[3] ?? '', `file:///${file}`).pathname.slice(1));
  const within = (/** @type {string} */ target, /** @type {string} */ name) => target === name || (name.endsWith('/') && target.startsWith(name));
  return targets.filter((target) => ![layer, ...imports].some((name) => name && within(target, name)));
}

test('the layers of the SDK import downwards only, and nothing of the page', () => {
  for (const file of files.filter((name) => name.startsWith('sdk/') && name.endsWith('.js'))) {
    assert.ok(Object.keys(layers).some((name) => file === name || (name.endsWith('/') && file.startsWith(name))), `${file} is in no layer`);
    // The example in a comment of turnpike.js shows an app's import.
    const text = readFileSync(new URL(file, root), 'utf8').replace(/from 'https:[^']+'/g, '');
    assert.deepEqual(forbiddenImports(file, text), [], file);
  }
});

test('an import upwards is found, whatever its form', () => {
  const forms = ["import { Room } from '../room/room.js';", " * @import { Room } from '../room/room.js'", "{import('../room/room.js').Room}", "import '../room/room.js';"];
  for (const form of forms) assert.deepEqual(forbiddenImports('sdk/peer/peer.js', form), ['sdk/room/room.js'], form);
  assert.deepEqual(forbiddenImports('sdk/client.js', "import { find } from '../dom.js';"), ['dom.js']);
  assert.deepEqual(forbiddenImports('sdk/peer/peer.js', "import { Outbox } from '../server/outbox.js';"), ['sdk/server/outbox.js']);
  assert.deepEqual(forbiddenImports('sdk/peer/peer.js', "import { Chat } from './chat.js';\nimport { Emitter } from '../emitter.js';"), []);
});

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
