// @ts-check

/**
 * The messages of protocol `turnpike.v1` as types; signal/PROTOCOL.md says what they mean. Unknown fields are ignored
 * everywhere, and so are unknown types that the server sends.
 *
 * @typedef {{ user: string, name: string }} User
 * @typedef {{ session: string, user: string, name: string }} PeerInfo
 *
 * @typedef {{
 *   type: 'join', room?: string | undefined, create?: boolean | undefined, size?: number | undefined,
 *   waiting?: boolean | undefined,
 * }} JoinMessage
 *
 * @typedef {(
 *   | { type: 'hello', ticket: string, name?: string | undefined }
 *   | JoinMessage
 *   | { type: 'leave', room: string }
 *   | { type: 'signal', room: string, to: string, description: RTCSessionDescriptionInit }
 *   | { type: 'signal', room: string, to: string, candidate: RTCIceCandidateInit | null }
 *   | { type: 'call', to: string }
 *   | { type: 'accept' | 'decline' | 'cancel' | 'hangup', call: string }
 *   | { type: 'lock' | 'unlock', room: string }
 *   | { type: 'kick' | 'admit' | 'refuse', room: string, session: string }
 *   | { type: 'ack', received: number }
 *   | { type: 'bye' }
 * )} ClientMessage
 *
 * @typedef {{
 *   type: 'welcome', ref?: string, session: string, user: string, name: string, role: string, resume?: string,
 *   iceServers: RTCIceServer[], iceExpires: string, online?: User[],
 * }} Welcome
 * @typedef {{
 *   type: 'error', ref?: string, code: string, message: string, field?: string, retryAfter?: number,
 * }} ErrorMessage
 * @typedef {{
 *   type: 'joined', ref?: string, room: string, size: number, host?: string, locked?: boolean, waiting?: boolean,
 *   peers: PeerInfo[], knocks?: PeerInfo[],
 * }} Joined
 * @typedef {{
 *   type: 'signal', room: string, from: string,
 *   description?: RTCSessionDescriptionInit, candidate?: RTCIceCandidateInit | null, candidates?: (RTCIceCandidateInit | null)[],
 * }} Signal
 *
 * @typedef {(
 *   | Welcome
 *   | ErrorMessage
 *   | Joined
 *   | { type: 'left', ref?: string, room: string, reason: string }
 *   | { type: 'peer-joined', room: string, peer: PeerInfo }
 *   | { type: 'peer-left', room: string, session: string, reason: string }
 *   | Signal
 *   | { type: 'online' | 'offline', users: User[] }
 *   | { type: 'call', call: string, from: User }
 *   | { type: 'ringing', ref?: string, call: string, to: User }
 *   | { type: 'accept', ref?: string, call: string, room: string }
 *   | { type: 'decline' | 'cancel', ref?: string, call: string, reason?: string }
 *   | { type: 'hangup', ref?: string, call: string, room?: string }
 *   | { type: 'ice-servers', iceServers: RTCIceServer[], iceExpires: string }
 *   | { type: 'going-away', retryAfter: number }
 *   | { type: 'ack' | 'pong', ref?: string }
 *   | { type: 'resume', token: string }
 *   | { type: 'peer-away', room: string, session: string }
 *   | { type: 'peer-back', room: string, session: string, fresh?: boolean }
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
