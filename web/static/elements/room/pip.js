// @ts-check
import { drawAvatar, fill, find, findButton, write } from '../../dom.js';
import { say } from '../../words/room.js';
import { drawAction } from '../menu.js';

/**
 * @import { Peer, Room } from '../../sdk/turnpike.js'
 * @import { RoomParts } from './offers.js'
 *
 * @typedef {{ requestWindow: (options?: { width?: number, height?: number }) => Promise<Window> }} DocumentPictureInPicture which TypeScript
 * does not know yet
 */

const SIZE = { width: 360, height: 270 };

/** The window that some browsers let a page fill, or undefined. @returns {DocumentPictureInPicture | undefined} */
const documentWindow = () => /** @type {any} */ (globalThis).documentPictureInPicture;

/**
 * The person who is pinned, or who speaks, in a small window above all others: with the buttons that matter where the browser
 * lets a page fill it, else the picture alone.
 */
export class PictureInPicture {
  #parts;
  #room;
  /** Ends what is open. @type {AbortController | undefined} */
  #open;
  /** Somebody has asked for it, and the browser has not answered. */
  #opening = false;

  /** @param {RoomParts & { room: Room }} parts */
  constructor({ room, ...parts }) {
    this.#room = room;
    this.#parts = parts;
  }

  get isOffered() {
    return this.#room.peers.size > 0 && (documentWindow() !== undefined || document.pictureInPictureEnabled);
  }

  get isOpen() {
    return this.#open !== undefined;
  }

  async toggle() {
    if (this.isOpen) this.close();
    else await this.open();
  }

  close() {
    this.#open?.abort();
  }

  async open() {
    if (this.isOpen || this.#opening || this.#room.peers.size === 0) return;
    this.#opening = true;
    try {
      const window = documentWindow();
      if (window) await this.#openWindow(window);
      else await this.#openVideo();
    } catch (error) {
      // Without a press by the user, or a picture, browsers refuse.
      console.warn('picture-in-picture:', error);
      this.#parts.controls.toast(say('controls.pip-failed'));
    } finally {
      this.#opening = false;
    }
  }

  /** @param {DocumentPictureInPicture} maker */
  async #openWindow(maker) {
    const opened = await maker.requestWindow(SIZE);
    const { document: page } = opened;
    // Its content security policy is this page's, so it has our style sheets and nothing else.
    for (const link of document.querySelectorAll('link[rel=stylesheet]')) page.head.append(page.importNode(link));
    page.documentElement.lang = document.documentElement.lang;
    page.title = document.title;
    const host = document.createElement('main');
    host.className = 'pip';
    fill(host, 'pip');
    page.body.append(host);
    const signal = this.#began(() => opened.close());
    opened.addEventListener('pagehide', () => this.close(), { signal });
    const { controls, devices, hangup } = this.#parts;
    const buttons = /** @type {const} */ (['mute', 'camera']);
    const draw = () => {
      for (const testid of buttons) {
        const control = controls.offered.find((control) => control.testid === testid);
        if (!control) continue;
        const button = findButton(host, `pip-${testid}`);
        drawAction(button, control);
        button.toggleAttribute('data-off', control.off?.() ?? false);
      }
    };
    for (const testid of buttons) findButton(host, `pip-${testid}`).addEventListener('click', () => controls.press(testid));
    findButton(host, 'pip-hangup').addEventListener('click', hangup);
    devices.on('tracks', draw, { signal });
    draw();
    this.#follow(host, find(host, 'video', HTMLVideoElement), signal);
  }

  /** The picture alone. */
  async #openVideo() {
    const host = document.createElement('div');
    fill(host, 'pip-video');
    const video = find(host, 'video', HTMLVideoElement);
    const following = new AbortController();
    this.#follow(host, video, following.signal);
    try {
      if (!this.#who?.sources.camera) throw new Error('nobody to be seen');
      await video.play();
      await video.requestPictureInPicture();
    } catch (error) {
      following.abort();
      throw error;
    }
    const signal = this.#began(() => {
      following.abort();
      if (document.pictureInPictureElement === video) document.exitPictureInPicture().catch(() => {});
    });
    video.addEventListener('leavepictureinpicture', () => this.close(), { signal });
    if (!this.#who) this.close(); // All have left, or we have, while the browser opened it.
  }

  /** @param {() => void} end @returns {AbortSignal} */
  #began(end) {
    const open = this.#open = new AbortController();
    open.signal.addEventListener('abort', () => {
      this.#open = undefined;
      end();
      this.#parts.controls.update();
    });
    this.#parts.controls.update();
    return open.signal;
  }

  /** Whom it shows. @returns {Peer | undefined} */
  get #who() {
    const { pinned } = this.#parts.tiles;
    const { peers, speaker } = this.#room;
    if (pinned) return pinned;
    return speaker && peers.has(speaker.id) ? speaker : [...peers.values()][0];
  }

  /**
   * Shows the person of each moment. The sound stays in the page.
   *
   * @param {HTMLElement} host
   * @param {HTMLVideoElement} video
   * @param {AbortSignal} signal
   */
  #follow(host, video, signal) {
    /** @type {Peer | undefined} */
    let shown;
    let gone = new AbortController();
    const draw = () => {
      const who = this.#who;
      if (!who) return this.close();
      if (who !== shown) {
        gone.abort();
        gone = new AbortController();
        who.on('sources', draw, { signal: gone.signal });
        shown = who;
        video.muted = true; // The attribute of a template's copy does not see to it.
        video.srcObject = who.stream;
        video.play().catch(() => {});
      }
      host.toggleAttribute('data-video', who.sources.camera);
      host.toggleAttribute('data-muted', !who.sources.microphone);
      if (host.querySelector('.who')) {
        write(host, '.who', who.name);
        drawAvatar(host, who.name);
        host.dataset.colour = find(host, '.avatar', HTMLElement).dataset.colour;
      }
      return undefined;
    };
    for (const event of /** @type {const} */ (['speaker', 'peer-left', 'peer-renamed'])) this.#room.on(event, draw, { signal });
    this.#parts.page.addEventListener('pinned', draw, { signal });
    signal.addEventListener('abort', () => {
      gone.abort();
      video.srcObject = null;
    });
    draw();
  }
}

/**
 * The buttons that the system shows of a call, beside those of music: on a lock screen, a headset, or the small window. A
 * browser that opens this window by itself when the user looks elsewhere asks for it here.
 *
 * @param {RoomParts} parts
 * @param {PictureInPicture} pip
 * @param {AbortSignal} signal ends it
 */
export function offerToSystem({ controls, devices, hangup }, pip, signal) {
  const session = /** @type {any} */ (navigator.mediaSession);
  if (!session) return;
  /** @type {Record<string, () => unknown>} */
  const actions = { togglemicrophone: () => controls.press('mute'), togglecamera: () => controls.press('camera'), hangup, enterpictureinpicture: () => pip.open() };
  for (const [action, run] of Object.entries(actions)) setHandler(action, () => void run());
  const tell = () => {
    session.setMicrophoneActive?.(!signal.aborted && !!devices.tracks.microphone?.enabled);
    session.setCameraActive?.(!signal.aborted && !!devices.tracks.camera);
  };
  devices.on('tracks', tell, { signal });
  tell();
  signal.addEventListener('abort', () => {
    tell();
    Object.keys(actions).forEach((action) => setHandler(action, null));
  });
}

/** @param {string} action @param {(() => void) | null} handler */
function setHandler(action, handler) {
  try {
    navigator.mediaSession.setActionHandler(/** @type {any} */ (action), handler);
  } catch {
    // This browser does not have that action.
  }
}
