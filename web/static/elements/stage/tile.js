// @ts-check
import { drawAvatar, fill, find, findButton, pageLoaded, write } from '../../dom.js';
import { say } from '../../words/room.js';
import { Menu } from '../menu.js';
import { Fit } from './fit.js';
import { PathBadge } from './path.js';
import { withSound } from './playing.js';
import { seldom } from './seldom.js';

/**
 * @import { Peer } from '../../sdk/turnpike.js'
 * @import { Tracks } from '../../sdk/peer/sources.js'
 * @import { Action } from '../menu.js'
 */

/** A voice is louder than this, and a pause between words is shorter than that. */
const VOICE = 0.01;
const PAUSE_MS = 800;
/** Of most cameras. */
const USUAL_SHAPE = 16 / 9;
/** As people come and go, a picture is sent larger or smaller. Its shape differs by less than this then. */
const ANOTHER = 0.02;

/** One person in a room: picture or initials, name, and, for others, the path to them. */
export class Tile extends HTMLElement {
  /** @type {Fit | undefined} */
  #fit;
  #heardAt = -Infinity;
  /** Of the picture, by which tiles are laid out. */
  shape = USUAL_SHAPE;
  /** @type {Action[]} */
  #actions = [];
  /** @type {Menu | undefined} */
  #menu;
  #tellShape = seldom(() => this.dispatchEvent(new Event('reshape', { bubbles: true })));
  /** How loud they are at this moment, from 0 to 1. */
  #level = () => 0;

  /** @param {Peer} peer */
  watch(peer) {
    this.#draw(peer.name);
    this.showAway(peer.away);
    const badge = new PathBadge();
    badge.dataset.testid = 'path';
    find(this, '.aside', Element).replaceWith(badge);
    badge.watch(peer);
    const showSources = () => this.#showMedia({ audio: peer.sources.microphone, video: peer.sources.camera });
    peer.on('sources', showSources);
    showSources();
    pageLoaded.then(() => this.isConnected && (this.#video.srcObject = peer.stream));
    peer.on('track', withSound(this));
    this.#level = () => peer.level;
  }

  /** @param {string} name */
  showName(name) {
    this.setAttribute('aria-label', name);
    write(this, '.who', name);
    this.#drawAvatar(name);
    findButton(this, 'person-menu').setAttribute('aria-label', say('stage.actions', { name }));
    this.refresh();
  }

  /** The whole tile has the colour of the name, which is seen where there is no picture. @param {string} name */
  #drawAvatar(name) {
    drawAvatar(this, name);
    this.dataset.colour = find(this, '.avatar', HTMLElement).dataset.colour;
  }

  /** Shows whether they speak. Must be called again and again. */
  hear() {
    const now = performance.now();
    if (this.#level() > VOICE) this.#heardAt = now;
    this.toggleAttribute('data-speaking', now - this.#heardAt < PAUSE_MS);
  }

  /** A tile that has left the page lets go of the picture. */
  disconnectedCallback() {
    if (this.firstChild) this.#video.srcObject = null;
  }

  /** @param {boolean} away the server cannot reach them */
  showAway(away) {
    this.toggleAttribute('data-away', away);
    write(this, '.hint', away ? say('stage.away') : '');
  }

  /** What the menu of the person has from now on; without anything there is no menu. @param {Action[]} actions */
  offer(actions) {
    this.#actions = actions;
    this.#menu ??= new Menu(findButton(this, 'person-menu'), find(this, '.person-menu + .popup', HTMLElement), () => this.#actions);
    this.refresh();
  }

  /** The actions are others now. */
  refresh() {
    this.#menu?.update();
  }

  /**
   * Shows ourselves.
   *
   * @param {string} name
   * @param {Tracks} tracks
   */
  showLocal(name, { microphone: audio, camera: video }) {
    if (!this.firstChild) this.#draw(say('page.you'));
    this.dataset.local = '';
    this.#drawAvatar(name);
    this.#video.muted = true;
    this.#showMedia({ audio: !!audio?.enabled, video: !!video });
    write(this, '.aside', audio || video ? '' : say('stage.nothing-on'));
    const shown = this.#video.srcObject;
    if (shown instanceof MediaStream && shown.getTracks()[0] === video) return;
    const stream = video ? new MediaStream([video]) : null;
    pageLoaded.then(() => (this.#video.srcObject = stream));
  }

  /** @param {number} width @param {number} height */
  resized(width, height) {
    this.#fit?.resize(width, height);
  }

  /** Must be called again and again, for the copy of the picture that fills the tile. */
  redraw() {
    this.#fit?.redraw();
  }

  /** @param {string} name */
  #draw(name) {
    fill(this, 'tile');
    this.dataset.testid = 'tile';
    this.setAttribute('role', 'group');
    this.showName(name);
    this.#fit = new Fit(this, this.#video, find(this, '.backdrop', HTMLCanvasElement));
    this.#video.addEventListener('resize', () => this.#reshaped());
  }

  get #video() {
    return find(this, 'video', HTMLVideoElement);
  }

  /** @param {{ audio: boolean, video: boolean }} media */
  #showMedia({ audio, video }) {
    this.toggleAttribute('data-muted', !audio);
    this.toggleAttribute('data-video', video);
    this.#reshaped();
  }

  #reshaped() {
    this.redraw();
    const { videoWidth, videoHeight } = this.#video;
    const shape = videoWidth && this.hasAttribute('data-video') ? videoWidth / videoHeight : USUAL_SHAPE;
    if (Math.abs(shape / this.shape - 1) < ANOTHER) return;
    this.shape = shape;
    this.#tellShape();
  }
}

customElements.define('tp-tile', Tile);
