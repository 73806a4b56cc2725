// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle, welcome } from './fakes.js';
import { bob, inRoom, next, resumable, signedIn } from './signedin.js';

test('another name: the session stays, and the sessions after it ask for that name', async () => {
  const { client, socket } = await resumable({ name: 'Ada' });
  /** @type {string[]} */
  const heard = [];
  client.on('renamed', ({ name }) => heard.push(name));
  const renaming = client.rename('Countess');
  await settle();
  assert.deepEqual({ ...socket.sent[0], id: '' }, { type: 'rename', name: 'Countess', id: '' });
  await socket.answer('rename', { type: 'renamed', name: 'Countess', seq: 1 });
  assert.equal(await renaming, 'Countess');
  assert.deepEqual([client.name, client.session, heard], ['Countess', 's1', ['Countess']]);
  const second = await next(socket);
  await second.answer('hello', { type: 'error', code: 'no-such-session', message: '' });
  assert.equal(second.expect('hello').name, 'Countess');
});

test('a name that is refused changes nothing; one that another tab has taken is ours, too', async () => {
  const { client, socket } = await signedIn({ name: 'Ada' });
  const refused = assert.rejects(client.rename('Bob'), { code: 'name-taken' });
  await settle();
  await socket.answer('rename', { type: 'error', code: 'name-taken', message: '' });
  await refused;
  assert.equal(client.name, 'Ada');
  await socket.say({ type: 'renamed', name: 'Countess' });
  assert.equal(client.name, 'Countess');
});

test('room mates and those who knock have another name, also when they come back with it', async () => {
  const { client, socket } = await resumable();
  const room = await inRoom(client, socket, { host: 's1', knocks: [{ session: 's8', user: 'u8', name: 'Dora' }], seq: 1 });
  /** @type {string[]} */
  const heard = [];
  room.on('peer-renamed', ({ peer, former }) => heard.push(`${former} is ${peer.name}`));
  room.on('knock-renamed', ({ peer }) => heard.push(`${peer.session} is ${peer.name}`));
  await socket.say({ type: 'peer-renamed', room: 'standup', session: 's2', name: 'Robert', seq: 2 });
  await socket.say({ type: 'peer-renamed', room: 'standup', session: 's8', name: 'Theodora', seq: 3 });
  assert.equal(room.knocks.get('s8')?.name, 'Theodora');
  const second = await next(socket);
  await second.answer('hello', { type: 'error', code: 'no-such-session', message: '' });
  await second.answer('hello', welcome({ session: 's9', resume: 'other' }));
  await second.answer('join', { type: 'joined', room: 'standup', size: 4, peers: [{ ...bob, name: 'Bobby' }] });
  assert.deepEqual(heard, ['Bob is Robert', 's8 is Theodora', 'Robert is Bobby']);
});
