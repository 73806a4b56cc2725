// @ts-check
// The file protocol, as docs/file-protocol.md has it: its examples, and both sides of it in memory.
import assert from 'node:assert/strict';
import { File } from 'node:buffer';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BLOCK_BYTES, NOTHING, fromBase64Url, packRange, readMessage, toBase64Url, unpackRange, writeMessage } from '../static/files/lines.js';
import { EntryList, copyOf, portable, problemOf, readable, saveable } from '../static/files/names.js';
import { Receiving } from '../static/files/receiving.js';
import { Offer, Serving } from '../static/files/sending.js';
import { FakeLink, streams } from './channels.js';

/** @import { Entry } from '../static/files/names.js' */
/** @import { Sent } from '../static/files/sending.js' */
/** @import { Stream } from '../static/files/stream.js' */

const document = readFileSync(new URL('../../docs/file-protocol.md', import.meta.url), 'utf8');

/** @param {number} length @param {number} [seed] */
function pattern(length, seed = 7) {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * seed + (i >> 10)) % 251;
  return bytes;
}

/** @param {string} path @param {Uint8Array} bytes @returns {Sent} */
const sent = (path, bytes) => ({ path, file: /** @type {any} */ (new File([bytes], path.split('/').at(-1) ?? '', { lastModified: 1_700_000_000_000 })) });

/** Keeps what comes in memory. */
class MemoryPlace {
  /** @type {Map<string, Uint8Array[]>} */
  files = new Map();
  /** @type {string[]} */
  log = [];
  #path = '';

  /** @param {Entry} entry */
  async begin({ path, folder }) {
    this.log.push(`${folder ? 'folder' : 'begin'} ${path}`);
    this.#path = path;
    if (!folder) this.files.set(path, []);
  }

  /** @param {Uint8Array} bytes */
  async write(bytes) {
    await new Promise((resolve) => setImmediate(resolve));
    this.files.get(this.#path)?.push(bytes.slice());
  }

  async end() {
    this.log.push(`end ${this.#path}`);
  }

  async abandon() {
    this.log.push(`abandon ${this.#path}`);
    this.files.delete(this.#path);
  }

  async close() {
    this.log.push('close');
  }

  /** @param {string} path */
  bytes(path) {
    return new Uint8Array(Buffer.concat(this.files.get(path) ?? []));
  }
}

/** A sender and a receiver, joined by a link that can be cut. @param {Sent[]} entries */
function pair(entries) {
  const serving = new Serving(new Offer(entries));
  /** @type {Promise<unknown>[]} */
  const served = [];
  const link = new FakeLink((stream) => {
    if (stream.name === 'files') served.push(serving.serve(stream).catch((error) => error));
    else serving.serveBlocks(stream).catch(() => {});
  });
  return { serving, served, link, receiving: new Receiving(), place: new MemoryPlace() };
}

test('the examples of the document are understood', () => {
  const examples = [...document.matchAll(/^\{"type":"entry".*\}$/gm)].map(([line]) => JSON.parse(line));
  assert.equal(examples.length, 3);
  const list = new EntryList();
  for (const example of examples) list.add(example);
  assert.deepEqual(list.all, [
    { path: 'photos', folder: true, size: 0, mode: 0o755, modified: Date.parse('2026-05-01T08:00:00Z') },
    { path: 'photos/cat.jpg', folder: false, size: 3145728, mode: 0o644, modified: Date.parse('2026-05-01T08:00:00.123Z') },
    { path: 'backup.tar', folder: false, size: undefined },
  ]);
  const [, plan = ''] = /`(\{"type":"plan".*?\})`/.exec(document) ?? [];
  list.check(JSON.parse(plan));
  assert.throws(() => list.check({ entries: 3, bytes: 1 }), { name: 'ProtocolError' });
});

test('requests and answers are packed as the tables say', () => {
  const range = { file: 1, offset: 0x0102030405, length: BLOCK_BYTES };
  assert.equal(Buffer.from(packRange(range)).toString('hex'), '00000001' + '0000000102030405' + '00100000');
  assert.deepEqual(unpackRange(packRange(range)), range);
  assert.match(document, new RegExp(`A length of ${NOTHING.toLocaleString('en')} means`));
  for (const bytes of [new Uint8Array(0), pattern(32), pattern(33)]) assert.deepEqual(fromBase64Url(toBase64Url(bytes)), bytes);
  assert.equal(toBase64Url(new Uint8Array(32)).length, 43);
});

test('files and folders come as they were sent, in order, on four streams', async () => {
  const big = pattern(5 * BLOCK_BYTES + 17);
  const { link, receiving, place, served } = pair([{ path: 'a' }, sent('a/big', big), sent('a/empty', new Uint8Array(0)), sent('small', pattern(99))]);
  /** @type {any} */
  let offer;
  receiving.on('offer', (offered) => {
    offer = offered;
    receiving.accept(place);
  });
  await receiving.go(link.open);
  assert.equal(offer.bytes, big.length + 99);
  assert.deepEqual(offer.entries.map((/** @type {Entry} */ { path, size, folder }) => [path, size, folder]), [['a', 0, true], ['a/big', big.length, false], ['a/empty', 0, false], ['small', 99, false]]);
  assert.deepEqual(place.log, ['folder a', 'end a', 'begin a/big', 'end a/big', 'begin a/empty', 'end a/empty', 'begin small', 'end small', 'close']);
  assert.deepEqual(place.bytes('a/big'), big);
  assert.deepEqual(place.bytes('small'), pattern(99));
  assert.deepEqual(link.names, ['files', 'blocks/1', 'blocks/2', 'blocks/3', 'blocks/4']);
  assert.deepEqual(await Promise.all(served), ['done']);
  assert.equal(Buffer.from(receiving.sum).toString('hex'), createHash('sha256').update(pattern(99)).digest('hex'));
  assert.ok(receiving.isDone);
});

test('many small files need no round trip each', async () => {
  const entries = Array.from({ length: 300 }, (_, place) => sent(`file ${place}`, pattern(place, 5)));
  const { link, receiving, place } = pair(entries);
  receiving.on('offer', () => receiving.accept(place));
  await receiving.go(link.open);
  for (const number of [0, 1, 150, 299]) assert.deepEqual(place.bytes(`file ${number}`), pattern(number, 5));
  assert.equal(place.files.size, 300);
});

test('after a break it goes on with what is missing, on new streams', async () => {
  const big = pattern(20 * BLOCK_BYTES + 5);
  const { link, receiving, place, served } = pair([sent('first', pattern(10)), sent('big', big)]);
  receiving.on('offer', () => receiving.accept(place));
  let cuts = 0;
  receiving.on('progress', (bytes) => {
    if (cuts === 0 && bytes > 3 * BLOCK_BYTES) cuts++, link.cut();
    if (cuts === 1 && bytes > 12 * BLOCK_BYTES) cuts++, link.cut();
  });
  await assert.rejects(receiving.go(link.open), { name: 'BrokenStreamError' });
  const had = receiving.bytes;
  assert.ok(had >= 3 * BLOCK_BYTES && had < big.length);
  await assert.rejects(receiving.go(link.open), { name: 'BrokenStreamError' });
  await receiving.go(link.open);
  assert.deepEqual(place.bytes('big'), big);
  const asked = link.names.filter((name) => name.startsWith('blocks/'));
  assert.equal(new Set(asked).size, asked.length); // No name comes twice.
  assert.equal((await Promise.all(served)).at(-1), 'done');
});

test('a sender that has another list is not believed to be the same', async () => {
  const { link, receiving, place } = pair([sent('big', pattern(9 * BLOCK_BYTES))]);
  receiving.on('offer', () => receiving.accept(place));
  receiving.on('progress', () => link.cut());
  await assert.rejects(receiving.go(link.open), { name: 'BrokenStreamError' });
  const other = pair([sent('big', pattern(9 * BLOCK_BYTES))]);
  await assert.rejects(receiving.go(other.link.open), /begun anew/);
});

test('a file that cannot be read fails alone', async () => {
  const gone = sent('gone', pattern(3 * BLOCK_BYTES));
  Object.assign(/** @type {any} */ (gone.file), { slice: () => ({ arrayBuffer: async () => { throw new DOMException('', 'NotReadableError'); } }) });
  const { link, receiving, place, served, serving } = pair([sent('before', pattern(5)), gone, sent('after', pattern(2 * BLOCK_BYTES))]);
  /** @type {string[]} */
  const failed = [];
  receiving.on('failed', ({ entry, error }) => failed.push(`${entry.path}: ${error}`));
  receiving.on('offer', () => receiving.accept(place));
  await receiving.go(link.open);
  assert.match(failed.join(), /^gone: gone is gone, or has changed/);
  assert.deepEqual([...place.files.keys()], ['before', 'after']);
  assert.deepEqual(place.bytes('after'), pattern(2 * BLOCK_BYTES));
  assert.deepEqual(await Promise.all(served), ['done']);
  assert.equal(serving.missed, 1);
});

test('the last file may fail, too', async () => {
  const gone = sent('gone', pattern(3 * BLOCK_BYTES));
  Object.assign(/** @type {any} */ (gone.file), { slice: () => ({ arrayBuffer: async () => new ArrayBuffer(1) }) });
  const { link, receiving, place } = pair([gone]);
  receiving.on('offer', () => receiving.accept(place));
  await receiving.go(link.open);
  assert.deepEqual(place.log, ['begin gone', 'abandon gone', 'close']);
});

test('a receiver who says no, and one who stops', async () => {
  const { link, receiving, served } = pair([sent('x', pattern(5))]);
  receiving.on('offer', () => receiving.stop('the receiver does not want the files', 'declined'));
  await assert.rejects(receiving.go(link.open), { name: 'RefusedError', code: 'declined' });
  assert.deepEqual(await Promise.all(served), ['declined']);
  const other = pair([sent('x', pattern(9 * BLOCK_BYTES))]);
  other.receiving.on('offer', () => other.receiving.accept(other.place));
  other.receiving.on('progress', () => other.receiving.stop('the receiver has stopped'));
  await assert.rejects(other.receiving.go(other.link.open), { name: 'RefusedError' });
  assert.match(String((await Promise.all(other.served))[0]), /the receiver has stopped/);
});

test('a sender who stops says so', async () => {
  const { link, serving, receiving, place } = pair([sent('x', pattern(9 * BLOCK_BYTES))]);
  receiving.on('offer', () => receiving.accept(place));
  receiving.on('progress', () => serving.stop('The sender has stopped.'));
  await assert.rejects(receiving.go(link.open), { name: 'RefusedError', message: 'The sender has stopped.' });
});

/**
 * A sender by hand.
 * @param {object[]} entries
 * @param {(stream: Stream, request: { file: number, offset: number, length: number }) => Promise<unknown>} answer
 * @param {(message: any, control: Stream) => unknown} [hear]
 */
function byHand(entries, answer, hear = () => {}) {
  /** @param {Stream} stream */
  const serve = async (stream) => {
    await stream.write(new TextEncoder().encode('ok\n'));
    if (stream.name !== 'files') {
      for (let request; (request = await stream.readRecord(16).catch(() => undefined));) await answer(stream, unpackRange(request));
      return stream.end();
    }
    for (let message; (message = await readMessage(stream).catch(() => undefined));) {
      await hear(message, stream);
      if (message.type === 'end') await writeMessage(stream, { type: 'end' });
      if (message.type !== 'hello') continue;
      await writeMessage(stream, { type: 'hello', version: 1, session: 's', news: true });
      for (const entry of entries) await writeMessage(stream, { type: 'entry', ...entry });
      await writeMessage(stream, { type: 'plan', entries: entries.length, bytes: entries.reduce((sum, /** @type {any} */ { size = 0 }) => sum + size, 0) });
    }
    await stream.end();
  };
  return new FakeLink((stream) => void serve(stream).catch(() => {}));
}

/** @param {Stream} stream @param {{ file: number, offset: number, length: number }} request @param {Uint8Array<ArrayBuffer>} bytes @param {Uint8Array<ArrayBuffer>} [hashed] */
async function answerWith(stream, request, bytes, hashed = bytes) {
  await stream.write(packRange({ ...request, length: bytes.length }));
  await stream.write(bytes);
  await stream.write(new Uint8Array(createHash('sha256').update(hashed).digest()));
}

test('a file without a size is as long as it turns out', async () => {
  for (const length of [0, 5, BLOCK_BYTES, 3 * BLOCK_BYTES, 20 * BLOCK_BYTES + 1]) {
    const all = pattern(length);
    const link = byHand([{ path: 'stdin' }, { path: 'after', size: 3 }], async (stream, request) => {
      if (request.file === 1) return answerWith(stream, request, pattern(3));
      if (request.offset > length) return stream.write(packRange({ ...request, length: NOTHING }));
      return answerWith(stream, request, all.slice(request.offset, request.offset + request.length));
    }, (message, control) => message.type === 'sum' && writeMessage(control, { type: 'sum', file: message.file, sha256: toBase64Url(createHash('sha256').update(all).digest()) }));
    const [receiving, place] = [new Receiving(), new MemoryPlace()];
    receiving.on('offer', () => receiving.accept(place));
    await receiving.go(link.open);
    assert.deepEqual(place.bytes('stdin'), all, `${length} bytes`);
    assert.deepEqual(place.bytes('after'), pattern(3));
  }
});

test('bytes with a wrong sum end the transfer, and so does a file with one', async () => {
  const wrongBlock = byHand([{ path: 'x', size: 5 }], (stream, request) => answerWith(stream, request, pattern(5), pattern(5, 3)));
  const wrongFile = byHand([{ path: 'x', size: BLOCK_BYTES + 5 }], (stream, request) => answerWith(stream, request, pattern(request.length)),
    (message, control) => message.type === 'sum' && writeMessage(control, { type: 'sum', file: 0, sha256: toBase64Url(new Uint8Array(32)) }));
  for (const [link, problem] of /** @type {[FakeLink, RegExp][]} */ ([[wrongBlock, /not those that were sent/], [wrongFile, /check sum differs/]])) {
    const [receiving, place] = [new Receiving(), new MemoryPlace()];
    receiving.on('offer', () => receiving.accept(place));
    await assert.rejects(receiving.go(link.open), problem);
    assert.ok(!place.log.includes('end x'));
  }
});

test('a sender that cannot hash a whole file is believed by the sums of the ranges', async () => {
  const link = byHand([{ path: 'x', size: BLOCK_BYTES + 5 }], (stream, request) => answerWith(stream, request, pattern(request.length)),
    (message, control) => message.type === 'sum' && writeMessage(control, { type: 'sum', file: 0 }));
  const [receiving, place] = [new Receiving(), new MemoryPlace()];
  receiving.on('offer', () => receiving.accept(place));
  await receiving.go(link.open);
  assert.equal(place.bytes('x').length, BLOCK_BYTES + 5);
});

test('a list without a name is refused: nobody could tell another list from it, which was never accepted', async () => {
  for (const hello of [[{ type: 'hello', version: 1 }], [{ type: 'hello', version: 1, session: '' }], []]) {
    const link = new FakeLink(async (stream) => {
      await stream.write(new TextEncoder().encode('ok\n'));
      for (const message of [...hello, { type: 'entry', path: 'x', size: 5 }, { type: 'plan', entries: 1, bytes: 5 }]) await writeMessage(stream, message);
    });
    const receiving = new Receiving();
    receiving.on('offer', () => assert.fail('it was offered'));
    await assert.rejects(receiving.go(link.open), { name: 'ProtocolError', message: /name its list/ });
  }
});

test('an error of the place is what people hear of', async () => {
  const { link, receiving, place, served } = pair([sent('x', pattern(5))]);
  place.write = async () => { throw new DOMException('', 'QuotaExceededError'); };
  receiving.on('offer', () => receiving.accept(place));
  await assert.rejects(receiving.go(link.open), { name: 'QuotaExceededError' });
  await Promise.all(served);
});

test('when the connection breaks at the end of the last file, the place is closed all the same', async () => {
  const { link, receiving, place } = pair([sent('x', pattern(5))]);
  place.end = async () => link.cut();
  receiving.on('offer', () => receiving.accept(place));
  await assert.rejects(receiving.go(link.open), { name: 'BrokenStreamError' });
  assert.ok(receiving.isDone);
  assert.deepEqual(place.log, ['begin x', 'close']);
});

test('answers to what nobody asked, too long or too short, end the transfer', async () => {
  for (const change of [{ file: 1 }, { offset: 1 }, { length: 4 }, { length: 6 }]) {
    const link = byHand([{ path: 'x', size: 5 }], (stream, request) => stream.write(packRange({ ...request, ...change })));
    const [receiving, place] = [new Receiving(), new MemoryPlace()];
    receiving.on('offer', () => receiving.accept(place));
    await assert.rejects(receiving.go(link.open), { name: 'ProtocolError' }, JSON.stringify(change));
  }
});

test('names that a receiver refuses', () => {
  const long = 'x'.repeat(256);
  for (const path of ['', '/a', 'a/', 'a//b', '.', '..', 'a/../b', 'a/..', './a', 'a\\b', 'a\nb', 'a\u0000', 'a\u0085b', '\ud800', long, 'ä'.repeat(128), Array(66).join('a/') + 'a', '.x.turnpike-part', 'a/.cat.jpg.turnpike-part', 5, null, undefined]) {
    assert.ok(problemOf(path), JSON.stringify(path));
  }
  for (const path of ['a', 'a b/c', '.hidden', '...', 'a..b', 'CON', 'ä', '\u202egnp', 'x.turnpike-part', 'x'.repeat(255)]) assert.equal(problemOf(path), undefined, path);
  const folder = { path: 'a', folder: true };
  for (const entries of [[folder, folder], [{ path: 'a/b', size: 1 }], [{ path: 'a', size: 1 }, { path: 'a/b', size: 1 }], [{ path: 'a', size: -1 }], [{ path: 'a', size: '1' }], [{ path: 'a', size: 2 ** 53 }]]) {
    const list = new EntryList();
    assert.throws(() => entries.forEach((entry) => list.add(entry)), { name: 'ProtocolError' }, JSON.stringify(entries));
  }
});

test('names under which the browser saves are names of every system', () => {
  for (const [name, want] of [['cat.jpg', 'cat.jpg'], ['a/b', 'a_b'], ['.bashrc', '_bashrc'], ['CON', '_CON'], ['nul.txt', '_nul.txt'], ['a:b?.', 'a_b__'], ['\u202egnp.exe', '_gnp.exe'], ['...', '_']]) {
    assert.equal(saveable(name ?? ''), want);
  }
  assert.deepEqual(['.git', 'C:evil', 'aux', 'x '].map(portable), ['.git', 'C_evil', '_aux', 'x_']);
  assert.equal(readable('\u202egnp.exe'), 'gnp.exe');
  assert.deepEqual([copyOf('a.tar.gz', 2), copyOf('a', 3), copyOf('.git', 2), copyOf('a.b', 1)], ['a (2).tar.gz', 'a (3)', '.git (2)', 'a.b']);
});

test('what a receiver has of before is compared, and requests beyond the file end the transfer', async () => {
  const big = pattern(2 * BLOCK_BYTES + 100);
  const { link } = pair([sent('x', big)]);
  const control = await link.open('files');
  assert.equal(await control.readLine(10), 'ok');
  await writeMessage(control, { type: 'hello', version: 1 });
  for (let message; message?.type !== 'plan';) message = await readMessage(control);
  const sum = (/** @type {number} */ from, /** @type {number} */ to) => createHash('sha256').update(big.subarray(from, to)).digest();
  const hashes = toBase64Url(Buffer.concat([sum(0, BLOCK_BYTES), sum(0, 5), sum(2 * BLOCK_BYTES, big.length), sum(0, 0)]));
  await writeMessage(control, { type: 'have', file: 0, offset: 0, piece: BLOCK_BYTES, hashes });
  assert.deepEqual(await readMessage(control), { type: 'same', file: 0, offset: 0, same: '1010' });
  await writeMessage(control, { type: 'have', file: 0, offset: BLOCK_BYTES, piece: 65_536, hashes: toBase64Url(sum(BLOCK_BYTES, BLOCK_BYTES + 65_536)) });
  assert.equal((await readMessage(control)).same, '1');
  for (const range of [{ file: 0, offset: 0, length: 0 }, { file: 0, offset: 5, length: BLOCK_BYTES }, { file: 0, offset: 2 * BLOCK_BYTES, length: 101 }, { file: 1, offset: 0, length: 1 }, { file: 0, offset: 0, length: BLOCK_BYTES + 1 }]) {
    const lane = await pair([sent('x', big)]).link.open('blocks/1');
    await lane.readLine(10);
    await lane.write(packRange(range));
    await assert.rejects(lane.readExactly(16), { name: 'BrokenStreamError' }, JSON.stringify(range));
  }
});

test('a receiver has no streams without bound', async () => {
  const { link } = pair([sent('x', pattern(5))]);
  for (let number = 1; number <= 20; number++) assert.equal(await (await link.open(`blocks/${number}`)).readLine(100), 'ok');
  assert.match(String(await (await link.open('blocks/21')).readLine(100)), /^error: /);
});

test('lines that are no messages end the transfer', async () => {
  for (const line of ['no json', '5', 'null', '{}', '[]']) {
    const [one, other] = streams('files');
    await one.write(new TextEncoder().encode(`${line}\n`));
    await assert.rejects(readMessage(other), { name: 'ProtocolError' }, line);
  }
});
