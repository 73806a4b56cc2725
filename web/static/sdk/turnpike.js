// @ts-check

/**
 * The turnpike SDK: signaling and WebRTC connections between peers, with no DOM. Other apps import it from a server
 * that lists their origin in `http.allowed_origins`:
 *
 *     import { connect, getTicket } from 'https://turn.example.org/sdk/turnpike.js';
 *
 *     const client = await connect({ getTicket });
 *     const room = await client.join('standup', { create: true });
 *     room.eachPeer((peer, gone) => { video.srcObject = peer.stream; });
 *     room.on('message', ({ peer, text }) => console.log(peer.name, text));
 *     await room.share({ microphone: track, camera: anotherTrack });
 *
 * A Client has Rooms and Calls, a Room has Peers; all of them have events.
 *
 * The folders are layers, from the bottom to the top. client.js joins them.
 *
 *     server/      the session with the server, over as many WebSockets as it takes
 *     peer/        one peer: its WebRTC connection, its path, its chat
 *     room/        rooms with their peers and waiting rooms, and calls, which lead to rooms
 *     recovery/    what comes back by itself after an interruption, a restart of the server or a reload of the page
 */

import { Client } from './client.js';
import { hold, releaseSoon } from './emitter.js';

export { Call } from './room/call.js';
export { Devices } from './devices.js';
export { PeerChannel } from './peer/channel.js';
export { MAX_TEXT } from './peer/chat.js';
export { MAX_DATA } from './peer/data.js';
export { TurnpikeError, codeOf } from './error.js';
export { Peer } from './peer/peer.js';
export { Room } from './room/room.js';
export { getTicket } from './server/tickets.js';
export { Client };

/**
 * Signs in, and resolves with the client once the server has welcomed it. A server that cannot be reached is tried
 * again for as long as it takes; pass a `signal` to limit the wait.
 *
 * What happens before this resolves is told to listeners that are added right after it, or in `options.setup`.
 *
 * @param {import('./options.js').ClientOptions} options
 * @returns {Promise<Client>}
 * @throws {import('./error.js').TurnpikeError} an error that waiting will not heal, such as `unauthorized` or `name-taken`
 */
export async function connect(options) {
  const client = new Client(options);
  try {
    if (options.setup) options.setup(client);
    else hold(client);
    await client.open();
  } catch (error) {
    client.close(); // The app's setup may have failed.
    throw error;
  } finally {
    releaseSoon(client);
  }
  return client;
}
