// @ts-check

/**
 * @import { ServerMessage } from './messages.js'
 * @import { Room } from './room.js'
 */

/**
 * What the server says of a room's host, lock and waiting room, told to the room.
 *
 * @param {Room | undefined} room
 * @param {ServerMessage} message
 */
export function moderate(room, message) {
  switch (message.type) {
    case 'host': return room?.setHost(message.session);
    case 'locked':
    case 'unlocked': return room?.setLocked(message.type === 'locked', message.by);
    case 'knock': return room?.addKnock(message.peer);
    case 'knock-over': return room?.removeKnock(message.session, 'over');
    case 'admitted':
    case 'refused': return room?.removeKnock(message.session, message.type);
  }
}
