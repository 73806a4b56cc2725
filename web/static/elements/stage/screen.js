// @ts-check
import { fill, find, findButton, pageLoaded, write } from '../../dom.js';
import { say } from '../../words/room.js';
import { withSound } from './playing.js';
import { seldom } from './seldom.js';

/** @import { Peer } from '../../sdk/turnpike.js' */

/** Of most screens. */
const USUAL_SHAPE = 16 / 9;

/** The screen that somebody shares, with its sound: all of it, and never mirrored. */
export class ScreenTile extends HTMLElement {
  #ended = new AbortController();

  /** @param {Peer} peer */
  watch(peer) {
    fill(this, 'screen');
    this.dataset.testid = 'screen';
    this.setAttribute('role', 'group');
    this.showName(peer.name);
    const video = find(this, 'video', HTMLVideoElement);
    video.addEventListener('resize', seldom(() => this.dispatchEvent(new Event('reshape', { bubbles: true }))));
    const play = withSound(this);
    pageLoaded.then(() => {
      if (this.#ended.signal.aborted) return;
      video.srcObject = peer.screen;
      play(); // Its tracks may have come before.
    });
    peer.on('track', play, { signal: this.#ended.signal });
  }

  /** @param {string} name */
  showName(name) {
    const label = say('stage.screen', { name });
    this.setAttribute('aria-label', label);
    write(this, '.who', label);
  }

  get shape() {
    const { videoWidth = 0, videoHeight = 0 } = this.querySelector('video') ?? {};
    return videoWidth ? videoWidth / videoHeight : USUAL_SHAPE;
  }

  disconnectedCallback() {
    this.#ended.abort();
    const video = this.querySelector('video');
    if (video) video.srcObject = null;
  }
}

/** What we share ourselves is not shown: the picture would be in itself, again and again. */
export class SharingTile extends HTMLElement {
  shape = USUAL_SHAPE;

  /** @param {() => void} stop */
  watch(stop) {
    fill(this, 'sharing');
    this.dataset.testid = 'sharing';
    this.setAttribute('role', 'group');
    this.setAttribute('aria-label', say('stage.sharing'));
    findButton(this, 'stop-sharing').addEventListener('click', stop);
  }
}

customElements.define('tp-screen', ScreenTile);
customElements.define('tp-sharing', SharingTile);
