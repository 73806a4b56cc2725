// @ts-check
import { ALL_OFF, NO_TRACKS, SOURCES, isBase, kindOf } from './sources.js';

/**
 * @import { Source, SourcesOn, Tracks } from './sources.js'
 *
 * What the peer has said about its tracks: {type: 'media'}. Without `mids` it comes from a client that knows no more than
 * a microphone and a camera.
 * @typedef {{ on: SourcesOn, mids: { [S in Source]?: string } | undefined }} Announced
 */

/** @param {any} message of type 'media'; its fields may be anything, since they come from the peer @returns {Announced} */
export function announcedIn({ audio, video, sources }) {
  if (!sources || typeof sources !== 'object') {
    return { on: Object.freeze({ ...ALL_OFF, microphone: audio === true, camera: video === true }), mids: undefined };
  }
  /** @type {{ [S in Source]?: string }} */
  const mids = {};
  const on = { ...ALL_OFF };
  for (const source of SOURCES) {
    if (!Object.hasOwn(sources, source) || typeof sources[source] !== 'string') continue;
    mids[source] = sources[source];
    on[source] = true;
  }
  return { on: Object.freeze(on), mids };
}

/**
 * The peer's track of each source, on or off. The first audio and video sections of a connection are the microphone's and the
 * camera's; which section carries a screen, the peer says.
 *
 * @param {RTCPeerConnection} connection
 * @param {Announced | undefined} announced on this connection
 * @returns {Tracks}
 */
export function receivedOn(connection, announced) {
  /** @type {{ -readonly [S in keyof Tracks]: Tracks[S] }} */
  const tracks = { ...NO_TRACKS };
  const receiving = connection.getTransceivers().filter(({ mid, direction }) => mid !== null && direction !== 'sendonly' && direction !== 'stopped');
  const mids = announced?.mids ?? {};
  for (const source of SOURCES) {
    const fits = receiving.filter(({ receiver }) => receiver.track.kind === kindOf(source));
    const named = fits.find(({ mid }) => mid === mids[source]);
    tracks[source] = (named ?? (isBase(source) ? fits[0] : undefined))?.receiver.track ?? null;
  }
  return tracks;
}

/**
 * @param {Announced | undefined} announced at any time; undefined from a client that says nothing: its tracks speak for it
 * @param {Tracks} tracks
 * @returns {SourcesOn}
 */
export function sourcesOn(announced, tracks) {
  return announced?.on ?? Object.freeze({ ...ALL_OFF, microphone: isHeard(tracks.microphone), camera: isHeard(tracks.camera) });
}

/** @param {MediaStreamTrack | null} track of a receiver: it is muted as long as nothing comes in */
function isHeard(track) {
  return !!track && !track.muted;
}

/**
 * Has a stream consist of these tracks.
 *
 * @param {MediaStream} stream
 * @param {(MediaStreamTrack | null)[]} tracks
 * @returns {MediaStreamTrack[]} those that are new in it
 */
export function fillStream(stream, tracks) {
  const present = stream.getTracks();
  for (const track of present) if (!tracks.includes(track)) stream.removeTrack(track);
  const added = tracks.filter((track) => track !== null).filter((track) => !present.includes(track));
  for (const track of added) stream.addTrack(track);
  return added;
}
