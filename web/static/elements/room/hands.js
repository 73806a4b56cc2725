// @ts-check
/**
 * @import { Peer, Room } from '../../sdk/turnpike.js'
 *
 * @typedef {object} HandsView what shows the hands
 * @property {(who: Peer | 'me', place: number) => void} show place in the order of raising, from 1 on; 0: the hand is down
 * @property {(who: Peer) => void} raised says so
 * @property {() => void} lowered the host has lowered our hand
 */

export const HAND = 'page.hand';
/** Turns count the hands that were raised since none was up. Nobody needs more. */
const MAX_TURN = 1e9;
/** A peer that missed something may know any turn, and must be told even that the hand is down. */
const UNKNOWN = -1;
/** A peer who raises and lowers the hand all the time is drawn this often, and told of this often. */
const DRAW_MS = 100;
const TELL_MS = 5000;

/**
 * The raised hands of a room, in the order of raising, which is the same for everybody: each hand says its turn, one more than
 * the last that its owner knew of. Two who raise theirs at once are in the order of their sessions.
 */
export class Hands {
  #room;
  #session;
  #view;
  /** Ours; 0: it is down. */
  #turn = 0;
  /** @type {Map<Peer, number>} */
  #turns = new Map();
  /** What each peer knows of our hand. @type {Map<Peer, number>} */
  #told = new Map();
  /** What is drawn. @type {Map<Peer | 'me', number>} */
  #shown = new Map();
  /** When a peer's hand was last told of. @type {Map<Peer, number>} */
  #toldOf = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #drawing;

  /**
   * @param {Room} room
   * @param {() => string} session our own
   * @param {HandsView} view
   * @param {AbortSignal} signal ends the watch
   */
  constructor(room, session, view, signal) {
    this.#room = room;
    this.#session = session;
    this.#view = view;
    room.on('data', ({ peer, data, topic }) => topic === HAND && this.#receive(peer, data), { signal });
    room.on('peer-back', ({ peer, fresh }) => fresh && this.#begunAnew(peer), { signal });
    const end = room.eachPeer((peer, gone) => {
      this.#tell(peer);
      // Over a new connection a peer may have met us anew. And what it could not be told before there was one, it is told now.
      peer.on('state', (state) => state === 'connected' && this.#tellAgain(peer), { signal: gone });
      peer.on('sources', () => this.#tell(peer), { signal: gone });
      gone.addEventListener('abort', () => this.#forget(peer));
    });
    signal.addEventListener('abort', () => {
      end();
      this.#turn = 0;
      this.#draw(); // Our own tile outlives the stay.
    });
  }

  /** Whether our own hand is up. */
  get isUp() {
    return this.#turn > 0;
  }

  /** @param {Peer} peer */
  isUpOf(peer) {
    return this.#turns.has(peer);
  }

  /** Raises our hand, or lowers it. */
  toggle() {
    this.#set(this.isUp ? 0 : Math.min(MAX_TURN, Math.max(0, ...this.#turns.values()) + 1));
  }

  /** Lowers somebody else's hand, which only the host may do: others would not listen. @param {Peer} peer */
  lower(peer) {
    this.#room.send({ lower: true }, { to: peer, topic: HAND }).catch(() => {}); // The hand stays up, for all to see.
  }

  /** @param {number} turn */
  #set(turn) {
    this.#turn = turn;
    for (const peer of this.#room.peers.values()) this.#tell(peer);
    this.#draw();
  }

  /** Tells a peer of our hand, unless the peer knows. @param {Peer} peer */
  async #tell(peer) {
    const turn = this.#turn;
    if ((this.#told.get(peer) ?? 0) === turn) return;
    this.#told.set(peer, turn);
    const sending = this.#room.send(turn ? { raised: true, turn } : { raised: false }, { to: peer, topic: HAND });
    const isMissed = await sending.then(({ missed }) => missed.length > 0, () => true); // The server refuses to say too much at once.
    if (isMissed && this.#told.get(peer) === turn) this.#told.set(peer, UNKNOWN);
  }

  /** @param {Peer} peer */
  #tellAgain(peer) {
    if (this.#told.get(peer) !== UNKNOWN) this.#told.delete(peer);
    this.#tell(peer);
  }

  /** A peer's page was loaded again: it knows nothing, and its hand is down unless it says so. @param {Peer} peer */
  #begunAnew(peer) {
    this.#turns.delete(peer);
    this.#tellAgain(peer);
    this.#changed();
  }

  /** @param {Peer} peer */
  #forget(peer) {
    for (const map of [this.#turns, this.#told, this.#shown, this.#toldOf]) map.delete(peer);
    this.#changed();
  }

  /**
   * @param {Peer} peer
   * @param {any} data may be anything, since it comes from the peer
   */
  #receive(peer, data) {
    if (data?.lower === true && this.#room.host === peer && this.isUp) {
      this.#set(0);
      this.#view.lowered();
    } else if (data?.raised === false) {
      this.#turns.delete(peer);
    } else if (data?.raised === true && Number.isInteger(data.turn) && data.turn > 0 && data.turn <= MAX_TURN) {
      this.#turns.set(peer, data.turn);
    } else {
      return;
    }
    this.#changed();
  }

  #changed() {
    this.#drawing ??= setTimeout(() => this.#draw(), DRAW_MS);
  }

  #draw() {
    clearTimeout(this.#drawing);
    this.#drawing = undefined;
    /** @type {[who: Peer | 'me', turn: number][]} */
    const up = [...this.#turns];
    if (this.isUp) up.push(['me', this.#turn]);
    up.sort(([a, first], [b, second]) => first - second || (this.#idOf(a) < this.#idOf(b) ? -1 : 1));
    const places = new Map(up.map(([who], place) => [who, place + 1]));
    for (const who of new Set([...this.#shown.keys(), ...places.keys()])) {
      const place = places.get(who) ?? 0;
      if (this.#shown.get(who) === place) continue;
      if (who !== 'me' && !this.#shown.has(who)) this.#tellOf(who);
      this.#view.show(who, place);
    }
    this.#shown = places;
  }

  /** @param {Peer} peer */
  #tellOf(peer) {
    const now = performance.now();
    if (now - (this.#toldOf.get(peer) ?? -Infinity) < TELL_MS) return;
    this.#toldOf.set(peer, now);
    this.#view.raised(peer);
  }

  /** @param {Peer | 'me'} who */
  #idOf(who) {
    return who === 'me' ? this.#session() : who.session;
  }
}
