// @ts-check
import { which } from '../../choices.js';

/**
 * @import { DeviceChoices } from '../../choices.js'
 *
 * @typedef {{ id: string, label: string }} Speaker
 */

/** Whether a page may choose where sound comes out. */
export const canChoose = typeof globalThis.HTMLMediaElement === 'function' && 'setSinkId' in HTMLMediaElement.prototype;

const BY_OTHERS = ':is(tp-tile:not([data-local]), tp-screen) video';
/** Two notes, a fifth apart. @type {[hertz: number, at: number][]} */
const NOTES = [[440, 0], [660, 0.22]];
const NOTE_S = 0.4;
const LOUDNESS = 0.2;

/** @returns {Promise<Speaker[]>} browsers tell them once the microphone is allowed */
export async function listSpeakers() {
  const all = canChoose ? await navigator.mediaDevices?.enumerateDevices() : [];
  return (all ?? []).filter(({ kind, deviceId }) => kind === 'audiooutput' && deviceId).map(({ deviceId: id, label }) => ({ id, label }));
}

/** Has everybody's sound come out where the user wants it: also that of people who come later, and also after it was unplugged and is back. */
export class Speakers {
  #root;
  #choices;
  /** The id of what sounds at the moment; '' is the system's own choice. */
  #used = '';

  /**
   * @param {HTMLElement} root of the people
   * @param {DeviceChoices} choices
   * @param {AbortSignal} signal aborts when nobody is there any more
   */
  constructor(root, choices, signal) {
    this.#root = root;
    this.#choices = choices;
    const observer = new MutationObserver(() => this.#apply());
    observer.observe(root, { childList: true, subtree: true });
    signal.addEventListener('abort', () => observer.disconnect());
    navigator.mediaDevices?.addEventListener('devicechange', () => this.choose(), { signal });
    this.choose();
  }

  /** Uses what the user has chosen, if it is there. */
  async choose() {
    this.#used = which(this.#choices.speaker, await listSpeakers())?.id ?? '';
    this.#apply();
  }

  #apply() {
    for (const video of this.#root.querySelectorAll(BY_OTHERS)) {
      if (video instanceof HTMLMediaElement && video.sinkId !== this.#used) video.setSinkId(this.#used).catch(() => {});
    }
  }
}

/**
 * Plays two notes there.
 *
 * @param {string} id of a speaker
 */
export async function playNotes(id) {
  const context = new AudioContext();
  const way = context.createMediaStreamDestination();
  const ends = NOTES.map(([hertz, at]) => new Promise((resolve) => {
    const note = context.createOscillator();
    const volume = context.createGain();
    note.frequency.value = hertz;
    volume.gain.setValueAtTime(LOUDNESS, context.currentTime + at);
    volume.gain.exponentialRampToValueAtTime(0.001, context.currentTime + at + NOTE_S);
    note.connect(volume).connect(way);
    note.start(context.currentTime + at);
    note.stop(context.currentTime + at + NOTE_S);
    note.addEventListener('ended', resolve);
  }));
  const sound = new Audio();
  sound.srcObject = way.stream;
  try {
    await sound.setSinkId?.(id);
    await sound.play();
    await Promise.all(ends);
  } finally {
    sound.srcObject = null;
    context.close().catch(() => {});
  }
}
