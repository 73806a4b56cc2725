// @ts-check
import { Tile } from './tile.js';

/**
 * @import { Media } from '../sdk/peer/negotiation.js'
 * @import { Peer, Room } from '../sdk/turnpike.js'
 */

/** The people in a room: our own tile, and one for each peer. */
export class Tiles {
  /** @type {HTMLElement | undefined} */
  #host;
  #own = new Tile();
  /** @type {Map<Peer, Tile>} */
  #peers = new Map();

  /** @param {HTMLElement} host of all the tiles */
  attach(host) {
    this.#host = host;
    host.append(this.#own);
  }

  /**
   * @param {string} name
   * @param {Media} media
   */
  showOwn(name, media) {
    this.#own.showLocal(name, media);
  }

  /** @param {Peer} peer */
  add(peer) {
    const tile = new Tile();
    this.#peers.set(peer, tile);
    this.#host?.append(tile);
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
    if (this.#host) this.#host.dataset.count = String(people);
  }
}
