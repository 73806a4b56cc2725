// @ts-check
import { TurnpikeError } from '../error.js';

/**
 * The messages of protocol `turnpike.v1` as types; signal/PROTOCOL.md says what they mean. Both sides ignore unknown
 * fields, and the client ignores unknown types.
 *
 * @typedef {{ user: string, name: string }} User
 * @typedef {{ session: string, user: string, name: string, away?: boolean, media?: false | object, transports?: string[] }} PeerInfo
 *
 * A client may add these to any message. `id` marks a request that the server must carry out once. `received` says how
 * far the client has read the server's messages.
 * @typedef {{ id?: string | undefined, received?: number | undefined }} Numbered
 *
 * An RTCSessionDescriptionInit. `id` names it, and `to` names the description that it follows: the receiver can tell when
 * it comes too late. The server forwards both unchanged.
 * @typedef {{ type: RTCSdpType, sdp: string, id?: string | undefined, to?: string | undefined }} Description
 *
 * @typedef {(
 *   | { description: Description }
 *   | { candidates: (RTCIceCandidateInit | null)[] }
 * )} Negotiated
 *
 * @typedef {{ session: string, token: string, received: number, fresh?: boolean | undefined }} Resume
 *
 * @typedef {{
 *   type: 'join', room?: string | undefined, create?: boolean | undefined, size?: number | undefined,
 *   waiting?: boolean | undefined, media?: boolean | undefined, transports?: string[] | undefined,
 * }} JoinMessage
 *
 * @typedef {(
 *   | { type: 'hello', ticket?: string | undefined, name?: string | undefined, resume?: Resume | undefined }
 *   | JoinMessage
 *   | { type: 'leave', room: string }
 *   | { type: 'signal', room: string, to: string } & Negotiated
 *   | { type: 'online', after?: User }
 *   | { type: 'refresh', ticket: string }
 *   | { type: 'rename', name: string }
 *   | { type: 'say', room: string, to?: string[] | undefined, topic?: string | undefined, data: unknown }
 *   | { type: 'call', to: string, data?: unknown }
 *   | { type: 'accept' | 'cancel' | 'hangup', call: string }
 *   | { type: 'decline', call: string, reason?: string | undefined }
 *   | { type: 'lock' | 'unlock', room: string }
 *   | { type: 'kick' | 'admit' | 'refuse', room: string, session: string }
 *   | { type: 'ack', received: number }
 *   | { type: 'ping' }
 *   | { type: 'bye' }
 * )} ClientMessage
 *
 * @typedef {{
 *   type: 'welcome', ref?: string, after?: number, session: string, user: string, name: string, role: string,
 *   resume?: string, resumeWindow?: number, epoch?: string,
 *   resumed?: 'replayed' | 'restored', handled?: string, rooms?: RoomState[],
 *   iceServers: RTCIceServer[], iceExpires: string, online?: User[], onlineMore?: boolean, limits?: Limits,
 *   expiresIn?: number,
 * }} Welcome
 * @typedef {{
 *   type: 'refreshed', ref?: string, name: string, role: string, expiresIn?: number, online?: User[], onlineMore?: boolean,
 * }} Refreshed
 *
 * What a session may do. A rate allows `burst` at once, and `perMinute` after that.
 * @typedef {{ burst: number, perMinute: number }} Rate
 * @typedef {{
 *   messageBytes: number, messages: Rate, userMessages: Rate, joins: Rate, userJoins: Rate, sessions: number,
 *   rooms: number, roomSize: number, waiting: number, unacknowledgedMessages: number, unacknowledgedBytes: number,
 *   dataBytes?: number, callDataBytes?: number,
 * }} Limits
 *
 * @typedef {{
 *   type: 'error', ref?: string, code: string, message: string, field?: string, retryAfter?: number, away?: boolean,
 *   limit?: 'sessions' | 'rooms',
 * }} ErrorMessage
 * @typedef {{
 *   room: string, size: number, host?: string, locked?: boolean, waiting?: boolean, peers: PeerInfo[], knocks?: PeerInfo[],
 * }} RoomState
 * @typedef {{ type: 'joined', ref?: string } & RoomState} Joined
 * @typedef {{
 *   type: 'signal', room: string, from: string,
 *   description?: Description, candidate?: RTCIceCandidateInit | null, candidates?: (RTCIceCandidateInit | null)[],
 * }} Signal
 *
 * @typedef {{ seq?: number } & (
 *   | Welcome
 *   | ErrorMessage
 *   | Joined
 *   | { type: 'left', ref?: string, room: string, reason: string }
 *   | { type: 'peer-joined', room: string, peer: PeerInfo }
 *   | { type: 'peer-left', room: string, session: string, reason: string }
 *   | { type: 'peer-away', room: string, session: string }
 *   | { type: 'peer-back', room: string, session: string, fresh?: boolean }
 *   | Signal
 *   | { type: 'online', ref?: string, users: User[], more?: boolean }
 *   | { type: 'offline', users: User[] }
 *   | Refreshed
 *   | { type: 'renamed', ref?: string, name: string }
 *   | { type: 'peer-renamed', room: string, session: string, name: string }
 *   | { type: 'said', ref?: string, room: string, missed?: string[] }
 *   | { type: 'data', room: string, from: string, topic?: string, data: unknown }
 *   | { type: 'call', call: string, from: User, data?: unknown }
 *   | { type: 'ringing', ref?: string, call: string, to: User, data?: unknown }
 *   | { type: 'accept', ref?: string, call: string, room: string }
 *   | { type: 'decline' | 'cancel', ref?: string, call: string, reason?: string }
 *   | { type: 'hangup', ref?: string, call: string, room?: string }
 *   | { type: 'ice-servers', iceServers: RTCIceServer[], iceExpires: string }
 *   | { type: 'resume', token: string }
 *   | { type: 'ack' | 'pong', ref: string }
 *   | { type: 'going-away', retryAfter: number }
 *   | { type: 'host', room: string, session: string }
 *   | { type: 'locked' | 'unlocked', ref?: string, room: string, by: string }
 *   | { type: 'kicked' | 'admitted' | 'refused', ref?: string, room: string, session: string }
 *   | { type: 'waiting', ref?: string, room: string }
 *   | { type: 'knock', room: string, peer: PeerInfo }
 *   | { type: 'knock-over', room: string, session: string }
 * )} ServerMessage
 */

/** The WebSocket subprotocol. */
export const SUBPROTOCOL = 'turnpike.v1';

/** @param {ErrorMessage} message */
export function errorFrom({ code, message, ...details }) {
  return new TurnpikeError(code, message, details);
}
