// @ts-check
import { find } from '../../dom.js';
import { say } from '../../words/room.js';

/**
 * @import { DeviceChoices } from '../../choices.js'
 * @import { Device, DeviceInfo } from '../../sdk/devices.js'
 * @import { Devices } from '../../sdk/turnpike.js'
 */

/** Which camera and which microphone: a list of each, in the lobby and in the settings. */
export class DeviceSelects extends HTMLElement {
  /** @type {Record<Device, DeviceInfo[]>} */
  #known = { camera: [], microphone: [] };

  /**
   * @param {Devices} devices
   * @param {DeviceChoices} choices
   * @param {AbortSignal} signal aborts when the lists are no longer shown
   */
  watch(devices, choices, signal) {
    const list = () => this.#list(devices, choices);
    for (const device of /** @type {const} */ (['camera', 'microphone'])) {
      this.#select(device).addEventListener('change', () => {
        const chosen = this.#known[device].find(({ id }) => id === this.#select(device).value);
        if (chosen) choices.choose(devices, device, chosen).then(list); // The former one stays if this one does not open.
      }, { signal });
    }
    devices.on('devices', list, { signal });
    devices.on('tracks', list, { signal });
    list();
  }

  /** @param {Device} device */
  #select(device) {
    return find(this, `select[name=${device}]`, HTMLSelectElement);
  }

  /**
   * @param {Devices} devices
   * @param {DeviceChoices} choices
   */
  async #list(devices, choices) {
    const { cameras, microphones } = await devices.list();
    this.#show('camera', cameras, choices.idOf('camera'));
    this.#show('microphone', microphones, choices.idOf('microphone'));
  }

  /**
   * @param {Device} device
   * @param {DeviceInfo[]} list
   * @param {string | undefined} chosen the id of the one that is used once it is on
   */
  #show(device, list, chosen) {
    const select = this.#select(device);
    const isNew = shownOf(list) !== shownOf(this.#known[device]);
    this.#known[device] = list;
    // A list that is open closes when its options are replaced.
    if (isNew || select.length === 0) select.replaceChildren(...optionsOf(device, list));
    select.disabled = list.length === 0;
    const shown = list.find(({ used }) => used) ?? list.find(({ id }) => id === chosen);
    if (shown) select.value = shown.id;
  }
}

/** What people see of a list. Some browsers tell the ids first, and the labels later. @param {DeviceInfo[]} list */
function shownOf(list) {
  return JSON.stringify(list.map(({ id, label }) => [id, label]));
}

/**
 * Browsers tell neither labels nor ids before the user has allowed the devices.
 *
 * @param {Device} device
 * @param {DeviceInfo[]} list
 */
function optionsOf(device, list) {
  if (list.length === 0) return [new Option(say(`lobby.${device}-unknown`), '')];
  return list.map(({ id, label }, place) => new Option(label || say(`lobby.${device}-number`, { number: place + 1 }), id));
}

customElements.define('tp-device-selects', DeviceSelects);
