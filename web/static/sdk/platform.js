// @ts-check
import { TurnpikeError } from './error.js';

/** @import { ClientOptions } from './options.js' */

/**
 * Without these nothing would work, and nothing would say why.
 *
 * @param {ClientOptions} options
 * @throws {TurnpikeError} `unsupported`
 */
export function checkPlatform(options) {
  if (!(options.WebSocket ?? globalThis.WebSocket)) {
    throw new TurnpikeError('unsupported', 'There is no WebSocket here.', { hint: 'Pass one: connect({ WebSocket }).' });
  }
  if (options.media !== false && !(options.rtc?.RTCPeerConnection ?? globalThis.RTCPeerConnection)) {
    throw new TurnpikeError('unsupported', 'There is no RTCPeerConnection here.', { hint: 'Pass one: connect({ rtc: { RTCPeerConnection, MediaStream } }), or media: false to do without.' });
  }
}
