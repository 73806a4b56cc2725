// @ts-check
import { which } from '../../choices.js';
import { fill, find, findButton, press, write } from '../../dom.js';
import { say } from '../../words/settings.js';
import { NameForm } from '../name.js';
import { LevelMeter } from './level.js';
import { DeviceSelects } from './selects.js';
import { canChoose, listSpeakers, playNotes } from './speakers.js';

/**
 * @import { App } from '../../app.js'
 * @import { DeviceChoices } from '../../choices.js'
 * @import { Devices } from '../../sdk/turnpike.js'
 *
 * @typedef {object} SettingsPage what the settings need of their page
 * @property {App} app
 * @property {Devices} devices
 * @property {DeviceChoices} choices
 * @property {AbortSignal} signal aborts when the page ends
 * @property {() => void} changed another speaker was chosen, or our picture must be turned
 */

/** The dialog for name, camera, microphone and speakers, in the middle of a call. */
export class Settings extends HTMLElement {
  /** @param {SettingsPage} page */
  open(page) {
    if (this.querySelector('dialog')) return; // Pressed twice while it loaded.
    fill(this, 'settings');
    const dialog = find(this, 'dialog', HTMLDialogElement);
    const closed = new AbortController();
    dialog.addEventListener('close', () => {
      closed.abort();
      this.replaceChildren();
    });
    page.signal.addEventListener('abort', () => dialog.close(), { signal: closed.signal });
    find(this, 'tp-name', NameForm).watch(page.app);
    find(this, 'tp-device-selects', DeviceSelects).watch(page.devices, page.choices, closed.signal);
    this.#meter(page.devices, closed.signal);
    this.#speakers(page, closed.signal);
    this.#checks(page);
    dialog.showModal();
  }

  /**
   * @param {Devices} devices
   * @param {AbortSignal} signal
   */
  #meter(devices, signal) {
    const level = find(this, 'tp-level', LevelMeter);
    const show = () => level.watch(devices.tracks.microphone?.enabled ? devices.tracks.microphone : null);
    devices.on('tracks', show, { signal });
    show();
  }

  /**
   * @param {SettingsPage} page
   * @param {AbortSignal} signal
   */
  #speakers({ choices, changed }, signal) {
    const select = find(this, 'select[name=speaker]', HTMLSelectElement);
    const list = async () => {
      const speakers = await listSpeakers();
      if (signal.aborted) return;
      find(this, '.speaker', HTMLElement).hidden = speakers.length === 0;
      select.replaceChildren(...speakers.map(({ id, label }, place) => new Option(label || say('settings.speaker-number', { number: place + 1 }), id)));
      const chosen = which(choices.speaker, speakers);
      if (chosen) select.value = chosen.id;
    };
    if (canChoose) navigator.mediaDevices?.addEventListener('devicechange', list, { signal });
    list();
    select.addEventListener('change', () => {
      choices.speaker = { id: select.value, label: select.selectedOptions[0]?.text ?? '' };
      changed();
    });
    const button = findButton(this, 'settings-sound');
    button.addEventListener('click', () => press(button, async () => {
      write(this, '.said', say('settings.playing'));
      const failed = await playNotes(select.value).then(() => false, () => true);
      if (!signal.aborted) write(this, '.said', failed ? say('settings.no-sound') : '');
    }));
  }

  /** @param {SettingsPage} page */
  #checks({ devices, choices, changed }) {
    const noise = find(this, '[name=noise]', HTMLInputElement);
    const canSuppress = !!navigator.mediaDevices?.getSupportedConstraints().noiseSuppression;
    /** @type {HTMLElement} */ (noise.closest('label')).hidden = !canSuppress;
    noise.checked = choices.noiseSuppression;
    noise.addEventListener('change', () => choices.suppressNoise(devices, noise.checked));
    const mirror = find(this, '[name=mirror]', HTMLInputElement);
    mirror.checked = choices.mirror;
    mirror.addEventListener('change', () => {
      choices.mirror = mirror.checked;
      changed();
    });
  }
}

customElements.define('tp-settings', Settings);
