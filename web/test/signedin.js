// @ts-check
// Most tests of a client begin here: it is signed in, and its timers, sockets and connections are fakes, new for each test.
import { afterEach, beforeEach } from 'node:test';
import { FakePeerConnection, FakeSocket, FakeTimers, settle, welcome } from './fakes.js';
import { insideOf } from '../static/sdk/peer/peer.js';
import { Client } from '../static/sdk/turnpike.js';

/** @type {Client[]} */
const clients = [];

/** @type {FakeTimers} */
export let timers;

beforeEach(() => {
  timers = new FakeTimers();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  timers.restore();
  FakeSocket.made = [];
});

export const bob = { session: 's2', user: 'u2', name: 'Bob' };
export const joined = { type: 'joined', room: 'standup', size: 4, peers: [bob] };

/**
 * @param {Partial<import('../static/sdk/options.js').ClientOptions>} [changes]
 * @returns {import('../static/sdk/options.js').ClientOptions}
 */
export function options(changes) {
  return {
    url: 'https://turn.example.org',
    ticket: 'a ticket',
    timeout: Infinity,
    WebSocket: /** @type {any} */ (FakeSocket),
    rtc: { RTCPeerConnection: /** @type {any} */ (FakePeerConnection) },
    ...changes,
  };
}

/** @param {Partial<import('../static/sdk/options.js').ClientOptions>} [changes] */
export function newClient(changes) {
  const client = new Client(options(changes));
  clients.push(client);
  return client;
}

/**
 * A client whose server resumes no sessions, unless `changes` has a `resume` token.
 *
 * @param {Partial<import('../static/sdk/options.js').ClientOptions>} [options]
 * @param {Partial<import('../static/sdk/server/messages.js').Welcome>} [changes]
 */
export async function signedIn(options, changes) {
  const client = newClient(options);
  const opened = client.open();
  const socket = await FakeSocket.opened();
  await socket.answer('hello', welcome(changes));
  await opened;
  return { client, socket };
}

/**
 * A client whose server resumes its session.
 *
 * @param {Partial<import('../static/sdk/options.js').ClientOptions>} [options]
 * @param {Partial<import('../static/sdk/server/messages.js').Welcome>} [changes]
 */
export function resumable(options, changes) {
  return signedIn(options, { resume: 'token', ...changes });
}

/** Loses the connection, and returns the next one, on which hello waits for its answer. @param {FakeSocket} socket */
export async function next(socket) {
  socket.ended(1006, '');
  await settle();
  timers.tick(1000); // the longest pause before the second attempt
  return FakeSocket.opened();
}

/** @param {Client} client @param {FakeSocket} socket @param {any} [answer] */
export async function inRoom(client, socket, answer) {
  const joining = client.join('standup');
  await settle();
  await socket.answer('join', { ...joined, ...answer });
  return joining;
}

/** Ann in a room with bob, who has answered. */
export async function withBob() {
  const { client, socket } = await signedIn();
  const room = await inRoom(client, socket);
  const peer = room.peers.get(bob.session);
  if (!peer) throw new Error('bob is not there');
  const pc = /** @type {FakePeerConnection} */ (/** @type {unknown} */ (peer.connection));
  await settle();
  const offer = socket.sent.find(({ description }) => description)?.description;
  await insideOf(peer).receive({ description: { type: 'answer', sdp: `answers ${offer.sdp}`, id: 'his.1', to: offer.id } });
  pc.connect();
  const channel = pc.channels[0];
  if (!channel) throw new Error('there is no channel');
  /** Answers our next offers as bob's browser would. */
  const answer = async () => {
    await settle();
    const { sdp, id } = socket.sent.filter(({ description }) => description?.type === 'offer').at(-1).description;
    await insideOf(peer).receive({ description: { type: 'answer', sdp: `answers ${sdp}`, id: 'his.2', to: id } });
    await settle();
  };
  const says = (/** @type {any} */ message) => channel.receive(JSON.stringify(message));
  const told = () => channel.sent.filter(({ type }) => type === 'media').at(-1);
  return { client, socket, room, peer, pc, channel, answer, says, told };
}
