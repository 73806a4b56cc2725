// @ts-check
import { find } from '../../dom.js';
import { loadPart } from '../../parts.js';
import { say } from '../../words/room.js';

/**
 * @import { App } from '../../app.js'
 * @import { DeviceChoices } from '../../choices.js'
 * @import { Devices } from '../../sdk/turnpike.js'
 * @import { Controls } from '../room/controls.js'
 * @import { Speakers } from './speakers.js'
 *
 * @typedef {object} OwnDevices
 * @property {App} app
 * @property {HTMLElement} page of the room
 * @property {Controls} controls
 * @property {Devices} devices
 * @property {DeviceChoices} choices
 * @property {AbortSignal} signal aborts when the page ends
 * @property {() => void} turned our own picture must be shown as a mirror would, or no longer
 */

/**
 * Offers what a person does with devices in the middle of a call: the settings, and on phones the camera on the other side.
 *
 * @param {OwnDevices} own
 */
export function offerDevices({ app, page, controls, devices, choices, signal, turned }) {
  const followSpeaker = speakerFollower(find(page, '.tiles', HTMLElement), choices, signal);
  const changed = () => {
    turned();
    followSpeaker();
  };
  controls.offer({
    testid: 'settings', icon: 'settings', key: ',', label: () => say('lobby.settings'),
    run: () => app.notice.attempt(async () => {
      const { Settings } = await loadPart('settings', import('./settings.js'));
      if (!page.checkVisibility()) return; // We are out of the room meanwhile.
      const dialog = page.querySelector('tp-settings') ?? page.appendChild(new Settings());
      if (dialog instanceof Settings) dialog.open({ app, devices, choices, signal, changed });
    }),
  });
  let cameras = 0;
  const count = async () => {
    cameras = (await devices.list()).cameras.length;
    controls.update();
  };
  devices.on('devices', count);
  devices.on('tracks', count);
  controls.offer({
    testid: 'flip', icon: 'flip', label: () => say('lobby.flip'),
    shown: () => cameras > 1 && !!devices.tracks.camera && matchMedia('(pointer: coarse)').matches,
    run: async () => {
      await choices.flip(devices);
      turned();
    },
  });
  followSpeaker();
}

/**
 * Nothing of it loads before somebody has chosen a speaker.
 *
 * @param {HTMLElement} root of the people
 * @param {DeviceChoices} choices
 * @param {AbortSignal} signal
 */
function speakerFollower(root, choices, signal) {
  /** @type {Speakers | undefined} */
  let speakers;
  return async () => {
    if (choices.speaker.id === undefined) return;
    const module = await import('./speakers.js');
    if (speakers) speakers.choose();
    else if (!signal.aborted) speakers = new module.Speakers(root, choices, signal);
  };
}
