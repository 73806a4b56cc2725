// @ts-check
import { fill } from '../../dom.js';

const EVERY_MS = 80;
const BARS = 6;
/** The first bar shows a level of so many decibels below the loudest, and the last one so many. */
const [QUIETEST_DB, LOUDEST_DB] = [-55, -12];
const SAMPLES = 1024;

/** Shows how loud our microphone is. Nothing is shown where the browser does not measure it before the user touches the page. */
export class LevelMeter extends HTMLElement {
  /** @type {AudioContext | undefined} */
  #context;
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {AbortController | undefined} ends the measurement of a track */
  #measuring;

  connectedCallback() {
    fill(this, 'level');
    this.setAttribute('role', 'meter');
    this.setAttribute('aria-valuemin', '0');
    this.setAttribute('aria-valuemax', String(BARS));
    this.#show(0);
  }

  disconnectedCallback() {
    this.watch(null);
    this.#context?.close().catch(() => {});
    this.#context = undefined;
  }

  /** @param {MediaStreamTrack | null} track null: there is none */
  watch(track) {
    if (track === this.#track) return;
    this.#track = track;
    this.#measuring?.abort();
    this.#show(0);
    if (!track || !globalThis.AudioContext) return;
    const measuring = new AbortController();
    this.#measuring = measuring;
    const context = (this.#context ??= new AudioContext());
    wake(context, measuring.signal);
    const source = context.createMediaStreamSource(new MediaStream([track]));
    const analyser = context.createAnalyser();
    analyser.fftSize = SAMPLES;
    source.connect(analyser);
    const samples = new Float32Array(SAMPLES);
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      this.#show(barsOf(samples));
    }, EVERY_MS);
    measuring.signal.addEventListener('abort', () => {
      clearInterval(timer);
      source.disconnect();
    });
  }

  /** @param {number} bars */
  #show(bars) {
    if (this.dataset.level === String(bars)) return;
    this.dataset.level = String(bars);
    this.setAttribute('aria-valuenow', String(bars));
  }
}

/**
 * Some browsers let a page listen only once its user has touched it.
 *
 * @param {AudioContext} context
 * @param {AbortSignal} signal
 */
function wake(context, signal) {
  const resume = () => context.state === 'suspended' && context.resume().catch(() => {});
  resume();
  for (const name of ['pointerup', 'keydown']) addEventListener(name, resume, { signal });
}

/** @param {Float32Array} samples of a moment, from -1 to 1 */
function barsOf(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const decibels = 10 * Math.log10(power + 1e-10);
  return Math.round(Math.max(0, Math.min(1, (decibels - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB))) * BARS);
}

customElements.define('tp-level', LevelMeter);
