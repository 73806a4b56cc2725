// @ts-check
import { giveFocus } from '../../dom.js';
import { say } from '../../words/room.js';
import { Corner } from './corner.js';
import { inGrid, leastHeight, withStrip } from './grid.js';
import { ScreenTile, SharingTile } from './screen.js';
import { seldom } from './seldom.js';
import { Tile } from './tile.js';

/**
 * @import { Tracks } from '../../sdk/peer/sources.js'
 * @import { Peer } from '../../sdk/turnpike.js'
 * @import { Box } from './grid.js'
 * @import { Action } from '../menu.js'
 *
 * @typedef {Tile | ScreenTile | SharingTile} AnyTile
 */

/** How often we look whether somebody speaks: one timer for all tiles. */
const LISTEN_MS = 200;
/** At every so many of these looks, the blurred copies are drawn again. */
const REDRAW_EVERY = 5;
/** How long tiles may take to their new places, in css/stage.css. */
const MOVING_MS = 300;

/**
 * The stage: a tile for each person, our own at the end, and before them a tile for each screen that somebody shares. The pinned
 * tile is large, or else the screens are; the others stand in a strip then. With two people, the other fills the stage, and our
 * own tile lies in a corner of it.
 */
export class Tiles {
  /** @type {HTMLElement | undefined} */
  #host;
  #own = new Tile();
  /** @type {Map<Peer, Tile>} */
  #peers = new Map();
  /** @type {Map<Peer, ScreenTile>} */
  #screens = new Map();
  /** That we share a screen. @type {SharingTile | undefined} */
  #sharing;
  /** @type {AnyTile | undefined} */
  #pinned;
  /** @type {Corner | undefined} */
  #corner;
  #size = { width: 0, height: 0 };
  #least = 0;
  #isPlanned = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #still;
  #looks = 0;

  /**
   * @param {HTMLElement} host of all the tiles
   * @param {{ stopScreen: () => void, signal: AbortSignal }} options signal: aborts when the page ends
   */
  attach(host, { stopScreen, signal }) {
    this.#host = host;
    this.stopScreen = stopScreen;
    host.append(this.#own);
    const observer = new ResizeObserver(() => this.#resized());
    observer.observe(host);
    host.addEventListener('reshape', () => this.#plan(), { signal });
    host.addEventListener('dblclick', ({ target }) => this.#doublePressed(target), { signal });
    host.addEventListener('click', ({ target }) => {
      if (target instanceof Element && target.closest('.unpin')) this.#pin(undefined);
    }, { signal });
    const timer = setInterval(() => document.hidden || this.#look(), LISTEN_MS);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      observer.disconnect();
    });
  }

  /**
   * @param {string} name
   * @param {Tracks} tracks
   */
  showOwn(name, tracks) {
    this.#own.showLocal(name, tracks);
    this.#corner ??= new Corner(this.#own, () => this.#plan());
    if (!!tracks.screen === !!this.#sharing) return;
    if (this.#sharing) {
      this.#take(this.#sharing);
      this.#sharing = undefined;
    } else {
      this.#sharing = new SharingTile();
      this.#own.before(this.#sharing);
      this.#sharing.watch(() => this.stopScreen?.());
    }
    this.#plan();
  }

  /** @param {Peer} peer */
  add(peer) {
    const tile = new Tile();
    this.#peers.set(peer, tile);
    (this.#sharing ?? this.#own).before(tile);
    tile.watch(peer);
    peer.on('sources', seldom(() => this.#showScreen(peer)));
    this.#showScreen(peer);
    this.#plan();
  }

  /** Shows the name that a peer has now. @param {Peer} peer */
  rename(peer) {
    this.#peers.get(peer)?.showName(peer.name);
    this.#screens.get(peer)?.showName(peer.name);
  }

  /** @param {Peer} peer */
  remove(peer) {
    for (const tile of [this.#peers.get(peer), this.#screens.get(peer)]) if (tile) this.#take(tile);
    this.#peers.delete(peer);
    this.#screens.delete(peer);
    this.#plan();
  }

  /** @param {Peer | 'me'} who */
  of(who) {
    return who === 'me' ? this.#own : this.#peers.get(who);
  }

  /**
   * @param {Peer} peer
   * @param {boolean} away the server cannot reach them
   */
  showAway(peer, away) {
    this.#peers.get(peer)?.showAway(away);
  }

  /** For the menu of a person. @param {Peer | 'me'} who @returns {Action} */
  pinAction(who) {
    const isPinned = () => this.#pinned !== undefined && this.#pinned === this.of(who);
    return {
      testid: 'pin',
      icon: 'pin',
      label: () => say(isPinned() ? 'stage.unpin' : 'stage.pin'),
      shown: () => this.#all.length > 2,
      run: () => this.#pin(isPinned() ? undefined : this.of(who)),
    };
  }

  /**
   * Makes the tile at a place large, as counted from 1 in the order of reading, or as it was if it is large by that; 0 ends it.
   *
   * @param {number} place
   */
  pinPlace(place) {
    const tile = this.#all[place - 1];
    this.#pin(tile === this.#pinned ? undefined : tile);
  }

  /** In the order of reading. @returns {AnyTile[]} */
  get #all() {
    return /** @type {AnyTile[]} */ ([...(this.#host?.children ?? [])]);
  }

  /** Who is pinned, if it is one of the others. @returns {Peer | undefined} */
  get pinned() {
    return [...this.#peers].find(([, tile]) => tile === this.#pinned)?.[0];
  }

  /** What is pinned, or the screens; or the only other person, to whom we show our screen. @returns {AnyTile[]} */
  get #large() {
    if (this.#pinned) return [this.#pinned];
    if (this.#screens.size === 0 && this.#sharing && this.#peers.size === 1) return [...this.#peers.values()];
    return [...this.#screens.values()];
  }

  /** @param {Peer} peer */
  #showScreen(peer) {
    const shown = this.#screens.get(peer);
    if (!this.#peers.has(peer) || peer.sources.screen === !!shown) return;
    if (shown) {
      this.#take(shown);
      this.#screens.delete(peer);
    } else {
      const screen = new ScreenTile();
      this.#screens.set(peer, screen);
      const first = this.#all.find((tile) => tile instanceof Tile);
      first?.before(screen);
      screen.watch(peer);
    }
    this.#plan();
  }

  /** @param {AnyTile} tile */
  #take(tile) {
    const hadFocus = tile.contains(document.activeElement);
    tile.remove();
    if (hadFocus) giveFocus(undefined);
    if (this.#pinned === tile) this.#pinned = undefined;
  }

  /** @param {AnyTile | undefined} tile */
  #pin(tile) {
    this.#pinned?.removeAttribute('data-pinned');
    this.#pinned = tile;
    tile?.setAttribute('data-pinned', '');
    this.#host?.dispatchEvent(new Event('pinned', { bubbles: true }));
    this.#plan();
  }

  /** @param {EventTarget | null} target */
  #doublePressed(target) {
    if (!(target instanceof Element) || target.closest('button, .popup')) return;
    const tile = this.#all.find((tile) => tile.contains(target));
    if (tile && this.#all.length > 2) this.#pin(tile === this.#pinned ? undefined : tile);
  }

  #look() {
    const redraws = ++this.#looks % REDRAW_EVERY === 0;
    for (const tile of this.#peers.values()) {
      tile.hear();
      if (redraws) tile.redraw();
    }
    if (redraws) this.#own.redraw();
  }

  #resized() {
    const { clientWidth: width, clientHeight: height } = this.#host ?? { clientWidth: 0, clientHeight: 0 };
    // With the window, tiles change at once: a tile on its way might lie outside.
    if (width !== this.#size.width) this.#host?.toggleAttribute('data-moving', false);
    this.#size = { width, height };
    this.#arrange();
  }

  /** Arranges the tiles once all that changes now has changed. */
  #plan() {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      this.#host?.toggleAttribute('data-moving', true);
      clearTimeout(this.#still);
      this.#still = setTimeout(() => this.#host?.toggleAttribute('data-moving', false), MOVING_MS);
      this.#arrange();
    });
  }

  #arrange() {
    const host = this.#host;
    if (!host || !this.#size.width) return;
    const all = this.#all;
    const large = this.#large;
    const others = all.filter((tile) => !large.includes(tile));
    const isPair = all.length === 2 && all.every((tile) => tile instanceof Tile);
    const layout = all.length === 1 ? 'alone' : isPair ? 'pair' : large.length > 0 ? 'split' : 'grid';
    host.dataset.layout = layout;
    host.dataset.corner = this.#corner?.name;
    if (layout === 'split') this.#reserve(others.length, large.length);
    else this.#reserve(isPair ? 1 : all.length);
    const { width, height } = this.#size;
    const whole = { left: 0, top: 0, width, height };
    if (layout === 'split') {
      const boxes = withStrip(large.map(({ shape }) => shape), others.map(({ shape }) => shape), width, height);
      for (const [i, tile] of [...large, ...others].entries()) place(tile, boxes[i]);
    } else if (layout === 'grid') {
      const boxes = inGrid(all.map(({ shape }) => shape), whole);
      for (const [i, tile] of all.entries()) place(tile, boxes[i]);
    } else {
      place(/** @type {AnyTile} */ (all[0]), whole);
      if (isPair) place(this.#own, this.#corner?.box(this.#own.shape, width, height));
    }
    for (const tile of all) if (tile instanceof Tile) tile.refresh();
  }

  /** Has the stage be as high as it must. @param {number} tiles @param {number} [large] */
  #reserve(tiles, large) {
    const least = leastHeight(tiles, this.#size.width, large);
    if (!this.#host || least === this.#least) return;
    this.#least = least;
    this.#host.style.setProperty('--least', `${least}px`);
    this.#size.height = this.#host.clientHeight; // The observer would say so only after a picture of the former one.
  }
}

/**
 * @param {AnyTile} tile
 * @param {Box | undefined} box undefined: there is no room
 */
function place(tile, box) {
  tile.hidden = !box;
  if (!box) return;
  // In whole pixels, so that pictures are sharp, and none lies on another.
  for (const side of /** @type {const} */ (['left', 'top'])) tile.style[side] = `${Math.round(box[side])}px`;
  for (const side of /** @type {const} */ (['width', 'height'])) tile.style[side] = `${Math.floor(box[side])}px`;
  if (tile instanceof Tile) tile.resized(box.width, box.height);
}
