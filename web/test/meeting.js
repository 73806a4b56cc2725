// @ts-check
// Rooms that reach each other at once, as far as the page's own topics need them.
import { HAND, Hands } from '../static/elements/room/hands.js';
import { Emitter, emit } from '../static/sdk/emitter.js';

/**
 * Another person.
 *
 * @extends {Emitter<any, any>}
 */
export class FakePeer extends Emitter {
  /** @param {string} session @param {FakeRoom} home of that person */
  constructor(session, home) {
    super();
    this.session = this.id = this.name = session;
    this.home = home;
  }
}

/** @extends {Emitter<any, any>} */
export class FakeRoom extends Emitter {
  /** @type {Map<string, FakePeer>} */
  peers = new Map();
  /** @type {FakePeer | 'me' | undefined} */
  host = undefined;
  /** @type {any[]} */
  sent = [];
  isReached = true;

  /** @param {string} session */
  constructor(session) {
    super();
    this.session = session;
  }

  /** @param {(peer: any, gone: AbortSignal) => void} handler */
  eachPeer(handler) {
    const gones = new Map();
    const meet = (/** @type {FakePeer} */ peer) => {
      gones.set(peer, new AbortController());
      handler(peer, gones.get(peer).signal);
    };
    for (const peer of this.peers.values()) meet(peer);
    const ends = [this.on('peer-joined', ({ peer }) => meet(peer)), this.on('peer-left', ({ peer }) => gones.get(peer)?.abort())];
    return () => ends.forEach((end) => end());
  }

  /** @param {any} data @param {{ to: FakePeer, topic: string }} options */
  async send(data, { to, topic }) {
    if (!this.isReached) return { missed: [to] };
    this.sent.push({ to: to.session, data });
    const us = to.home.peers.get(this.session);
    if (us) emit(to.home, 'data', { peer: us, data, topic });
    return { missed: [] };
  }

  /** @param {any} data @param {string} from */
  hears(data, from, topic = HAND) {
    emit(this, 'data', { peer: this.peers.get(from), data, topic });
  }
}

/** A room for each person, with the others in it. @param {...string} names */
export function meeting(...names) {
  const rooms = names.map((name) => new FakeRoom(name));
  for (const room of rooms) {
    for (const other of rooms) if (other !== room) room.peers.set(other.session, new FakePeer(other.session, other));
  }
  return rooms;
}

/** The hands of a room, where each was shown last, and what was said. @param {FakeRoom} room */
export function handsOf(room) {
  /** @type {Record<string, number>} */
  const places = {};
  /** @type {string[]} */
  const said = [];
  const ended = new AbortController();
  const hands = new Hands(/** @type {any} */ (room), () => room.session, {
    show: (who, place) => void (places[who === 'me' ? room.session : who.session] = place),
    raised: (peer) => void said.push(peer.name),
    lowered: () => void said.push('lowered'),
  }, ended.signal);
  return { hands, places, said, ended };
}
