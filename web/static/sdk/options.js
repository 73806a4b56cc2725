// @ts-check

/**
 * @import { Client } from './client.js'
 * @import { Peer } from './peer/peer.js'
 *
 * The options of a Client. They are types only: apps write them, and each layer of the SDK reads its own.
 *
 * @typedef {object} ClientOptions
 * @property {string | URL} [url] the server; default: the server that this file came from
 * @property {string} [ticket] admits us; once it has expired, no new session can begin
 * @property {(request: TicketRequest) => Promise<string | { ticket: string }>} [getTicket] called for every new session, and
 * before a session ends that may not become older
 * @property {string} [name] a guest's own choice; default: the ticket's
 * @property {(taken: string) => string | undefined} [onNameTaken] returns another name to try; undefined gives up
 * @property {(client: Client) => void} [setup] called before the first event, to add listeners
 * @property {TabStorage | null} [storage] by which a reload returns to the session; default: sessionStorage in a browser, for the
 * first client of a page. With null, or without one, the session ends with its page
 * @property {EventTarget} [events] fires `online`, `visibilitychange`, `pagehide` and `pageshow`; default: the page's window
 * @property {AbortSignal} [signal] closes the client, whenever it aborts
 * @property {number} [timeout] seconds to wait for the first welcome, after which `connect` rejects with `timeout`; default: 30
 * @property {boolean} [media] false: takes no part in WebRTC, such as a bot or a test in Node.js. It joins, reads and says by way of
 * the server; the others make it no offers
 * @property {typeof WebSocket} [WebSocket] default: the platform's
 * @property {RTCOptions} [rtc]
 *
 * @typedef {object} RTCOptions
 * @property {RTCIceTransportPolicy} [iceTransportPolicy] `relay` hides addresses from the peers, and tries out relays
 * @property {typeof RTCPeerConnection} [RTCPeerConnection] default: the platform's
 * @property {typeof MediaStream} [MediaStream] default: the platform's; where there is none, peers have data but no media
 * @property {(connection: RTCPeerConnection, peer: Peer) => void} [onConnection] called with each connection that is made, before
 * anything is done with it: for codecs, statistics and the like
 *
 * Such as sessionStorage. It must belong to this tab and this Client alone.
 * @typedef {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} TabStorage
 *
 * @typedef {object} TicketRequest
 * @property {string | undefined} name that the ticket should be for
 * @property {string | URL | undefined} url of the server, as in the options
 * @property {boolean} fresh a stored ticket will not do: the server has refused the last one, or the session needs a new one
 * @property {AbortSignal} signal
 */

export {};
