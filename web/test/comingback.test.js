// @ts-check
// What may happen to a client between one connection and the next, one case a test. nothinglost.test.js plays with chance instead.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FakePeerConnection, FakeSocket, FakeStorage, FakeTimers, settle, welcome } from './fakes.js';
import { Client } from '../static/sdk/turnpike.js';

/** @type {Client[]} */
const clients = [];

/** @type {FakeTimers} */
let timers;

beforeEach(() => {
  timers = new FakeTimers();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  timers.restore();
  FakeSocket.made = [];
});

/** @param {Partial<import('../static/sdk/client.js').ClientOptions>} [options] */
function newClient(options) {
  const client = new Client({
    url: 'https://turn.example.org',
    ticket: 'a ticket',
    WebSocket: /** @type {any} */ (FakeSocket),
    RTCPeerConnection: /** @type {any} */ (FakePeerConnection),
    ...options,
  });
  clients.push(client);
  return client;
}

/**
 * @param {Partial<import('../static/sdk/client.js').ClientOptions>} [options]
 * @param {Partial<import('../static/sdk/messages.js').Welcome>} [changes]
 */
async function signedIn(options, changes) {
  const client = newClient(options);
  const opened = client.open();
  const socket = await FakeSocket.opened();
  await socket.answer('hello', welcome({ resume: 'token', ...changes }));
  await opened;
  return { client, socket };
}

/** The connection is lost; the next one, on which hello waits for its answer. @param {FakeSocket} socket */
async function next(socket) {
  socket.ended(1006, '');
  await settle();
  timers.tick(1000); // the longest pause before the second attempt
  return FakeSocket.opened();
}

/** @type {import('../static/sdk/messages.js').ClientMessage} */
const told = { type: 'signal', room: 'x', to: 'y', candidates: [null] };

test('the answer to a ping says nothing of what was told before or after it', async () => {
  const events = new EventTarget();
  const { client, socket } = await signedIn({ events });
  events.dispatchEvent(new Event('online'));
  client.send(told);
  const [ping, { id }] = [socket.take('ping'), socket.take('signal')];
  await socket.say({ type: 'pong', ref: ping.id });
  const second = await next(socket);
  await second.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed' }));
  second.take('ack');
  assert.equal(second.take('signal').id, id);
});

test('nothing comes between hello and its answer, however much the page before has read', async () => {
  const storage = new FakeStorage();
  const events = new EventTarget();
  const { socket } = await signedIn({ storage, events });
  for (let seq = 1; seq <= 40; seq++) await socket.say({ type: 'online', users: [], seq });
  events.dispatchEvent(new Event('pagehide'));
  const client = newClient({ storage });
  client.open().catch(() => {}); // It is closed in the end.
  const second = await FakeSocket.opened();
  await second.answer('hello', { type: 'error', code: 'no-such-session', message: '' });
  assert.deepEqual(second.sent.map(({ type }) => type), ['hello']);
});

test('a session that too much was to be told to is not gone on with, not even if that happens while it is resumed', async () => {
  const { client, socket } = await signedIn();
  socket.ended(1006, '');
  await settle();
  timers.tick(500);
  await settle(); // The next connection is being opened.
  for (let count = 0; count < 300; count++) client.send(told);
  await settle();
  timers.tick(15_000);
  const after = await FakeSocket.opened();
  assert.equal(after.sent[0].resume, undefined);
  await after.answer('hello', welcome({ session: 's2', resume: 'token 2' }));
  assert.deepEqual(after.sent, []);
});
