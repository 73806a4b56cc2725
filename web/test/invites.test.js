// @ts-check
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FakeSocket, settle, welcome } from './fakes.js';
import { inRoom, next, resumable, signedIn } from './signedin.js';

/** @type {{ method: string, path: string, bearer: string | null, body: any }[]} */
let asked = [];
/** @type {(() => Response | Promise<Response>)[]} */
let answers = [];
const { fetch } = globalThis;

beforeEach(() => {
  [asked, answers] = [[], []];
  globalThis.fetch = async (input, { method = 'GET', headers, body, signal } = {}) => {
    const url = new URL(String(input));
    assert.equal(url.origin, 'https://turn.example.org');
    signal?.throwIfAborted();
    asked.push({ method, path: url.pathname, bearer: new Headers(headers).get('authorization'), body: body ? JSON.parse(String(body)) : undefined });
    const answer = answers.shift();
    assert.ok(answer, 'more was asked than the test expects');
    return answer();
  };
});

afterEach(() => {
  globalThis.fetch = fetch;
});

const bearers = () => asked.map(({ bearer }) => bearer);

/** @param {number} status @param {string} code */
const refuses = (status, code) => () => Response.json({ error: { code, message: 'No.', field: 'room' } }, { status });

test('makes, lists and revokes invites with the newest token', async () => {
  const { client, socket } = await resumable();
  await inRoom(client, socket);
  await socket.say({ type: 'resume', token: 'newer' });
  const invite = { id: 'i 1', link: 'https://turn.example.org/r/standup#invite=x', invite: 'x', room: 'standup', role: 'guest', uses: 2, used: 0, expires: '' };
  answers = [() => Response.json(invite), () => Response.json({ invites: [invite], roles: ['guest'] }), () => Response.json({})];
  assert.deepEqual(await client.createInvite({ uses: 2, expiresIn: 3600 }), invite);
  assert.deepEqual(await client.invites(), { invites: [invite], roles: ['guest'] });
  assert.equal(await client.revokeInvite('i 1'), undefined);
  assert.deepEqual(asked, [
    { method: 'POST', path: '/api/v1/invites', bearer: 'Bearer newer', body: { room: 'standup', uses: 2, expiresIn: 3600 } },
    { method: 'GET', path: '/api/v1/invites', bearer: 'Bearer newer', body: undefined },
    { method: 'DELETE', path: '/api/v1/invites/i%201', bearer: 'Bearer newer', body: undefined },
  ]);
});

test('the server says why an invite is refused', async () => {
  const { client } = await resumable();
  answers = [refuses(403, 'forbidden'), () => new Response('<html>', { status: 502 })];
  await assert.rejects(client.createInvite({ room: 'Lab' }), { name: 'TurnpikeError', code: 'forbidden', field: 'room' });
  assert.equal(asked[0]?.body.room, 'lab');
  await assert.rejects(client.invites(), { code: 'offline' });
  await assert.rejects(client.createInvite(), TypeError);
  assert.equal(asked.length, 2);
});

test('a client that is not online asks once it is', async () => {
  const { client, socket } = await resumable();
  const resuming = next(socket);
  await settle();
  const listing = client.invites();
  const gone = new AbortController();
  const given = assert.rejects(client.invites({ signal: gone.signal }), (reason) => reason === 'enough');
  gone.abort('enough');
  await given;
  const again = await resuming;
  assert.deepEqual(bearers(), []);
  answers = [() => Response.json({ invites: [], roles: [] })];
  await again.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed' }));
  await listing;
  assert.deepEqual(bearers(), ['Bearer token 2']);
});

test('a token that has just been replaced is tried no second time, and its successor is', async () => {
  const { client, socket } = await resumable();
  answers = [async () => {
    await socket.say({ type: 'resume', token: 'newer' });
    return refuses(401, 'no-such-session')();
  }, () => Response.json({ invites: [], roles: [] })];
  await client.invites();
  assert.deepEqual(bearers(), ['Bearer token', 'Bearer newer']);
  answers = [refuses(401, 'no-such-session')];
  await assert.rejects(client.invites(), { code: 'no-such-session' });
});

test('a session without a token, or at its end, makes no invites', async () => {
  const { client } = await signedIn();
  await assert.rejects(client.invites(), { code: 'no-such-session' });
  client.close();
  await assert.rejects(client.invites(), { code: 'closed' });
  const { client: waiting, socket } = await resumable();
  socket.ended(1006, '');
  await settle();
  const listing = assert.rejects(waiting.invites(), { code: 'closed' });
  waiting.close();
  await listing;
  assert.deepEqual(asked, []);
  FakeSocket.made = [];
});
