// @ts-check
import { fill, find, write } from '../../dom.js';
import { asIs, say } from '../../words/room.js';
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
    const words = path ? describe(path) : say(['disconnected', 'failed'].includes(peer.state) ? 'path.looking' : 'path.connecting');
    write(this, '.sr-only', words);
    write(this, '.words', words);
    write(this, '.more', path ? explain(path, peer.name) : '');
  }
}

/** @param {Path} path */
function describe({ kind, protocol, offloaded, rtt }) {
  const values = { protocol: asIs(protocol.toUpperCase()) };
  const way = kind === 'direct' ? say('path.direct', values) : say(offloaded ? 'path.by-kernel' : 'path.relayed', values);
  return rtt === undefined ? way : say('path.time', { way: asIs(way), ms: Math.max(1, Math.round(rtt)) });
}

/**
 * @param {Path} path
 * @param {string} name of the peer
 */
function explain({ kind, via = '', offloaded }, name) {
  if (kind === 'direct') return say('path.direct-why', { name });
  return say(offloaded ? 'path.by-kernel-why' : 'path.relayed-why', { relay: asIs(via) });
}

customElements.define('tp-path', PathBadge);
