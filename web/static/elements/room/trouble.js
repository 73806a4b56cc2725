// @ts-check
import { giveFocus } from '../../dom.js';
import { asIs, say } from '../../words/room.js';

/**
 * @import { Device, ProblemCode } from '../../sdk/devices.js'
 * @import { Devices } from '../../sdk/turnpike.js'
 *
 * @typedef {ProblemCode | 'lost' | 'muted'} TroubleCode lost: it was unplugged, and there is no other; muted: the system has silenced it
 */

/** @type {readonly Device[]} */
const DEVICES = ['camera', 'microphone'];
/** What nobody mends by trying once more. @type {TroubleCode[]} */
const LASTING = ['insecure', 'muted'];

/** Says above the controls, or in the lobby, what is wrong with our camera and microphone, and what to do. */
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
      if (replaced && isDevice(source)) this.append(line(say('trouble.replaced', { devices: asIs(say(`trouble.${source}`)) }), say('trouble.replaced-what')));
    });
    devices.on('tracks', (tracks) => {
      for (const device of DEVICES) {
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
  if (isHere) giveFocus(strip?.querySelector('button') ?? findNext());
}

/** What comes after the strip: the button that joins, or the controls. */
function findNext() {
  return document.querySelector('[data-testid=lobby-join]') ?? document.querySelector('tp-controls button');
}

/** @param {string} source @returns {source is Device} */
function isDevice(source) {
  return DEVICES.some((device) => device === source);
}

/**
 * @param {Devices} devices
 * @param {TroubleCode} code
 * @param {Device[]} which have it
 * @param {() => void} dismissed
 */
function trouble(devices, code, which, dismissed) {
  const names = namesOf(which);
  // If another one does not open, the former one goes on.
  const lacking = namesOf(which.filter((device) => code === 'muted' || !devices.tracks[device]));
  const open = async () => {
    for (const device of which) await devices.open(device);
  };
  const devicesSaid = asIs(say(`trouble.${names}`));
  const title = [say(`trouble.${code}`, { devices: devicesSaid }), lacking && say(`trouble.lack-${lacking}`)].join(' ').trim();
  return line(title, say(`trouble.${code}-what`), { again: LASTING.includes(code) ? undefined : open, dismissed });
}

/** @param {Device[]} devices @returns {Device | 'both' | undefined} */
function namesOf(devices) {
  return devices.length === 2 ? 'both' : devices[0];
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
  if (again) line.append(button(say('page.again'), 'trouble-again', again));
  line.append(button(say('page.dismiss'), 'trouble-dismiss', () => {
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
