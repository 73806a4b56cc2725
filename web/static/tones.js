// @ts-check
// What rings and knocks, which is loaded when somebody does.
import { audio, playing } from './sound.js';

/** Tones in hertz, seconds from the start of the sound, and seconds that they last. @typedef {[hertz: number, at: number, lasts: number]} Tone */

/** Two notes and a pause, as telephones ring. @type {Tone[]} */
const RING = [[587, 0, 0.35], [740, 0.18, 0.35], [587, 0.6, 0.35], [740, 0.78, 0.35]];
const RING_EVERY_S = 2.6;
/** A call rings no longer. */
const RING_FOR_S = 45;
/** Two low taps, as on a door. @type {Tone[]} */
const KNOCK = [[196, 0, 0.12], [165, 0.17, 0.16]];
const LOUDNESS = 0.16;

/** Rings until the returned function is called. */
export function ring() {
  // All is planned at once, since browsers slow the timers of a page in the background.
  const times = Math.floor(RING_FOR_S / RING_EVERY_S);
  return play(Array.from({ length: times }, (_, round) => RING.map(([hertz, at, lasts]) => /** @type {Tone} */ ([hertz, at + round * RING_EVERY_S, lasts]))).flat());
}

/** Sounds like two taps on a door. */
export function knock() {
  play(KNOCK);
}

/** @param {Tone[]} tones @returns {() => void} ends them */
function play(tones) {
  const audible = audio();
  if (!audible) return () => {};
  const volume = audible.createGain();
  volume.gain.value = LOUDNESS;
  volume.connect(audible.destination);
  const now = audible.currentTime + 0.02;
  const last = tones.map(([hertz, at, lasts]) => sound(audible, volume, hertz, now + at, lasts)).at(-1);
  let ended = false;
  playing.count++;
  const end = () => {
    if (ended) return;
    ended = true;
    volume.disconnect();
    if (--playing.count === 0) audible.suspend().catch(() => {}); // Audio that runs costs a phone's battery. The next sound resumes it.
  };
  if (last) last.onended = end;
  audible.resume().catch(() => {});
  return end;
}

/**
 * One tone that begins at once and fades, so that it does not click.
 *
 * @param {AudioContext} audible
 * @param {GainNode} volume
 * @param {number} hertz
 * @param {number} at
 * @param {number} lasts
 */
function sound(audible, volume, hertz, at, lasts) {
  const oscillator = audible.createOscillator();
  const fade = audible.createGain();
  oscillator.type = 'triangle';
  oscillator.frequency.value = hertz;
  fade.gain.setValueAtTime(0, at);
  fade.gain.linearRampToValueAtTime(1, at + 0.015);
  fade.gain.exponentialRampToValueAtTime(0.001, at + lasts);
  oscillator.connect(fade).connect(volume);
  oscillator.start(at);
  oscillator.stop(at + lasts);
  return oscillator;
}
