// @ts-check
// The SDK understands each message of the server. The examples are in signal/wire/testdata; Go tests read them too.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { FakePeerConnection, FakeSocket, FakeStorage, settle, welcome } from './fakes.js';
import { Client } from '../static/sdk/turnpike.js';
import { insideOf } from '../static/sdk/client.js';
import { insideOf as insideOfCall } from '../static/sdk/room/call.js';
import { insideOf as insideOfPeer } from '../static/sdk/peer/peer.js';

const folder = new URL('../../signal/wire/testdata/', import.meta.url);

/** @type {[file: string, message: any][]} */
const examples = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => [file, JSON.parse(readFileSync(new URL(file, folder), 'utf8'))])
  .filter(([, { direction }]) => direction === 'server')
  .map(([file, { message }]) => [file, message]);

/**
 * @typedef {object} Scene
 * @property {Client} client
 * @property {Record<string, any>} events the detail of each event so far
 * @property {{ data?: unknown, topic?: string }} heard
 * @property {FakeSocket} socket
 * @property {() => string} leftBehind returns the text that the page saves for the next one
 * @property {unknown} before the connection with the message's peer before the message, if there was one
 */

/**
 * What must be true after a message of each type.
 *
 * @type {Record<string, (scene: Scene, message: any) => void>}
 */
const understood = {
  'welcome': ({ client }, { session, limits, iceServers, online, onlineMore = false }) => {
    assert.deepEqual(client.limits, limits);
    assert.equal(client.session, session);
    assert.deepEqual(client.iceServers, iceServers);
    assert.equal(client.online.size, online?.length ?? 0);
    assert.equal(client.hasMoreOnline, onlineMore);
  },
  'refreshed': ({ client }, { name, role, online, onlineMore = false }) => {
    assert.equal(client.name, name);
    assert.equal(client.role, role);
    assert.equal(client.online.size, online?.length ?? 0);
    assert.equal(client.hasMoreOnline, onlineMore);
  },
  'renamed': ({ client }, { name }) => assert.equal(client.name, name),
  'peer-renamed': ({ client }, { room, session, name }) => assert.equal(client.rooms.get(room)?.peers.get(session)?.name, name),
  // These two leave no trace; client.test.js and liveness.test.js test their effect.
  'ack': () => {},
  'pong': () => {},
  'resume': ({ leftBehind }, { token }) => assert.ok(leftBehind().includes(JSON.stringify(token))),
  'peer-away': ({ client }, { room, session }) => assert.equal(client.rooms.get(room)?.peers.get(session)?.away, true),
  'peer-back': ({ client, before }, { room, session, fresh }) => {
    const peer = client.rooms.get(room)?.peers.get(session);
    assert.equal(peer?.away, false);
    assert.equal(peer?.connection !== before, fresh);
  },
  'error': ({ events }, { ref, code }) => assert.equal(ref ? events.refused?.code : events.error?.code, code),
  'joined': ({ client }, { room, size, peers, host, locked = false, waiting = false, knocks = [] }) => {
    assert.equal(client.rooms.get(room)?.size, size);
    assert.equal(client.rooms.get(room)?.host, client.rooms.get(room)?.peers.get(host));
    assert.equal(client.rooms.get(room)?.locked, locked);
    assert.equal(client.rooms.get(room)?.hasWaitingRoom, waiting);
    assert.deepEqual([...(client.rooms.get(room)?.knocks.values() ?? [])], knocks);
    assert.deepEqual([...(client.rooms.get(room)?.peers.keys() ?? [])], peers.map(({ session = '' }) => session));
  },
  'left': ({ client }, { room }) => assert.equal(client.rooms.has(room), false),
  'peer-joined': ({ client }, { room, peer }) => assert.equal(client.rooms.get(room)?.peers.get(peer.session)?.name, peer.name),
  'peer-left': ({ client }, { room, session }) => assert.equal(client.rooms.get(room)?.peers.has(session), false),
  'signal': ({ client }, { room, from, description, candidate, candidates }) => {
    const pc = /** @type {any} */ (client.rooms.get(room)?.peers.get(from)?.connection);
    if (description) assert.equal(pc.remoteDescription.sdp, description.sdp);
    else assert.deepEqual(pc.candidates, candidates ?? [candidate]);
  },
  'online': ({ client }, { users, more = false }) => {
    assert.ok(users.every(({ user = '' }) => client.online.has(user)));
    assert.equal(client.hasMoreOnline, more);
  },
  'offline': ({ client }, { users }) => assert.ok(users.every(({ user = '' }) => !client.online.has(user))),
  'call': ({ events }, { call, from }) => assert.deepEqual([events.call.call.id, events.call.call.user], [call, from]),
  'ringing': ({ client }, { call, to }) => assert.deepEqual(client.calls.get(call)?.user, to),
  'accept': ({ client }, { call, room }) => assert.equal(client.calls.get(call)?.roomId, room),
  'decline': ({ client }, { call }) => assert.equal(client.calls.has(call), false),
  'cancel': ({ client }, { call }) => assert.equal(client.calls.has(call), false),
  'hangup': ({ client }, { call, room }) => assert.deepEqual([client.calls.has(call), client.rooms.has(room)], [false, false]),
  'ice-servers': ({ client }, { iceServers }) => {
    assert.deepEqual(client.iceServers, iceServers);
    const pc = /** @type {any} */ (client.rooms.get('before')?.peers.get('someone')?.connection);
    assert.deepEqual(pc.configuration.iceServers, iceServers);
  },
  'host': ({ client }, { room, session }) => assert.equal(client.rooms.get(room)?.host, client.session === session ? 'me' : client.rooms.get(room)?.peers.get(session)),
  'locked': ({ client }, { room }) => assert.equal(client.rooms.get(room)?.locked, true),
  'unlocked': ({ client }, { room }) => assert.equal(client.rooms.get(room)?.locked, false),
  'kicked': () => {}, // an answer, beside `peer-left`
  'waiting': ({ client }, { room }) => assert.equal(client.rooms.has(room), false),
  'knock': ({ client }, { room, peer }) => assert.deepEqual(client.rooms.get(room)?.knocks.get(peer.session), peer),
  'knock-over': ({ client }, { room }) => assert.equal(client.rooms.get(room)?.knocks.size, 0),
  'admitted': ({ client }, { room }) => assert.equal(client.rooms.get(room)?.knocks.size, 0),
  'refused': ({ client }, { room }) => assert.equal(client.rooms.get(room)?.knocks.size, 0),
  'said': () => {}, // an answer
  'data': ({ heard }, { data, topic = '' }) => assert.deepEqual(heard, { data, topic }),
  'going-away': ({ events }, { retryAfter }) => assert.deepEqual(events['going-away'], { retryAfter }),
};

/** What answers no request of the session. */
const ofConnection = new Set(['welcome', 'ack', 'pong']);

/** A client in the middle of things: what an example speaks of is there. @param {any} message @returns {Promise<Scene>} */
async function scene(message) {
  FakeSocket.made = [];
  const page = new EventTarget();
  const storage = new FakeStorage();
  const client = new Client({
    storage,
    events: page,
    url: 'http://localhost',
    ticket: 't',
    WebSocket: /** @type {any} */ (FakeSocket),
    rtc: { RTCPeerConnection: /** @type {any} */ (FakePeerConnection) },
  });
  const opened = client.open();
  const socket = await FakeSocket.opened();
  await socket.answer('hello', welcome({ session: '0', resume: 'token' })); // Polite to everyone, so that it accepts every offer.
  await opened;
  const other = { session: message.from ?? message.session ?? 'someone', user: 'u2', name: 'Bob' };
  await socket.say({ type: 'joined', room: 'before', size: 2, peers: [{ ...other, session: 'someone' }] });
  if (message.room && !['joined', 'waiting'].includes(message.type)) {
    const peers = typeof other.session === 'string' && message.type !== 'peer-joined' ? [other] : [];
    const knocks = ['knock-over', 'admitted', 'refused'].includes(message.type) ? peers.splice(0) : [];
    await socket.say({ type: 'joined', room: message.room, size: 2, host: '0', locked: message.type === 'unlocked', peers, knocks });
  }
  if (message.candidate !== undefined || message.candidates) {
    const peer = client.rooms.get(message.room)?.peers.get(message.from);
    if (peer) insideOfPeer(peer).receive({ description: { type: 'offer', sdp: 'offer' } });
  }
  if (['accept', 'decline', 'cancel', 'hangup'].includes(message.type)) {
    await socket.say({ type: 'call', call: message.call, from: { user: 'u2', name: 'Bob' } });
    const call = client.calls.get(message.call);
    if (message.room && call) insideOfCall(call).accepted(message.room);
  }
  /** @type {Record<string, any>} */
  const events = {};
  for (const name of /** @type {const} */ (['error', 'call', 'going-away'])) {
    client.on(name, (detail) => (events[name] = detail));
  }
  if (message.type === 'peer-back') await socket.say({ type: 'peer-away', room: message.room, session: message.session });
  await settle();
  const leftBehind = () => {
    page.dispatchEvent(new Event('pagehide'));
    return storage.getItem('turnpike.session http://localhost') ?? '';
  };
  /** @type {{ data?: unknown, topic?: string }} what the peer has said by way of the server */
  const heard = {};
  client.rooms.get(message.room)?.on('data', ({ data, topic }) => Object.assign(heard, { data, topic }));
  const before = client.rooms.get(message.room)?.peers.get(message.session)?.connection;
  return { client, events, socket, leftBehind, before, heard };
}

test('every message of the server has an example', () => {
  assert.deepEqual([...new Set(examples.map(([, { type }]) => type))].sort(), Object.keys(understood).sort());
});

for (const [file, message] of examples) {
  test(`${file} is understood`, async () => {
    const at = await scene(message);
    if (message.ref && !ofConnection.has(message.type)) {
      // The request that the example answers.
      const request = insideOf(at.client).request({ type: 'leave', room: 'x' }).catch((error) => (at.events.refused = error));
      await settle();
      const { id } = at.socket.sent.at(-1);
      await at.socket.say({ ...message, ref: id });
      await request;
    } else {
      await at.socket.say(message);
    }
    understood[message.type]?.(at, message);
    at.client.close();
    at.socket.ended(1000, 'bye');
  });
}
