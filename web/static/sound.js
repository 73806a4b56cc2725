// @ts-check

/** @type {AudioContext | undefined} */
let context;
/** How many sounds play. */
export const playing = { count: 0 };

/**
 * Browsers let a page sound only once its user has touched it. Some want the audio to begin right then, so it begins and
 * rests until it is needed.
 */
export function prepareSound() {
  const ended = new AbortController();
  const prepare = () => {
    ended.abort();
    if (playing.count === 0) audio()?.suspend().catch(() => {});
  };
  for (const name of ['pointerup', 'keydown']) addEventListener(name, prepare, { signal: ended.signal });
}

/** What plays sounds, if this browser has it. */
export function audio() {
  try {
    return (context ??= new AudioContext());
  } catch {
    return undefined; // No sound device, or too many pages that sound.
  }
}
