// @ts-check
import { fill, find, isolate, write } from '../../dom.js';
import { attachPopup } from '../popup.js';

/**
 * @import { Path } from '../../sdk/peer/path.js'
 * @import { Peer } from '../../sdk/turnpike.js'
 */

/** The longest round trip of each number of bars, from three bars on. A conversation feels slow from 150 ms each way on. */
const BARS_MS = [150, 300];

/** Shows the path that packets take to a peer: bars for its speed, and words for those who tap on them. */
export class PathBadge extends HTMLElement {
  #ended = new AbortController();

  /** @param {Peer} peer */
  watch(peer) {
    fill(this, 'path');
    attachPopup(find(this, 'button', HTMLButtonElement), find(this, '.popup', HTMLElement));
    const { signal } = this.#ended;
    const show = () => this.#show(peer.state === 'connected' ? peer.path : undefined, peer);
    peer.on('state', show, { signal });
    peer.on('path', show, { signal });
    show();
  }

  disconnectedCallback() {
    this.#ended.abort();
  }

  /**
   * @param {Path | undefined} path
   * @param {Peer} peer
   */
  #show(path, peer) {
    this.dataset.path = path?.kind ?? 'connecting';
    this.dataset.level = path ? String(3 - BARS_MS.filter((most) => (path.rtt ?? 0) > most).length) : '0';
    const words = path ? describe(path) : ['disconnected', 'failed'].includes(peer.state) ? 'Looking for another path…' : 'Connecting…';
    write(this, '.sr-only', words);
    write(this, '.words', words);
    write(this, '.more', path ? explain(path, peer.name) : '');
  }
}

/** @param {Path} path */
function describe({ kind, protocol, offloaded, rtt }) {
  const way = kind === 'direct' ? 'Direct' : 'Relayed';
  const time = rtt === undefined ? '' : ` · ${Math.max(1, Math.round(rtt))} ms`;
  return `${way} over ${protocol.toUpperCase()}${offloaded ? ', by the kernel' : ''}${time}`;
}

/**
 * @param {Path} path
 * @param {string} name of the peer
 */
function explain({ kind, via = '', offloaded }, name) {
  if (kind === 'direct') return `Packets go straight between you and ${isolate(name)}.`;
  return `Packets go through the relay ${via}, which cannot read them.${offloaded ? ' Its kernel forwards them.' : ''}`;
}

customElements.define('tp-path', PathBadge);
