// @ts-check

/**
 * What a Client tells and takes, as types.
 *
 * @import { TurnpikeError } from './error.js'
 * @import { Call } from './room/call.js'
 * @import { Room } from './room/room.js'
 * @import { User } from './server/messages.js'
 * @import { PresenceChange } from './server/presence.js'
 * @import { Retry } from './server/signaling.js'
 *
 * @typedef {object} JoinOptions
 * @property {boolean} [create] make the room if there is none of this id
 * @property {number} [size] 2 to 16 people; for creating
 * @property {boolean} [waitingRoom] later people must wait until the host lets them in; for creating
 * @property {() => void} [onWaiting] called when we must wait to be let in
 * @property {() => void} [onFull] called when the room is full with somebody who has lost the connection. We try again until they
 * are back or their time is over
 * @property {AbortSignal} [signal] gives up, also while we wait to be let in
 *
 * @typedef {'connecting' | 'online' | 'reconnecting' | 'closed'} ClientStatus `connecting` until the first welcome
 *
 * Of one moment. `online` has those who are online, as far as the server has listed them.
 * @typedef {Readonly<{
 *   status: ClientStatus, session: string, user: string, name: string, role: string, rooms: readonly Room[], calls: readonly Call[],
 *   online: readonly User[], hasMoreOnline: boolean,
 * }>} ClientSnapshot
 *
 * @typedef {object} ClientEvents
 * @property {{ how: 'first' | 'replayed' | 'restored' | 'anew' }} online signed in. first: for the first time; replayed: back, and nothing
 * is lost; restored: back, and the server has restarted; anew: another session had to begin, which enters our rooms again, and
 * calls that rang are over
 * @property {{ cause: TurnpikeError }} reconnecting the connection is lost, once for each outage. The session may come back,
 * requests wait for it, and media between peers goes on
 * @property {{ error: TurnpikeError }} barred we cannot sign in again, for example because the invite has expired. Media that goes on
 * between peers goes on, and we try again now and then; `closed` follows when nobody is connected any more
 * @property {Retry} retry an attempt to connect has failed, and the next one follows in `inMs`
 * @property {PresenceChange} presence other people came or went, or have another name; guests see nobody
 * @property {{ call: Call }} call an incoming one
 * @property {{ room: Room, how: 'join' | 'call' | 'reload' }} room we are in it: by `join`, by a call, or since before a reload
 * @property {{ name: string }} renamed we have another name, by `rename`, also in another tab
 * @property {{ iceServers: RTCIceServer[] }} ice-servers the server has sent new credentials; `client.iceServers` has them
 * @property {{ retryAfter: number }} going-away the server is about to stop
 * @property {{ seconds: number }} expiring the session ends in so long unless `refresh` gets a new ticket; only without `getTicket`
 * @property {TurnpikeError} error the server's error for a message without an answer
 * @property {{ error?: unknown }} closed for good. `error` says why; it is missing after `close`
 */

export {};
