// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeSocket, settle, welcome } from './fakes.js';
import { signedIn, timers } from './signedin.js';

const HOUR_MS = 3_600_000;

/** A client whose session ends in an hour. @param {(request: import('../static/sdk/options.js').TicketRequest) => Promise<string>} getTicket */
const bounded = (getTicket) => signedIn({ getTicket }, { expiresIn: 3600, resume: 'token' });

test('refreshes the session with a new ticket in good time, and again', async () => {
  /** @type {any[]} */
  const asked = [];
  const { client, socket } = await bounded(async (request) => `a.ticket.${asked.push(request)}`);
  /** @type {string[]} */
  const events = [];
  for (const name of /** @type {const} */ (['reconnecting', 'online', 'expiring', 'error'])) client.on(name, () => events.push(name));
  assert.equal(asked.length, 1);
  await timers.pass(HOUR_MS * 0.75 - 1000);
  assert.equal(asked.length, 1);
  await timers.pass(2000); // less than after which the client doubts that the server hears it
  assert.equal(asked.length, 2);
  assert.equal(asked[1].fresh, true, 'a stored ticket will not do');
  await socket.answer('refresh', { type: 'refreshed', name: 'Ada Lovelace', role: 'moderator', expiresIn: 3600 });
  assert.deepEqual([client.name, client.role], ['Ada Lovelace', 'moderator']);
  await timers.pass(HOUR_MS * 0.75 + 1000);
  assert.equal(asked.length, 3);
  assert.equal(socket.sent.find(({ type }) => type === 'refresh')?.ticket, 'a.ticket.3');
  assert.deepEqual(events, []);
  assert.equal(client.status, 'online');
});

test('tries again for as long as the session lives', async () => {
  let tries = 0;
  const { client, socket } = await bounded(async () => {
    tries++;
    if (tries === 2) throw new Error('the app is down');
    return `a.ticket.${tries}`;
  });
  await timers.pass(HOUR_MS * 0.75);
  assert.equal(tries, 2);
  await timers.pass(1000);
  assert.equal(tries, 3);
  const refused = socket.sent.findIndex(({ type }) => type === 'refresh');
  const [{ id }] = socket.sent.splice(refused, 1);
  await socket.say({ type: 'error', ref: id, code: 'unauthorized', message: 'no' });
  await timers.pass(2000);
  assert.equal(tries, 4);
  assert.equal(socket.sent.find(({ type }) => type === 'refresh')?.ticket, 'a.ticket.4');
  assert.equal(client.status, 'online');
});

test('a session that has expired is followed by a new one, with a new ticket', async () => {
  /** @type {boolean[]} */
  const fresh = [];
  const { client, socket } = await bounded(async (request) => `a.ticket.${fresh.push(request.fresh)}`);
  let lost = 0;
  client.on('online', ({ how }) => how === 'anew' && lost++);
  socket.ended(4008, 'expired');
  await settle();
  await timers.pass(1000);
  const next = await FakeSocket.opened();
  const hello = next.sent[0];
  assert.equal(hello.type, 'hello');
  assert.equal(hello.ticket, 'a.ticket.2');
  assert.equal(hello.resume, undefined);
  assert.deepEqual(fresh, [false, true]);
  await next.answer('hello', welcome({ session: 's9' }));
  assert.equal(client.session, 's9');
  assert.equal(lost, 1);
  const known = fresh.length;
  await timers.pass(2 * HOUR_MS);
  assert.equal(fresh.length, known, 'the new session has no end');
});

test('without getTicket the app is told, and may refresh by itself', async () => {
  const { client, socket } = await signedIn({ ticket: 'old' }, { expiresIn: 3600 });
  /** @type {any[]} */
  const told = [];
  client.on('expiring', (detail) => told.push(detail));
  await timers.pass(HOUR_MS * 0.76);
  assert.deepEqual(told, [{ seconds: 900 }]);
  const refreshing = client.refresh('new');
  await settle();
  await socket.answer('refresh', { type: 'refreshed', name: 'Ada', role: 'guest', expiresIn: 7200, online: [{ user: 'u7', name: 'Eve' }], onlineMore: true });
  await refreshing;
  assert.deepEqual([...client.online.keys()], ['u7']);
  assert.equal(client.hasMoreOnline, true);
  await timers.pass(HOUR_MS * 1.4);
  assert.equal(told.length, 1);
  await timers.pass(HOUR_MS * 0.2);
  assert.equal(told.length, 2);
});

test('after close nothing is asked for', async () => {
  let asked = 0;
  const { client } = await bounded(async () => `a.ticket.${++asked}`);
  client.close();
  await timers.pass(2 * HOUR_MS);
  assert.equal(asked, 1);
});
