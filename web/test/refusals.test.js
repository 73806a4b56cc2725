// @ts-check
// What an app meets when something is wrong: an error that says so, and never silence.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FakeSocket, FakeStorage, settle, welcome } from './fakes.js';
import { inRoom, joined, newClient, options, signedIn, timers } from './signedin.js';
import { TurnpikeError, connect } from '../static/sdk/turnpike.js';
import { serverUrl } from '../static/sdk/server/address.js';

const JWT = 'header.claims.signature';

test('whatever getTicket throws is told, and it is asked again', async () => {
  const faults = [new TypeError('Failed to fetch'), 'a string'];
  const getTicket = async () => {
    const fault = faults.shift();
    if (fault) throw fault;
    return JWT;
  };
  const client = newClient({ getTicket });
  /** @type {TurnpikeError[]} */
  const causes = [];
  client.on('retry', ({ cause }) => causes.push(cause));
  const opened = client.open();
  for (const wait of [500, 1000]) {
    await settle();
    timers.tick(wait);
  }
  const socket = await FakeSocket.opened();
  await socket.answer('hello', welcome());
  await opened;
  assert.deepEqual(causes.map(({ code, retryable }) => [code, retryable]), [['ticket', true], ['ticket', true]]);
  assert.match(causes[0]?.message ?? '', /Failed to fetch/);
  assert.ok(causes[0]?.cause instanceof TypeError);
});

test('a backend that is down while the session is lost does not end the client', async () => {
  let isDown = false;
  const { client, socket } = await signedIn({ getTicket: async () => {
    if (isDown) throw new TypeError('Failed to fetch');
    return JWT;
  } });
  const room = await inRoom(client, socket);
  isDown = true;
  socket.ended(1006, '');
  for (const wait of [500, 1000, 2000, 4000]) {
    await settle();
    timers.tick(wait);
  }
  await settle();
  assert.deepEqual([client.status, room.isLeft], ['reconnecting', false]);
  isDown = false;
  timers.tick(15_000);
  const next = await FakeSocket.opened();
  await next.answer('hello', welcome({ session: 's3' }));
  assert.equal(client.status, 'online');
});

test('an error page in the place of a token is named, and never sent', async () => {
  /** @type {any[]} */
  const answers = ['<html><body>502 Bad Gateway</body></html>', '', undefined, { ticket: 7 }, `${JWT}\n`];
  const client = newClient({ getTicket: async () => answers.shift() });
  /** @type {TurnpikeError[]} */
  const causes = [];
  client.on('retry', ({ cause }) => causes.push(cause));
  client.open().catch(() => {});
  for (const wait of [500, 1000, 2000, 4000]) {
    await settle();
    timers.tick(wait);
  }
  const socket = await FakeSocket.opened();
  assert.equal(socket.expect('hello').ticket, JWT);
  assert.deepEqual(causes.map(({ code }) => code), ['ticket', 'ticket', 'ticket', 'ticket']);
  assert.match(causes[0]?.message ?? '', /no JWT: "<html>/);
  assert.match(causes[0]?.hint ?? '', /response\.ok/);
});

test('while media goes on, a sign-in that is refused ends nothing, and is tried again', async () => {
  const { client, socket } = await signedIn();
  const room = await inRoom(client, socket);
  const peer = room.peers.get('s2');
  const connection = /** @type {any} */ (peer?.connection);
  connection.connect();
  /** @type {string[]} */
  const heard = [];
  client.on('barred', ({ error }) => heard.push(`barred ${error.code}`));
  client.on('closed', ({ error }) => heard.push(`closed ${/** @type {any} */ (error).code}`));
  socket.ended(1006, '');
  const refuse = async () => {
    await settle();
    timers.tick(25_000);
    const next = await FakeSocket.opened();
    await next.answer('hello', { type: 'error', code: 'unauthorized', message: 'Expired.' });
  };
  await refuse();
  await refuse();
  assert.deepEqual([client.status, room.isLeft, connection.connectionState, heard], ['reconnecting', false, 'connected', ['barred unauthorized']]);
  // It lets us in: the same room, and the same peer.
  await settle();
  timers.tick(25_000);
  const next = await FakeSocket.opened();
  await next.answer('hello', welcome({ session: 's3' }));
  await next.answer('join', joined);
  assert.deepEqual([client.status, room.peers.get('s2')], ['online', peer]);
  // With nobody connected any more, the refusal is the end.
  connection.close();
  /** @type {any} */ (peer?.connection).close();
  next.ended(1006, '');
  await refuse();
  assert.deepEqual([client.status, room.isLeft, heard], ['closed', true, ['barred unauthorized', 'closed unauthorized']]);
});

test('while we cannot sign in, what is asked of the server fails at once, and what must come back does', async () => {
  const { client, socket } = await signedIn();
  const room = await inRoom(client, socket);
  const peer = room.peers.get('s2');
  /** @type {any} */ (peer?.connection).connect();
  socket.ended(1006, '');
  await settle();
  const waits = [client.rename('Ann'), client.join('other', { create: true }), client.createInvite(), room.admit({ session: 's9' }), client.call('u2')]
    .map((asked) => assert.rejects(asked, { code: 'barred', retryable: false, message: /does not sign us in: Expired\./ }));
  /** @param {FakeSocket} next */
  const refuse = (next) => next.answer('hello', { type: 'error', code: 'unauthorized', message: 'Expired.' });
  timers.tick(25_000);
  await refuse(await FakeSocket.opened());
  await Promise.all(waits);
  await assert.rejects(client.rename('Ann'), { code: 'barred' });
  await assert.rejects(client.invites(), { code: 'barred' });
  // It lets us in, and is lost before we are in the room again. The refusal after that takes us out of no room.
  const again = async () => {
    await settle();
    timers.tick(25_000);
    return FakeSocket.opened();
  };
  let next = await again();
  await next.answer('hello', welcome({ session: 's3' }));
  next.ended(1006, '');
  await refuse(await again());
  next = await again();
  await next.answer('hello', welcome({ session: 's4' }));
  await next.answer('join', joined);
  assert.deepEqual([client.status, room.isLeft, room.peers.get('s2')], ['online', false, peer]);
  const renaming = client.rename('Ann');
  await settle();
  await next.say({ type: 'renamed', name: 'Ann', ref: next.sent.find(({ type }) => type === 'rename')?.id });
  assert.equal(await renaming, 'Ann');
});

test('an app that says unauthorized ends the client', async () => {
  const opening = connect(options({ getTicket: async () => {
    throw new TurnpikeError('unauthorized', 'Sign in first.');
  } }));
  await assert.rejects(opening, { code: 'unauthorized', message: 'Sign in first.', retryable: false });
});

test('a server that does not let us in within the timeout: an error that says why, with advice', async () => {
  const asked = globalThis.fetch;
  const opening = assert.rejects(connect(options({ timeout: 5 })), (error) => {
    assert.ok(error instanceof TurnpikeError);
    assert.deepEqual([error.code, error.retryable], ['timeout', true]);
    assert.match(error.message, /within 5 s: The server cannot be reached/);
    assert.match(error.hint, /http\.allowed_origins .* must have that origin/);
    return true;
  });
  Object.assign(globalThis, {
    origin: 'https://app.example.org',
    // The server answers, and does not let this page read the answer.
    fetch: async (/** @type {URL} */ _, /** @type {RequestInit} */ { mode }) => {
      if (mode !== 'no-cors') throw new TypeError('Failed to fetch');
    },
  });
  try {
    await settle();
    FakeSocket.made.at(-1)?.ended(1006, '');
    await settle();
    await timers.pass(5000);
    await opening;
  } finally {
    Object.assign(globalThis, { fetch: asked, origin: undefined });
  }
});

test('an address that is none, and a platform that lacks something, are told at once', async () => {
  await assert.rejects(connect(options({ url: 'turn.example.org' })), { code: 'bad-url', hint: /https:\/\/turn\.example\.org/ });
  await assert.rejects(connect(options({ url: 'ftp://turn.example.org' })), { code: 'bad-url' });
  await assert.rejects(connect({ ...options(), url: undefined }), { code: 'bad-url', message: /url is missing/ });
  const { RTCPeerConnection, WebSocket } = globalThis;
  try {
    Object.assign(globalThis, { RTCPeerConnection: undefined, WebSocket: undefined });
    await assert.rejects(connect(options({ rtc: {} })), { code: 'unsupported', hint: /rtc/ });
    await assert.rejects(connect(options({ WebSocket: undefined })), { code: 'unsupported', hint: /WebSocket/ });
  } finally {
    Object.assign(globalThis, { RTCPeerConnection, WebSocket });
  }
  class Forbidding {
    constructor() {
      throw new Error('SecurityError');
    }
  }
  await assert.rejects(connect(options({ WebSocket: /** @type {any} */ (Forbidding) })), { code: 'bad-url', hint: /https/ });
});

test('the address of the WebSocket names the same server', () => {
  assert.equal(serverUrl('ws://localhost:8181/signal').href, 'http://localhost:8181/');
  assert.equal(serverUrl(new URL('wss://turn.example.org')).href, 'https://turn.example.org/');
});

test('a page without storage gives its seat back when it ends, and not when it may be shown again', async () => {
  const events = new EventTarget();
  const { socket } = await signedIn({ events, storage: null }, { resume: 'token' });
  events.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: true }));
  assert.deepEqual(socket.sent, []);
  events.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: false }));
  socket.expect('bye');
});

test("the browser's storage is used by default, by the first client of a page", async () => {
  const storage = new FakeStorage();
  Object.assign(globalThis, { sessionStorage: storage });
  try {
    const events = new EventTarget();
    const first = await signedIn({ events }, { resume: 'token' });
    const second = await signedIn({ events }, { resume: 'another', session: 's5' });
    events.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: false }));
    assert.deepEqual(first.socket.sent, []);
    second.socket.expect('bye');
    assert.match(storage.getItem('turnpike.session https://turn.example.org') ?? '', /"token"/);
    first.client.close();
    const third = newClient();
    third.open().catch(() => {});
    const socket = await FakeSocket.opened();
    assert.equal(socket.expect('hello').resume?.token, 'token', 'it goes on with what the first has saved');
  } finally {
    Object.assign(globalThis, { sessionStorage: undefined });
  }
});

test('a client that is given up before it is back leaves what was saved to the next one', async () => {
  const storage = new FakeStorage();
  Object.assign(globalThis, { sessionStorage: storage });
  try {
    const events = new EventTarget();
    await signedIn({ events }, { resume: 'token' });
    events.dispatchEvent(new Event('pagehide'));
    const saved = storage.getItem('turnpike.session https://turn.example.org');
    for (const abort of [new AbortController(), AbortSignal.abort()]) {
      // What React's StrictMode does: it begins, gives up, and begins again. The next page has no client yet.
      const { signal } = abort instanceof AbortController ? abort : { signal: abort };
      storage.setItem('turnpike.session https://app.example.org', saved ?? '');
      const given = connect(options({ signal, url: 'https://app.example.org' }));
      if (abort instanceof AbortController) abort.abort();
      await assert.rejects(given, { name: 'AbortError' });
      assert.equal(storage.getItem('turnpike.session https://app.example.org'), saved);
    }
  } finally {
    Object.assign(globalThis, { sessionStorage: undefined });
  }
});

test('a room that is full with somebody who is away is tried again; one that is just full is not', async () => {
  const { client, socket } = await signedIn();
  let told = 0;
  const joining = client.join('standup', { onFull: () => told++ });
  await settle();
  for (let tries = 0; tries < 2; tries++) {
    await socket.answer('join', { type: 'error', code: 'full', message: 'Full.', away: true });
    timers.tick(3000);
    await settle();
  }
  await socket.answer('join', { ...joined, peers: [] });
  assert.deepEqual([(await joining).id, told], ['standup', 1]);

  const refused = assert.rejects(client.join('other'), { code: 'full', retryable: false });
  await settle();
  await socket.answer('join', { type: 'error', code: 'full', message: 'Full.' });
  await refused;

  const abort = new AbortController();
  const given = assert.rejects(client.join('third', { signal: abort.signal }), (reason) => reason === 'enough');
  await settle();
  await socket.answer('join', { type: 'error', code: 'full', message: 'Full.', away: true });
  abort.abort('enough');
  await given;
  await timers.pass(3000);
  assert.deepEqual(socket.sent, []);
});

test('a signal closes the client, whenever it aborts', async () => {
  const abort = new AbortController();
  const { client, socket } = await signedIn({ signal: abort.signal });
  abort.abort();
  socket.expect('bye');
  assert.equal(client.status, 'closed');
});

test('the documents have every code, and whether it may pass', () => {
  const page = readFileSync(new URL('../../docs/sdk.md', import.meta.url), 'utf8');
  const documented = new Map([...page.matchAll(/^\| `([a-z-]+)` \| (yes|no) \|/gm)].map(([, code, passes]) => [code, passes === 'yes']));
  const source = readFileSync(new URL('../static/sdk/error.js', import.meta.url), 'utf8');
  const union = /@typedef \{\(([^)]*)\)\} ErrorCode/.exec(source)?.[1] ?? '';
  const codes = [...union.matchAll(/'([a-z-]+)'/g)].map(([, code]) => code ?? '');
  assert.deepEqual([...documented.keys()].sort(), codes.sort());
  for (const code of codes) assert.equal(new TurnpikeError(code).retryable, documented.get(code), code);
});
