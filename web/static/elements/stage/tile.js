// @ts-check
import { drawAvatar, fill, find, findButton, giveFocus, isolate, pageLoaded, write } from '../../dom.js';
import { Fit } from './fit.js';
import { PathBadge } from './path.js';
import { attachPopup } from '../popup.js';

/**
 * @import { Peer } from '../../sdk/turnpike.js'
 * @import { Tracks } from '../../sdk/peer/sources.js'
 */

/** How often we look whether somebody speaks. */
const LISTEN_MS = 200;
/** A voice is louder than this, and a pause between words is shorter than that. */
const VOICE = 0.01;
const PAUSE_MS = 800;

/** One person in a room: picture or initials, name, and, for others, the path to them. */
export class Tile extends HTMLElement {
  /** @type {Fit | undefined} */
  #fit;
  #heardAt = -Infinity;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #listening;

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
    pageLoaded.then(() => (this.#video.srcObject = peer.stream));
    peer.on('track', () => this.#play());
    this.#listening = setInterval(() => this.#hear(peer.level), LISTEN_MS);
    find(this, '.unblock', HTMLButtonElement).addEventListener('click', () => this.#unblock());
  }

  /** @param {string} name */
  showName(name) {
    this.setAttribute('aria-label', name);
    write(this, '.who', name);
    this.#drawAvatar(name);
    findButton(this, 'person-menu').setAttribute('aria-label', `Actions for ${isolate(name)}`);
    write(this, '[data-testid=remove-person] span', `Remove and ban ${isolate(name)}…`);
  }

  /** The whole tile has the colour of the name, which is seen where there is no picture. @param {string} name */
  #drawAvatar(name) {
    drawAvatar(this, name);
    this.dataset.colour = find(this, '.avatar', HTMLElement).dataset.colour;
  }

  /** Shows whether they speak. @param {number} level of this moment, from 0 to 1 */
  #hear(level) {
    const now = performance.now();
    if (level > VOICE) this.#heardAt = now;
    this.toggleAttribute('data-speaking', now - this.#heardAt < PAUSE_MS);
  }

  /** A tile that has left the page lets go of the picture. */
  disconnectedCallback() {
    clearInterval(this.#listening);
    this.#fit?.stop();
    if (this.firstChild) this.#video.srcObject = null;
  }

  /** @param {boolean} away the server cannot reach them */
  showAway(away) {
    this.toggleAttribute('data-away', away);
    write(this, '.hint', away ? 'reconnecting…' : '');
  }

  /**
   * Offers to remove the person from the room, if we may do that.
   *
   * @param {boolean} offered
   * @param {() => void} remove
   */
  offerRemoval(offered, remove) {
    findButton(this, 'person-menu').hidden = !offered;
    findButton(this, 'remove-person').onclick = () => {
      find(this, '.person-menu + .popup', HTMLElement).hidePopover();
      remove();
    };
  }

  /**
   * Shows ourselves.
   *
   * @param {string} name
   * @param {Tracks} tracks
   */
  showLocal(name, { microphone: audio, camera: video }) {
    if (!this.firstChild) this.#draw('You');
    this.dataset.local = '';
    this.#drawAvatar(name);
    this.#video.muted = true;
    this.#showMedia({ audio: !!audio?.enabled, video: !!video });
    write(this, '.aside', audio || video ? '' : 'no camera or microphone');
    const shown = this.#video.srcObject;
    if (shown instanceof MediaStream && shown.getTracks()[0] === video) return;
    const stream = video ? new MediaStream([video]) : null;
    pageLoaded.then(() => (this.#video.srcObject = stream));
  }

  /** @param {string} name */
  #draw(name) {
    fill(this, 'tile');
    this.dataset.testid = 'tile';
    this.setAttribute('role', 'group');
    this.showName(name);
    attachPopup(findButton(this, 'person-menu'), find(this, '.person-menu + .popup', HTMLElement));
    this.#fit = new Fit(this, this.#video, find(this, '.backdrop', HTMLCanvasElement));
  }

  get #video() {
    return find(this, 'video', HTMLVideoElement);
  }

  /** @param {{ audio: boolean, video: boolean }} media */
  #showMedia({ audio, video }) {
    this.toggleAttribute('data-video', video);
    this.toggleAttribute('data-muted', !audio);
  }

  /** A browser may refuse to play sound before the user has touched the page. Then the picture plays without sound. */
  async #play() {
    const video = this.#video;
    try {
      await video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      video.muted = true;
      find(this, '.unblock', HTMLButtonElement).hidden = false;
      video.play().catch(() => {});
    }
  }

  #unblock() {
    this.#video.muted = false;
    find(this, '.unblock', HTMLButtonElement).hidden = true;
    giveFocus(this.querySelector('tp-path button'));
    this.#play();
  }
}

customElements.define('tp-tile', Tile);
