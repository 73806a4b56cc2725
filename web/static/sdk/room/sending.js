// @ts-check
import { pack } from '../peer/data.js';
import { Peer, insideOf } from '../peer/peer.js';

/**
 * @import { SendOptions } from '../peer/peer.js'
 *
 * @typedef {SendOptions & { to?: Peer | Peer[] }} RoomSendOptions to: default all
 */

/**
 * Sends data to peers.
 *
 * @param {ReadonlyMap<string, Peer>} peers who are in the room
 * @param {unknown} data
 * @param {RoomSendOptions} options
 * @returns {Promise<{ missed: Peer[] }>} missed: those who do not get it
 */
export async function sendTo(peers, data, { to, topic, reliable = true, signal }) {
  const packed = pack(data, topic);
  const receivers = to === undefined ? [...peers.values()] : [to].flat();
  for (const peer of receivers) {
    if (!(peer instanceof Peer)) throw new TypeError(`to is a peer, or a list of peers, not ${String(peer)}.`);
  }
  const results = await Promise.all(receivers.map((peer) => insideOf(peer).send(packed, { reliable, signal })));
  return { missed: receivers.filter((_, place) => !results[place]) };
}
