// @ts-check
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Emitter, emit } from '../static/sdk/emitter.js';

/** @extends {Emitter<{ news: number, other: string }>} */
class Source extends Emitter {}

/** @type {unknown[]} */
let reported = [];
const platform = globalThis.reportError;

afterEach(() => {
  globalThis.reportError = platform;
  reported = [];
});

function catchReports() {
  globalThis.reportError = (error) => void reported.push(error);
}

test('a listener gets the detail itself, until it is removed by its function or its signal', () => {
  const source = new Source();
  /** @type {string[]} */
  const heard = [];
  const abort = new AbortController();
  const off = source.on('news', (detail) => heard.push(`a${detail}`));
  source.on('news', (detail) => heard.push(`b${detail}`), { signal: abort.signal });
  source.on('news', () => heard.push('never'), { signal: AbortSignal.abort() });
  emit(source, 'news', 1);
  emit(source, 'other', 'x');
  off();
  off();
  emit(source, 'news', 2);
  abort.abort();
  emit(source, 'news', 3);
  assert.deepEqual(heard, ['a1', 'b1', 'b2']);
});

test('the same function can listen twice, and each registration is removed alone', () => {
  const source = new Source();
  let calls = 0;
  const listener = () => void calls++;
  const first = source.on('news', listener);
  source.on('news', listener);
  emit(source, 'news', 1);
  first();
  emit(source, 'news', 2);
  assert.equal(calls, 3);
});

test('a listener that throws is reported, and stops neither the others nor the emitter', () => {
  catchReports();
  const source = new Source();
  const fault = new Error('mine');
  let calls = 0;
  source.on('news', () => {
    throw fault;
  });
  source.on('news', () => calls++);
  emit(source, 'news', 1);
  assert.deepEqual([reported, calls], [[fault], 1]);
});

test('a listener that another one removes is not called any more, and one that is added waits for the next event', () => {
  const source = new Source();
  /** @type {string[]} */
  const heard = [];
  source.on('news', () => {
    off();
    source.on('news', () => heard.push('added'));
  });
  const off = source.on('news', () => heard.push('removed'));
  emit(source, 'news', 1);
  assert.deepEqual(heard, []);
  emit(source, 'news', 2);
  assert.deepEqual(heard, ['added']);
});

test('once resolves with the next detail alone, or rejects when its signal aborts', async () => {
  const source = new Source();
  const next = source.once('news');
  emit(source, 'news', 1);
  emit(source, 'news', 2);
  assert.equal(await next, 1);
  const abort = new AbortController();
  const never = source.once('news', { signal: abort.signal });
  abort.abort('enough');
  await assert.rejects(never, (reason) => reason === 'enough');
  await assert.rejects(source.once('news', { signal: AbortSignal.abort('before') }), (reason) => reason === 'before');
});

test('apps can listen and cannot emit: the objects are no EventTargets', async () => {
  const source = new Source();
  for (const name of ['emit', 'dispatchEvent', 'addEventListener']) assert.equal(name in source, false, name);
  const exported = await import('../static/sdk/turnpike.js');
  assert.equal('emit' in exported, false);
  assert.throws(() => source.on('news', /** @type {any} */ (undefined)), { name: 'TypeError' });
});
