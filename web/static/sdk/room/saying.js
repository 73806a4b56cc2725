// @ts-check
import { emit } from '../emitter.js';
import { TurnpikeError } from '../error.js';
import { chatIn, slow } from '../peer/chat.js';

/**
 * @import { ChatMessage } from '../peer/chat.js'
 * @import { Peer } from '../peer/peer.js'
 * @import { Room, RoomClient } from './room.js'
 *
 * @typedef {object} Saying
 * @property {Peer[] | undefined} to undefined: all
 * @property {string | undefined} topic
 * @property {AbortSignal | undefined} [signal]
 */

/** The topic of chat that goes by way of the server, since one of the two takes no part in WebRTC. */
const CHAT_TOPIC = 'turnpike.chat';

/**
 * Sends data to room mates by way of the server.
 *
 * @param {RoomClient} client
 * @param {Room} room
 * @param {unknown} data what JSON can say
 * @param {Saying} saying
 * @returns {Promise<{ missed: Peer[] }>} missed: those who do not get it
 * @throws {TurnpikeError} `too-long`, `not-in-room`, `rate-limited`
 */
export async function say(client, room, data, { to, topic, signal }) {
  const json = JSON.stringify(data);
  if (json === undefined || ArrayBuffer.isView(data) || data instanceof ArrayBuffer) throw new TypeError('The server takes only what JSON can say.');
  const most = client.limits?.dataBytes;
  if (most !== undefined && new TextEncoder().encode(json).length > most) {
    throw new TurnpikeError('too-long', `By way of the server, data may have ${most} bytes.`);
  }
  if (to?.length === 0) return { missed: [] };
  const bySession = new Map((to ?? [...room.peers.values()]).map((peer) => [peer.session, peer]));
  const answer = await client.request({ type: 'say', room: room.id, to: to?.map(({ session }) => session), topic: topic || undefined, data }, signal);
  const missed = /** @type {string[]} */ (answer.missed ?? []);
  return { missed: missed.flatMap((session) => bySession.get(session) ?? []) };
}

/**
 * @param {RoomClient} client
 * @param {Room} room
 * @param {Peer[]} to
 * @param {ChatMessage} message
 */
export function sayChat(client, room, to, { text, at }) {
  say(client, room, { text, at: at.toISOString() }, { to, topic: CHAT_TOPIC }).then(
    ({ missed }) => to.map((peer) => (missed.includes(peer) ? emit(peer, 'error', slow()) : emit(peer, 'delivered', { text, at }))),
    (error) => to.map((peer) => emit(peer, 'error', error)),
  );
}

/**
 * A peer has said something by way of the server.
 *
 * @param {Peer | undefined} peer
 * @param {{ topic?: string, data?: any }} message
 */
export function hear(peer, { topic = '', data }) {
  if (!peer) return;
  if (topic !== CHAT_TOPIC) return emit(peer, 'data', { data, topic });
  if (typeof data?.text === 'string') emit(peer, 'message', chatIn(data));
}
