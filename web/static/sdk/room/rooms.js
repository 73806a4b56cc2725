// @ts-check
import { insideOf } from '../peer/peer.js';
import { Room } from './room.js';
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
    room.update(state);
    return known ? undefined : room;
  }

  /** Applies what concerns a room that we are in. @param {ServerMessage & { room: string }} message */
  receive(message) {
    const room = this.all.get(message.room);
    switch (message.type) {
      case 'peer-joined': return room?.roster.add(message.peer, { offers: false });
      case 'peer-left': return room?.roster.remove(message.session, message.reason);
      case 'peer-away': return room?.roster.away(message.session);
      case 'peer-back': return room?.roster.back(message.session, message.fresh ?? false);
      case 'data': return room && hear(room, message);
      case 'signal': return room?.receive(message);
      default: return room?.moderate(message);
    }
  }

  /** @param {RTCIceServer[]} iceServers */
  setIceServers(iceServers) {
    for (const peer of this.peers) insideOf(peer).setIceServers(iceServers);
  }

  /** The others recognize a returning peer by its user. As another user, we would be there twice. */
  forgetPeers() {
    for (const room of this.all.values()) room.roster.clear('gone');
  }

  /** @param {string} reason */
  end(reason) {
    for (const room of [...this.all.values()]) room.end(reason);
  }
}
