// @ts-check
// The space bar to talk: however its hold ends, the microphone does not stay open.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Keys } from '../static/elements/room/keys.js';
import { Emitter, emit } from '../static/sdk/emitter.js';

/** A document in which nothing but the page itself has the focus. */
class FakeDocument extends EventTarget {
  closest() {
    return null;
  }

  querySelector() {
    return null;
  }
}

/** @extends {Emitter<any>} */
class FakeDevices extends Emitter {
  /** @type {{ microphone: { enabled: boolean } | null }} */
  tracks = { microphone: { enabled: false } };

  toggle() {
    const { microphone } = this.tracks;
    if (microphone) microphone.enabled = !microphone.enabled;
    emit(this, 'tracks', this.tracks);
  }

  /** @param {{ enabled: boolean } | null} microphone */
  take(microphone) {
    this.tracks = { microphone };
    emit(this, 'tracks', this.tracks);
  }

  get isOpen() {
    return this.tracks.microphone?.enabled === true;
  }
}

/** @param {(page: { devices: FakeDevices, document: FakeDocument, window: EventTarget, ended: AbortController }) => void} run */
function withPage(run) {
  const [document, window] = [new FakeDocument(), new EventTarget()];
  const added = { document, Element: FakeDocument, addEventListener: window.addEventListener.bind(window) };
  Object.assign(globalThis, added);
  const devices = new FakeDevices();
  const ended = new AbortController();
  try {
    new Keys(/** @type {any} */ ({ setKeys() {}, toast() {}, offered: [] }), /** @type {any} */ (devices), ended.signal);
    run({ devices, document, window, ended });
  } finally {
    for (const name of Object.keys(added)) delete (/** @type {any} */ (globalThis)[name]);
  }
}

/** @param {string} type @param {object} [more] */
function press(type, more = {}) {
  return Object.assign(new Event(type, { cancelable: true }), { key: ' ', code: 'Space', repeat: false, ...more });
}

/** @type {Record<string, (page: { document: EventTarget, window: EventTarget, ended: AbortController }) => void>} */
const ends = {
  'the key is lifted': ({ document }) => document.dispatchEvent(press('keyup')),
  'it is lifted while a modifier makes another character of it': ({ document }) => document.dispatchEvent(press('keyup', { key: '\u00a0' })),
  'the command key is lifted': ({ document }) => document.dispatchEvent(press('keyup', { key: 'Meta', code: 'MetaLeft' })),
  'the window loses the focus': ({ window }) => window.dispatchEvent(new Event('blur')),
  'the page goes': ({ window }) => window.dispatchEvent(new Event('pagehide')),
  'the page is hidden': ({ document }) => document.dispatchEvent(new Event('visibilitychange')),
  'the menu of the browser takes the keys': ({ document }) => document.dispatchEvent(new Event('contextmenu')),
  'a drag takes the keys': ({ document }) => document.dispatchEvent(new Event('dragstart')),
  'we leave the room': ({ ended }) => ended.abort(),
};

for (const [how, end] of Object.entries(ends)) {
  test(`talking ends when ${how}`, () => withPage((page) => {
    page.document.dispatchEvent(press('keydown'));
    assert.equal(page.devices.isOpen, true);
    page.document.dispatchEvent(press('keyup', { key: 'a', code: 'KeyA' }));
    page.document.dispatchEvent(press('keydown', { repeat: true }));
    assert.equal(page.devices.isOpen, true, 'other keys do not end it');
    end(page);
    assert.equal(page.devices.isOpen, false);
  }));
}

test('a microphone that replaces a lost one is muted if the talking has ended meanwhile', () => withPage(({ devices, document }) => {
  document.dispatchEvent(press('keydown'));
  devices.take(null);
  document.dispatchEvent(press('keyup'));
  devices.take({ enabled: true });
  assert.equal(devices.isOpen, false);
  devices.toggle();
  assert.equal(devices.isOpen, true, 'once');
}));

test('a microphone that is not muted stays as it is', () => withPage(({ devices, document, window }) => {
  devices.take({ enabled: true });
  document.dispatchEvent(press('keydown'));
  document.dispatchEvent(press('keyup'));
  window.dispatchEvent(new Event('blur'));
  assert.equal(devices.isOpen, true);
}));
