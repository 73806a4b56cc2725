// @ts-check
// Names that nobody chose.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { FakeSocket, welcome } from './fakes.js';
import { newClient } from './signedin.js';
import { getTicket } from '../static/sdk/turnpike.js';

const { fetch } = globalThis;
afterEach(() => {
  globalThis.fetch = fetch;
});

/** A server that gives tickets for some names. @param {(nth: number) => boolean} isTaken @returns {string[]} the names that it is asked for */
function ticketServer(isTaken) {
  /** @type {string[]} */
  const names = [];
  globalThis.fetch = async (_, init) => {
    names.push(JSON.parse(String(init?.body)).name);
    if (isTaken(names.length)) return Response.json({ error: { code: 'name-taken', message: 'Taken.' } }, { status: 409 });
    return Response.json({ ticket: 'a.good.ticket' }, { status: 201 });
  };
  return names;
}

const url = 'https://turn.example.org';

test('if somebody has the name that was made up, another one is', async () => {
  const names = ticketServer((nth) => nth < 3);
  assert.equal((await getTicket({ url })).ticket, 'a.good.ticket');
  assert.equal(names.length, 3);
  for (const name of names) assert.match(name, /^Guest \d+$/);
});

test('but not for ever, and a name that was chosen is the user’s affair', async () => {
  const names = ticketServer(() => true);
  await assert.rejects(getTicket({ url }), { code: 'name-taken' });
  assert.equal(names.splice(0).length, 5);
  await assert.rejects(getTicket({ url, name: 'Ada' }), { code: 'name-taken' });
  assert.deepEqual(names, ['Ada']);
});

test('if the name is taken between ticket and welcome, another ticket is asked for, once', async () => {
  /** @type {string[]} */
  const asked = [];
  const client = newClient({ getTicket: async ({ name, fresh }) => (asked.push(`${name} ${fresh}`), `ticket.number.${asked.length}`) });
  const opened = client.open();
  const socket = await FakeSocket.opened();
  await socket.answer('hello', { type: 'error', code: 'name-taken', message: '' });
  assert.equal(socket.sent[0].ticket, 'ticket.number.2');
  await socket.answer('hello', welcome());
  await opened;
  assert.deepEqual(asked, ['undefined false', 'undefined true']);

  const other = newClient({ getTicket: async () => 'the.same.ticket' });
  const refused = assert.rejects(other.open(), { code: 'name-taken' });
  const second = await FakeSocket.opened();
  for (let tries = 0; tries < 2; tries++) await second.answer('hello', { type: 'error', code: 'name-taken', message: '' });
  await refused;
});
