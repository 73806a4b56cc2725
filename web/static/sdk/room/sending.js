// @ts-check
import { pack } from '../peer/data.js';
import { Peer, insideOf } from '../peer/peer.js';
import { say } from './saying.js';

/**
 * @import { SendOptions } from '../peer/peer.js'
 * @import { Room, RoomClient } from './room.js'
 *
 * @typedef {SendOptions & { to?: Peer | Peer[], via?: 'peer' | 'server' }} RoomSendOptions to: default all; via: default `peer`, which
 * falls back on the server for peers who take no part in WebRTC
 */

/**
 * Sends data to peers: directly, or by way of the server to those with whom there is no connection, or to all.
 *
 * @param {RoomClient} client
 * @param {Room} room
 * @param {unknown} data
 * @param {RoomSendOptions} options
 * @returns {Promise<{ missed: Peer[] }>} missed: those who do not get it
 */
export async function sendTo(client, room, data, { to, topic, reliable = true, via = 'peer', signal }) {
  const receivers = receiversOf(room, to);
  if (via === 'server') return say(client, room, data, { to: to && receivers, topic, signal });
  const [direct, others] = byConnection(receivers);
  const packed = pack(data, topic);
  const [said, sent] = await Promise.all([
    others.length > 0 ? say(client, room, data, { to: others, topic, signal }) : { missed: [] },
    Promise.all(direct.map((peer) => insideOf(peer).send(packed, { reliable, signal }))),
  ]);
  return { missed: [...said.missed, ...direct.filter((_, place) => !sent[place])] };
}

/**
 * @param {Room} room
 * @param {Peer | Peer[]} [to] default: all
 */
export function receiversOf(room, to = [...room.peers.values()]) {
  const receivers = [to].flat();
  for (const peer of receivers) {
    if (!(peer instanceof Peer)) throw new TypeError(`to is a peer, or several, not ${String(peer)}.`);
  }
  return receivers;
}

/**
 * @param {Peer[]} peers
 * @returns {[connected: Peer[], others: Peer[]]} others: we have no connection with them, since one of the two takes no part in WebRTC
 */
export function byConnection(peers) {
  return [peers.filter((peer) => insideOf(peer).hasConnection), peers.filter((peer) => !insideOf(peer).hasConnection)];
}
