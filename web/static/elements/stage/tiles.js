// @ts-check
import { bestGrid, leastHeight } from './grid.js';
import { Tile } from './tile.js';

/**
 * @import { Tracks } from '../../sdk/peer/sources.js'
 * @import { Peer, Room } from '../../sdk/turnpike.js'
 */

/** The people in a room: a tile for each peer, and our own at the end. */
export class Tiles {
  /** @type {HTMLElement | undefined} */
  #host;
  #own = new Tile();
  /** @type {Map<Peer, Tile>} */
  #peers = new Map();
  #count = 1;

  /** @param {HTMLElement} host of all the tiles */
  attach(host) {
    this.#host = host;
    host.append(this.#own);
    new ResizeObserver(() => this.#arrange()).observe(host);
  }

  /**
   * @param {string} name
   * @param {Tracks} tracks
   */
  showOwn(name, tracks) {
    this.#own.showLocal(name, tracks);
  }

  /** @param {Peer} peer */
  add(peer) {
    const tile = new Tile();
    this.#peers.set(peer, tile);
    this.#own.before(tile);
    tile.watch(peer);
  }

  /** Shows the name that a peer has now. @param {Peer} peer */
  rename(peer) {
    this.#peers.get(peer)?.showName(peer.name);
  }

  /** @param {Peer} peer */
  remove(peer) {
    this.#peers.get(peer)?.remove();
    this.#peers.delete(peer);
  }

  /**
   * @param {Peer} peer
   * @param {boolean} away the server cannot reach them
   */
  showAway(peer, away) {
    this.#peers.get(peer)?.showAway(away);
  }

  /**
   * Offers to remove a person from the room, while we may do that.
   *
   * @param {Room} room
   * @param {Peer} peer
   * @param {() => void} remove
   */
  offerRemoval(room, peer, remove) {
    this.#peers.get(peer)?.offerRemoval(room.moderates, remove);
  }

  /** @param {number} people how many there are, by which the tiles are laid out */
  setCount(people) {
    this.#count = people;
    if (this.#host) this.#host.dataset.count = String(people);
    this.#arrange();
  }

  /** Two people share no grid: our own tile is in the corner of the other's. */
  #arrange() {
    const host = this.#host;
    if (!host) return;
    const { clientWidth: width, clientHeight: height } = host;
    const tiles = this.#count === 2 ? 1 : this.#count;
    const { columns, rows } = bestGrid(tiles, width, height);
    const least = leastHeight(tiles, width);
    host.style.setProperty('--columns', String(columns));
    host.style.setProperty('--rows', String(rows));
    host.style.setProperty('--least', `${least}px`);
  }
}
