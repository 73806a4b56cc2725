// @ts-check

/**
 * What one side can share with the others, each from its own track.
 *
 * @typedef {'microphone' | 'camera' | 'screen' | 'screenAudio'} Source
 * @typedef {{ readonly [S in Source]: MediaStreamTrack | null }} Tracks
 * @typedef {{ readonly [S in Source]: boolean }} SourcesOn
 *
 * A track begins to be shared, null ends it, and what is left out stays as it is. Of a MediaStream the first audio track is
 * the microphone, and the first video track the camera.
 * @typedef {MediaStream | { [S in Source]?: MediaStreamTrack | null | undefined }} Share
 */

/** @type {readonly Source[]} in the order of the first offer */
export const SOURCES = ['microphone', 'camera', 'screen', 'screenAudio'];

/** @type {Tracks} */
export const NO_TRACKS = Object.freeze({ microphone: null, camera: null, screen: null, screenAudio: null });

/** @type {SourcesOn} */
export const ALL_OFF = Object.freeze({ microphone: false, camera: false, screen: false, screenAudio: false });

/** @param {Source} source */
export function kindOf(source) {
  return source === 'camera' || source === 'screen' ? 'video' : 'audio';
}

/** @param {Source} source @returns {boolean} whether each connection has a place for it from the start */
export function isBase(source) {
  return source === 'microphone' || source === 'camera';
}

/**
 * @param {Share} share
 * @returns {Partial<Tracks>} what it changes
 * @throws {TypeError} if it is anything else; nothing is changed then
 */
export function changesOf(share) {
  if (!share || typeof share !== 'object') throw new TypeError(`share takes a MediaStream or tracks by source, not ${String(share)}.`);
  if ('getTracks' in share) {
    const microphone = share.getTracks().find(({ kind }) => kind === 'audio');
    const camera = share.getTracks().find(({ kind }) => kind === 'video');
    return { ...(microphone && { microphone }), ...(camera && { camera }) };
  }
  /** @type {{ [S in Source]?: MediaStreamTrack | null }} */
  const changes = {};
  for (const [name, track] of Object.entries(share)) {
    const source = SOURCES.find((source) => source === name);
    if (!source) throw new TypeError(`'${name}' is nothing that can be shared; it must be one of ${SOURCES.join(', ')}.`);
    if (track === undefined) continue;
    if (track !== null && track?.kind !== kindOf(source)) {
      throw new TypeError(`${source} takes an ${kindOf(source)} track or null, not ${describe(track)}.`.replace('an video', 'a video'));
    }
    changes[source] = track;
  }
  return changes;
}

/** @param {any} value */
function describe(value) {
  if (value && typeof value.kind === 'string') return `one of kind '${value.kind}'`;
  return value && typeof value === 'object' ? 'an object that is no track' : String(value);
}

/** @param {MediaStreamTrack | null} track @returns {boolean} whether it carries something to see or hear at this moment */
export function isOn(track) {
  return !!track && track.enabled && !track.muted && track.readyState !== 'ended';
}
