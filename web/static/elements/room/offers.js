// @ts-check
import { findButton } from '../../dom.js';
import { loadPart } from '../../parts.js';
import { say } from '../../words/room.js';
import { Hands } from './hands.js';
import { showHand } from './handsign.js';
import { Keys } from './keys.js';
import { REACTION, Rates } from './reactionset.js';
import { MUTE, isMuteRequest } from './requests.js';

/**
 * @import { App } from '../../app.js'
 * @import { Devices, Peer, Room } from '../../sdk/turnpike.js'
 * @import { Action } from '../menu.js'
 * @import { Tiles } from '../stage/tiles.js'
 * @import { Controls } from './controls.js'
 * @import { PictureInPicture } from './pip.js'
 *
 * @typedef {object} RoomParts what the controls of a room need of its page
 * @property {App} app
 * @property {HTMLElement} page
 * @property {Controls} controls
 * @property {Devices} devices
 * @property {Tiles} tiles
 * @property {() => void} hangup
 * @property {() => void} invite
 * @property {(peer: Peer) => void} remove asks whether to remove somebody
 */

/** A picture of our own tab would be in itself, again and again. The user may choose another screen later, and its sound. */
const SCREEN = /** @type {DisplayMediaStreamOptions} */ ({ video: true, audio: true, selfBrowserSurface: 'exclude', surfaceSwitching: 'include', systemAudio: 'include' });
/** The host may ask for silence this often. */
const ASK_MS = 10_000;
/** The second press of the key that leaves comes within this time. */
const LEAVE_MS = 4000;

/** What the controls of a room offer: in the bar, in its menu, by keys, and in each person's menu. */
export class Offers {
  #parts;
  /** @type {Hands | undefined} */
  #hands;
  /** @type {Keys | undefined} */
  #keys;
  /** @type {Promise<typeof import('./reactions.js')> | undefined} */
  #reactions;
  /** @type {PictureInPicture | undefined} */
  #pip;
  #leaveAt = -Infinity;
  #askedAt = -Infinity;

  /** @param {RoomParts} parts */
  constructor(parts) {
    this.#parts = parts;
    const { app, page, controls, devices, hangup, invite } = parts;
    const { notice } = app;
    controls.offer({
      testid: 'mute', place: 'bar', key: 'M', name: () => say('controls.key-mute'),
      icon: () => (devices.tracks.microphone?.enabled ? 'mic' : 'mic-off'),
      label: () => say(devices.tracks.microphone?.enabled ? 'controls.mute' : 'controls.unmute'),
      off: () => !devices.tracks.microphone?.enabled,
      run: () => devices.toggle('microphone'),
    });
    controls.offer({
      testid: 'camera', place: 'bar', key: 'V', name: () => say('controls.key-camera'),
      icon: () => (devices.tracks.camera ? 'camera' : 'camera-off'),
      label: () => say(devices.tracks.camera ? 'controls.stop-camera' : 'controls.start-camera'),
      off: () => !devices.tracks.camera,
      run: () => devices.toggle('camera'),
    });
    controls.offer({
      testid: 'share-screen', place: 'bar', key: 'S', name: () => say('stage.share'), icon: 'screen',
      label: () => say(devices.tracks.screen ? 'stage.stop-sharing' : 'stage.share'),
      on: () => !!devices.tracks.screen,
      shown: () => !!navigator.mediaDevices?.getDisplayMedia, // Phones have none.
      run: () => (devices.tracks.screen ? devices.stopScreen() : devices.shareScreen(SCREEN)),
    });
    controls.offer({
      testid: 'chat-toggle', place: 'key', key: 'C', icon: 'chat', label: () => say('controls.key-chat'),
      run: () => findButton(page, 'chat-toggle').click(),
    });
    controls.offer({
      testid: 'fullscreen', key: 'F', icon: () => (document.fullscreenElement ? 'full-exit' : 'full'),
      label: () => say(document.fullscreenElement ? 'controls.leave-full' : 'controls.full'),
      name: () => say('controls.full'),
      shown: () => document.fullscreenEnabled, // A phone of Apple's has it for films only.
      run: () => notice.attempt(() => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen())),
    });
    controls.offer({ testid: 'invite', key: 'I', icon: 'qr', label: () => say('controls.invite'), run: invite });
    controls.offer({ testid: 'hangup', place: 'bar', key: 'L', icon: 'hangup', label: () => say('controls.hangup'), name: () => say('controls.key-leave'), run: hangup, byKey: () => this.#leave() });
    controls.offer({ testid: 'keys', key: '?', icon: 'keyboard', label: () => say('controls.keys'), run: () => this.#showKeys() });
    devices.on('tracks', () => controls.update());
  }

  /**
   * @param {Room} room that we are in now
   * @param {AbortSignal} signal aborts when we are not any more
   */
  enter(room, signal) {
    const { app, controls, devices, tiles } = this.#parts;
    this.#keys = new Keys(controls, devices, signal);
    const hands = this.#hands = new Hands(room, () => app.session.client.session, {
      show: (who, place) => {
        showHand(tiles.of(who), place);
        if (who === 'me') controls.update();
        else tiles.of(who)?.refresh();
      },
      raised: (peer) => controls.tell(say('controls.hand-raised', { name: peer.name })),
      lowered: () => controls.toast(say('controls.hand-lowered')),
    }, signal);
    controls.offer({
      testid: 'hand', place: 'bar', key: 'H', icon: 'hand', name: () => say('controls.key-hand'),
      label: () => say(hands.isUp ? 'controls.hand-lower' : 'controls.hand-raise'), on: () => hands.isUp, run: () => hands.toggle(),
    });
    for (let place = 0; place < 10; place++) {
      controls.offer({
        testid: `pin-${place}`, place: 'key', key: String(place), icon: 'pin', label: () => say('controls.key-pin'), listed: place === 1 ? '0 – 9' : '',
        shown: () => room.peers.size > 1, run: () => tiles.pinPlace(place),
      });
    }
    this.#react(room, signal);
    this.#moderate(room, signal);
    this.#watchFromOutside(room, signal).catch((error) => console.warn('picture-in-picture:', error));
    document.addEventListener('fullscreenchange', () => controls.update(), { signal });
    signal.addEventListener('abort', () => {
      this.#pip?.close();
      if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
    });
  }

  /**
   * @param {Room} room
   * @param {AbortSignal} signal
   */
  #react(room, signal) {
    const { app, page, controls, tiles } = this.#parts;
    const rates = new Rates();
    /** @param {Peer | 'me'} who @param {unknown} data */
    const show = async (who, data) => {
      const taken = rates.take(who, data);
      if (!taken) return false;
      const { float, telling } = await this.#loadReactions();
      const tile = tiles.of(who);
      if (tile) float(tile, taken.drawing);
      if (taken.told && who !== 'me') controls.tell(telling(who.name, taken.drawing));
      return true;
    };
    room.on('data', ({ peer, data, topic }) => void (topic === REACTION && show(peer, data).catch(() => {})), { signal });
    room.on('peer-left', ({ peer }) => rates.forget(peer), { signal });
    /** @param {string} emoji */
    const send = async (emoji) => {
      // A reaction that comes late is none: it is not sent again.
      if (await show('me', { emoji })) await room.send({ emoji }, { topic: REACTION }).catch(() => {});
    };
    controls.offer({
      testid: 'react', place: 'bar', key: 'R', icon: 'smile', label: () => say('controls.react'),
      run: () => app.notice.attempt(async () => {
        const { Reactions } = await this.#loadReactions();
        if (!page.checkVisibility()) return;
        const choice = page.querySelector('tp-reactions') ?? page.appendChild(new Reactions());
        if (!(choice instanceof Reactions)) return;
        choice.watch(send);
        choice.toggle(controls.anchor('react'));
      }),
    });
  }

  #loadReactions() {
    this.#reactions ??= loadPart('reactions', import('./reactions.js'));
    this.#reactions.catch(() => (this.#reactions = undefined)); // The next one tries again.
    return this.#reactions;
  }

  /**
   * Locks the room, and hears the host's requests. Nobody else's are heard.
   *
   * @param {Room} room
   * @param {AbortSignal} signal
   */
  #moderate(room, signal) {
    const { app, controls, devices } = this.#parts;
    controls.offer({
      testid: 'menu-lock', icon: () => (room.locked ? 'lock' : 'lock-off'), label: () => say(room.locked ? 'controls.unlock' : 'controls.lock'),
      shown: () => room.moderates, run: () => app.notice.attempt(() => (room.locked ? room.unlock() : room.lock())),
    });
    for (const event of /** @type {const} */ (['host', 'locked', 'unlocked'])) room.on(event, () => controls.update(), { signal });
    room.on('data', ({ peer, data, topic }) => {
      const now = performance.now();
      if (topic !== MUTE || !isMuteRequest(data) || room.host !== peer) return;
      if (!devices.tracks.microphone?.enabled || now - this.#askedAt < ASK_MS) return;
      this.#askedAt = now;
      const mute = () => void (devices.tracks.microphone?.enabled && devices.toggle('microphone'));
      app.notice.show({ code: 'mute-asked', title: say('controls.mute-asked', { name: peer.name }), actions: [{ label: say('controls.mute'), testid: 'mute-now', run: mute }] });
    }, { signal });
  }

  /**
   * The menu of a person.
   *
   * @param {Room} room
   * @param {Peer} peer
   * @returns {Action[]}
   */
  personActions(room, peer) {
    const { controls, tiles, remove } = this.#parts;
    return [
      tiles.pinAction(peer),
      { testid: 'lower-hand', icon: 'hand', label: () => say('controls.person-lower-hand'), shown: () => room.isHost && !!this.#hands?.isUpOf(peer), run: () => this.#hands?.lower(peer) },
      {
        testid: 'ask-to-mute', icon: 'mic-off', label: () => say('controls.person-ask-to-mute'), shown: () => room.isHost && peer.sources.microphone,
        run: async () => {
          if (await peer.send({ please: true }, { topic: MUTE })) controls.toast(say('controls.mute-sent', { name: peer.name }));
        },
      },
      { testid: 'remove-person', icon: 'remove', label: () => say('stage.remove', { name: peer.name }), warn: true, shown: () => room.moderates, run: () => remove(peer) },
    ];
  }

  async #showKeys() {
    const { app, page, controls } = this.#parts;
    await app.notice.attempt(async () => {
      const { KeysDialog } = await loadPart('keys', import('./keysdialog.js'));
      if (!page.checkVisibility()) return; // We are out of the room meanwhile.
      const dialog = page.querySelector('tp-keys') ?? page.appendChild(new KeysDialog());
      if (dialog instanceof KeysDialog && this.#keys) dialog.show(this.#keys, controls.offered);
    });
  }

  /** A key that is pressed by mistake must not end a call. */
  #leave() {
    const now = performance.now();
    if (now - this.#leaveAt < LEAVE_MS) return this.#parts.hangup();
    this.#leaveAt = now;
    return this.#parts.controls.toast(say('controls.leave-again'));
  }

  /**
   * Picture-in-picture, and the buttons that the system shows of a call.
   *
   * @param {Room} room
   * @param {AbortSignal} signal
   */
  async #watchFromOutside(room, signal) {
    const { controls } = this.#parts;
    const { PictureInPicture, offerToSystem } = await loadPart('pip', import('./pip.js'));
    if (signal.aborted) return;
    const pip = this.#pip = new PictureInPicture({ ...this.#parts, room });
    offerToSystem(this.#parts, pip, signal);
    controls.offer({
      testid: 'pip', key: 'P', icon: 'pip', label: () => say(pip.isOpen ? 'controls.leave-pip' : 'controls.pip'), name: () => say('controls.pip'),
      shown: () => pip.isOffered, run: () => pip.toggle(),
    });
  }
}
