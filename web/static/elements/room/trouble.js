// @ts-check
import { giveFocus } from '../../dom.js';

/**
 * @import { Device, ProblemCode } from '../../sdk/devices.js'
 * @import { Devices } from '../../sdk/turnpike.js'
 *
 * @typedef {ProblemCode | 'lost' | 'muted'} TroubleCode lost: it was unplugged, and there is no other; muted: the system has silenced it
 */

/** @type {Record<Device, { name: string, lack: string }>} lack: what the others cannot do */
const DEVICES = { camera: { name: 'Camera', lack: 'see' }, microphone: { name: 'Microphone', lack: 'hear' } };

/** @type {Record<TroubleCode, { state: string, text: string, again: boolean }>} */
const WORDS = {
  refused: { state: 'blocked by the browser', text: 'Press the sign beside the address of this page, allow it, and try again.', again: true },
  missing: { state: 'not found', text: 'Plug one in or turn it on, and try again.', again: true },
  busy: { state: 'does not start', text: 'Close other programs that use it, and try again.', again: true },
  insecure: { state: 'not allowed without https', text: 'Browsers open it only for pages whose address begins with https.', again: false },
  cancelled: { state: 'not chosen', text: '', again: true },
  lost: { state: 'unplugged', text: 'Plug it in again, or another one, and try again.', again: true },
  muted: { state: 'silenced by your device', text: 'A telephone call or a switch does that. It goes on by itself.', again: false },
};

/** Says above the controls what is wrong with our camera and microphone, and what to do. */
export class TroubleStrip extends HTMLElement {
  /** @type {Map<Device, TroubleCode>} */
  #troubles = new Map();

  /** @param {Devices} devices */
  watch(devices) {
    this.setAttribute('role', 'status');
    this.dataset.testid = 'trouble';
    devices.on('problem', ({ source, code }) => this.#set(devices, source, code));
    devices.on('muted', ({ source, muted }) => this.#set(devices, source, muted ? 'muted' : undefined));
    devices.on('lost', ({ source, replaced }) => {
      this.#set(devices, source, replaced ? undefined : 'lost');
      if (replaced && isDevice(source)) this.append(line(`${DEVICES[source].name}: unplugged.`, 'Another one is used now.'));
    });
    devices.on('tracks', (tracks) => {
      for (const device of /** @type {Device[]} */ (Object.keys(DEVICES))) {
        const track = tracks[device];
        // What the user has turned off, nobody else silences.
        if (track ? !track.muted : this.#troubles.get(device) === 'muted') this.#set(devices, device, undefined);
      }
    });
  }

  /**
   * @param {Devices} devices
   * @param {string} source
   * @param {TroubleCode | undefined} code undefined: all is well
   */
  #set(devices, source, code) {
    if (!isDevice(source) || (code === undefined && !this.#troubles.has(source))) return;
    if (code) this.#troubles.set(source, code);
    else this.#troubles.delete(source);
    without(this, () => this.replaceChildren(...this.#lines(devices)));
  }

  /** @param {Devices} devices */
  #lines(devices) {
    const { camera, microphone } = Object.fromEntries(this.#troubles);
    if (camera && camera === microphone) return [this.#trouble(devices, camera, ['camera', 'microphone'])];
    return [...this.#troubles].map(([device, code]) => this.#trouble(devices, code, [device]));
  }

  /**
   * @param {Devices} devices
   * @param {TroubleCode} code
   * @param {Device[]} which have it
   */
  #trouble(devices, code, which) {
    // What was dismissed does not come back with the next trouble.
    return trouble(devices, code, which, () => which.forEach((device) => this.#troubles.delete(device)));
  }
}

/**
 * Takes lines away. If the focus was in the strip, it goes to the next line, or to the controls below.
 *
 * @param {Element | null} strip
 * @param {() => void} take
 */
function without(strip, take) {
  const isHere = strip?.contains(document.activeElement);
  take();
  if (isHere) giveFocus(strip?.querySelector('button') ?? document.querySelector('tp-controls button'));
}

/** @param {string} source @returns {source is Device} */
function isDevice(source) {
  return source in DEVICES;
}

/**
 * @param {Devices} devices
 * @param {TroubleCode} code
 * @param {Device[]} which have it
 * @param {() => void} dismissed
 */
function trouble(devices, code, which, dismissed) {
  const { state, text, again } = WORDS[code];
  const names = which.map((device, place) => (place === 0 ? DEVICES[device].name : DEVICES[device].name.toLowerCase())).join(' and ');
  const lack = which.map((device) => DEVICES[device].lack).join(' or ');
  const open = async () => {
    for (const device of which) await devices.open(device);
  };
  return line(`${names}: ${state}. The others cannot ${lack} you.`, text, { again: again ? open : undefined, dismissed });
}

/**
 * @param {string} title
 * @param {string} text what to do
 * @param {{ again?: () => unknown, dismissed?: () => void }} [actions]
 */
function line(title, text, { again, dismissed } = {}) {
  const line = document.createElement('div');
  const strong = document.createElement('strong');
  strong.textContent = title;
  const paragraph = document.createElement('p');
  paragraph.append(strong, ` ${text}`);
  line.append(paragraph);
  if (again) line.append(button('Try again', 'trouble-again', again));
  line.append(button('Dismiss', 'trouble-dismiss', () => {
    without(line.parentElement, () => line.remove());
    dismissed?.();
  }));
  return line;
}

/**
 * @param {string} label
 * @param {string} testid
 * @param {() => unknown} act
 */
function button(label, testid, act) {
  const button = document.createElement('button');
  button.textContent = label;
  button.className = testid === 'trouble-again' ? '' : 'quiet';
  button.dataset.testid = testid;
  button.addEventListener('click', () => act());
  return button;
}

customElements.define('tp-trouble', TroubleStrip);
