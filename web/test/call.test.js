// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeSocket, FakeStorage, settle, welcome } from './fakes.js';
import { inRoom, joined, newClient, resumable, signedIn } from './signedin.js';

test('an outgoing call rings, is accepted, leads to a room, and is hung up by the other side', async () => {
  const { client, socket } = await signedIn();
  const calling = client.call('u2');
  await settle();
  await socket.answer('call', { type: 'ringing', call: 'c1', to: { user: 'u2', name: 'Bob' } });
  const call = await calling;
  /** @type {string[]} */
  const events = [];
  call.on('answered', ({ room }) => events.push(`answered ${room.id}`));
  call.on('ended', ({ outcome, by }) => events.push(`${outcome} by ${by}`));
  await socket.say({ type: 'accept', call: 'c1', room: 'k7m' });
  await socket.say({ ...joined, room: 'k7m', size: 2 });
  assert.equal(call.state, 'answered');
  assert.equal((await call.answered).id, 'k7m');
  await socket.say({ type: 'hangup', call: 'c1', room: 'k7m' });
  assert.deepEqual(events, ['answered k7m', 'hangup by them']);
  assert.equal(client.calls.size, 0);
  assert.equal(client.rooms.size, 0);
});

test('accepting an incoming call resolves with the room', async () => {
  const { client, socket } = await signedIn();
  /** @type {Promise<import('../static/sdk/turnpike.js').Call>} */
  const ring = new Promise((resolve) => client.on('call', ({ call }) => resolve(call)));
  await socket.say({ type: 'call', call: 'c1', from: { user: 'u2', name: 'Bob' } });
  const call = await ring;
  assert.equal(call.user.name, 'Bob');
  const accepting = call.accept();
  await settle();
  await socket.answer('accept', { type: 'accept', call: 'c1', room: 'k7m' });
  await socket.say({ ...joined, room: 'k7m', size: 2 });
  assert.equal((await accepting).id, 'k7m');
});

test('a call ends while we accept it', async () => {
  const { client, socket } = await signedIn();
  await socket.say({ type: 'call', call: 'c1', from: { user: 'u2', name: 'Bob' } });
  const call = client.calls.get('c1');
  const refused = assert.rejects(Promise.resolve(call?.accept()), { code: 'no-such-call' });
  await settle();
  await socket.answer('accept', { type: 'error', code: 'no-such-call', message: '' });
  await socket.say({ type: 'cancel', call: 'c1', reason: 'cancelled' });
  await refused;
  assert.equal(call?.state, 'ended');
});

test('a call that is aborted before it rings is cancelled once it rings', async () => {
  const { client, socket } = await signedIn();
  const abort = new AbortController();
  const calling = assert.rejects(client.call('u2', { signal: abort.signal }), (reason) => reason === 'enough');
  await settle();
  const { id } = socket.expect('call');
  abort.abort('enough');
  await socket.say({ type: 'ringing', ref: id, call: 'c1', to: { user: 'u2', name: 'Bob' } });
  await socket.answer('cancel', { type: 'cancel', call: 'c1', reason: 'cancelled' });
  await calling;
});

test('a call that is accepted while we cancel it is hung up, and its room never appears', async () => {
  const { client, socket } = await resumable();
  let rooms = 0;
  client.on('room', () => rooms++);
  const calling = client.call('u2');
  await settle();
  await socket.answer('call', { type: 'ringing', call: 'c1', to: { user: 'u2', name: 'Bob' } });
  (await calling).cancel();
  await settle();
  const { id } = socket.expect('cancel');
  await socket.say({ type: 'accept', call: 'c1', room: 'k7m', seq: 1 });
  await socket.say({ ...joined, room: 'k7m', seq: 2 });
  await socket.say({ type: 'error', ref: id, code: 'no-such-call', message: '', seq: 3 });
  const hangup = socket.expect('hangup');
  assert.equal(hangup.call, 'c1');
  await socket.say({ type: 'hangup', ref: hangup.id, call: 'c1', room: 'k7m', seq: 4 });
  assert.deepEqual([rooms, client.rooms.size, client.calls.size], [0, 0, 0]);
  await socket.say({ ...joined, room: 'k7m', seq: 5 });
  assert.equal(rooms, 1, 'later the room is like any other');
});

test('a call ends with its room', async () => {
  const { client, socket } = await resumable();
  await socket.say({ type: 'call', call: 'c1', from: { user: 'u2', name: 'Bob' }, seq: 1 });
  const call = client.calls.get('c1');
  call?.accept();
  await settle();
  await socket.answer('accept', { type: 'accept', call: 'c1', room: 'k7m', seq: 2 });
  await socket.say({ ...joined, room: 'k7m', seq: 3 });
  /** @type {string[]} */
  const ends = [];
  call?.on('ended', ({ outcome, by, reason }) => ends.push(`${outcome} ${by} ${reason}`));
  await socket.say({ type: 'left', room: 'k7m', reason: 'kicked', seq: 4 });
  assert.deepEqual(ends, ['hangup undefined kicked']);
  assert.equal(client.calls.size, 0);
});

test('an outgoing call that rings when its page is reloaded is cancelled', async () => {
  const storage = new FakeStorage();
  const events = new EventTarget();
  const { client, socket } = await resumable({ storage, events });
  client.call('u2');
  await settle();
  await socket.answer('call', { type: 'ringing', call: 'c1', to: { user: 'u2', name: 'Bob' }, seq: 1 });
  events.dispatchEvent(new Event('pagehide'));
  newClient({ storage }).open().catch(() => {});
  const second = await FakeSocket.opened();
  await second.answer('hello', welcome({ resume: 'token 2', resumed: 'replayed', after: 1 }));
  second.expect('ack');
  assert.equal(second.expect('cancel').call, 'c1');
});

test('a caller waits for the answer, and learns why there is none', async () => {
  const { client, socket } = await signedIn();
  const bobby = { user: 'u2', name: 'Bob' };
  /** @type {[message: any, outcome: any][]} */
  const cases = [
    [{ type: 'decline', reason: 'In a meeting.' }, { outcome: 'declined', by: 'them', reason: 'In a meeting.' }],
    [{ type: 'cancel', reason: 'timeout' }, { outcome: 'timeout', by: undefined }],
    [{ type: 'cancel', reason: 'gone' }, { outcome: 'gone', by: undefined }],
    [{ type: 'cancel', reason: 'a later reason' }, { outcome: 'gone', by: undefined }],
  ];
  for (const [message, end] of cases) {
    const calling = client.call(bobby, { data: { subject: 'lunch' } });
    await settle();
    assert.deepEqual({ ...socket.sent[0], id: '' }, { type: 'call', to: 'u2', data: { subject: 'lunch' }, id: '' });
    await socket.answer('call', { type: 'ringing', call: 'c1', to: bobby, data: { subject: 'lunch' } });
    const call = await calling;
    const refused = assert.rejects(call.answered, (error) => /** @type {any} */ (error).code === end.outcome && /** @type {any} */ (error).message.length > 10);
    await socket.say({ ...message, call: 'c1' });
    await refused;
    assert.deepEqual(await call.ended, end);
    assert.deepEqual(call.data, { subject: 'lunch' });
  }
});

test('somebody who is called sees the data, and may say why not', async () => {
  const { client, socket } = await signedIn();
  const ring = client.once('call');
  await socket.say({ type: 'call', call: 'c1', from: { user: 'u2', name: 'Bob' }, data: 'lunch?' });
  const { call } = await ring;
  assert.equal(call.data, 'lunch?');
  call.decline('Not today.');
  await settle();
  assert.deepEqual({ ...socket.expect('decline'), id: '' }, { type: 'decline', call: 'c1', reason: 'Not today.', id: '' });
  assert.deepEqual(await call.ended, { outcome: 'declined', by: 'me', reason: 'Not today.' });
});

test('to answer can be given up: the call is hung up then', async () => {
  const { client, socket } = await signedIn();
  const ring = client.once('call');
  await socket.say({ type: 'call', call: 'c1', from: { user: 'u2', name: 'Bob' } });
  const abort = new AbortController();
  const given = assert.rejects((await ring).call.accept({ signal: abort.signal }), (reason) => reason === 'enough');
  await settle();
  abort.abort('enough');
  await given;
  await socket.answer('accept', { type: 'accept', call: 'c1', room: 'k7m' });
  await socket.say({ ...joined, room: 'k7m', size: 2, peers: [] });
  assert.equal(socket.expect('hangup').call, 'c1');
  assert.equal(client.rooms.size, 0);
});

test('a signal gives up waiting until the server knows, and what was asked happens all the same', async () => {
  const { client, socket } = await signedIn();
  /** What waits for an answer, and how to begin it. @type {[type: string, (options: { signal: AbortSignal }) => Promise<void>][]} */
  const ends = [];
  const room = await inRoom(client, socket, { peers: [] });
  ends.push(['leave', (options) => room.leave(options)]);
  const ring = async (/** @type {string} */ id) => {
    await socket.say({ type: 'call', call: id, from: { user: 'u2', name: 'Bob' } });
    return /** @type {import('../static/sdk/turnpike.js').Call} */ (client.calls.get(id));
  };
  const [first, second] = [await ring('c1'), await ring('c2')];
  ends.push(['decline', (options) => first.decline('Not now.', options)], ['decline', (options) => second.hangup(options)]);
  const calling = client.call('u3');
  await settle();
  await socket.answer('call', { type: 'ringing', call: 'c3', to: { user: 'u3', name: 'Cid' } });
  const third = await calling;
  ends.push(['cancel', (options) => third.cancel(options)]);
  const fourth = await ring('c4');
  await socket.say({ type: 'accept', call: 'c4', room: 'k7m' });
  ends.push(['hangup', (options) => fourth.hangup(options)], ['bye', (options) => client.close(options)]);
  for (const [type, end] of ends) {
    const abort = new AbortController();
    const ending = assert.rejects(end({ signal: abort.signal }), (reason) => reason === 'enough', type);
    await settle();
    socket.expect(type);
    abort.abort('enough');
    await ending;
  }
  assert.deepEqual([room.isLeft, client.calls.size, client.status], [true, 0, 'closed']);
});

test('what is ended by an app that has given up already is ended', async () => {
  const { client, socket } = await signedIn();
  const room = await inRoom(client, socket, { peers: [] });
  const signal = AbortSignal.abort('enough');
  await assert.rejects(room.leave({ signal }), (reason) => reason === 'enough');
  socket.expect('leave');
  await assert.rejects(client.close({ signal }), (reason) => reason === 'enough');
  socket.expect('bye');
});
