// @ts-check

/**
 * @import { Path } from '../sdk/peer/path.js'
 * @import { Peer } from '../sdk/turnpike.js'
 */

const EVERY_MS = 2000;
const UNTIL_KNOWN_MS = 300;

/** Shows the path that packets take to a peer, and their round-trip time. */
export class PathBadge extends HTMLElement {
  #ended = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Peer} peer */
  watch(peer) {
    this.#show(undefined, peer);
    peer.on('state', () => this.#update(peer), { signal: this.#ended.signal });
    this.#update(peer);
  }

  disconnectedCallback() {
    this.#ended.abort();
    clearTimeout(this.#timer);
  }

  /** @param {Peer} peer */
  async #update(peer) {
    clearTimeout(this.#timer);
    const path = peer.state === 'connected' ? await peer.path() : undefined;
    if (this.#ended.signal.aborted) return;
    this.#show(path, peer);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#update(peer), path ? EVERY_MS : UNTIL_KNOWN_MS);
  }

  /**
   * @param {Path | undefined} path
   * @param {Peer} peer
   */
  #show(path, peer) {
    this.dataset.path = path?.kind ?? 'connecting';
    if (!path) {
      this.textContent = ['disconnected', 'failed'].includes(peer.state) ? 'Looking for another path…' : 'Connecting…';
      this.title = '';
      return;
    }
    const way = path.kind === 'direct' ? 'Direct' : 'Relayed';
    const time = path.rtt === undefined ? '' : ` · ${Math.max(1, Math.round(path.rtt))} ms`;
    const by = path.offloaded ? ', by the kernel' : '';
    this.textContent = `${way} over ${path.protocol.toUpperCase()}${by}${time}`;
    this.title = path.kind === 'direct'
      ? `Packets go straight between you and ${peer.name}.`
      : `Packets go through the relay ${path.via ?? ''}, which cannot read them${path.offloaded ? '. Its kernel forwards them' : ''}.`;
  }
}

customElements.define('tp-path', PathBadge);
