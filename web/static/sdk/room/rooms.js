// @ts-check
import { insideOf as linkOf } from '../peer/peer.js';
import { Room, insideOf } from './room.js';
import { hear } from './saying.js';

/**
 * @import { RoomState, ServerMessage } from '../server/messages.js'
 * @import { RoomClient } from './room.js'
 */

/** The rooms that a client is in. */
export class Rooms {
  /** @type {Map<string, Room>} by id */
  all = new Map();
  #client;

  /** @param {RoomClient} client */
  constructor(client) {
    this.#client = client;
  }

  /** Everybody in them. */
  get peers() {
    return [...this.all.values()].flatMap((room) => [...room.peers.values()]);
  }

  /**
   * We are in a room.
   *
   * @param {RoomState} state
   * @returns {Room | undefined} the room if it is a new one
   */
  joined(state) {
    const known = this.all.get(state.room);
    const room = known ?? new Room(this.#client, state);
    this.all.set(room.id, room);
    insideOf(room).update(state);
    return known ? undefined : room;
  }

  /** Applies what concerns a room that we are in. @param {ServerMessage & { room: string }} message */
  receive(message) {
    const room = this.all.get(message.room);
    if (!room) return;
    const inside = insideOf(room);
    switch (message.type) {
      case 'peer-joined': return inside.roster.add(message.peer, { offers: false });
      case 'peer-left': return inside.roster.remove(message.session, message.reason);
      case 'peer-away': return inside.roster.away(message.session);
      case 'peer-back': return inside.roster.back(message.session, message.fresh ?? false);
      case 'data': return hear(inside.roster.of(message.from), message);
      case 'signal': return inside.receive(message);
      default: return inside.moderate(message);
    }
  }

  /** @param {RTCIceServer[]} iceServers */
  setIceServers(iceServers) {
    for (const peer of this.peers) linkOf(peer).setIceServers(iceServers);
  }

  /** Must be called again and again, to know who speaks. */
  listen() {
    for (const room of this.all.values()) insideOf(room).roster.listen();
  }

  /** The others recognize a returning peer by its user. As another user, we would be there twice. */
  forgetPeers() {
    for (const room of this.all.values()) insideOf(room).roster.clear('gone');
  }

  /**
   * We are out of a room.
   *
   * @param {string} id
   * @param {string} reason
   */
  left(id, reason) {
    const room = this.all.get(id);
    if (room) insideOf(room).end(reason);
  }

  /** @param {string} reason */
  end(reason) {
    for (const room of [...this.all.values()]) insideOf(room).end(reason);
  }
}
