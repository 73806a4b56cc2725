// @ts-check
import { keepWithin, limitOf } from './limits.js';
import { NO_TRACKS, SOURCES, isBase, kindOf } from './sources.js';

/**
 * @import { Source, Tracks } from './sources.js'
 *
 * @typedef {object} SendersOptions
 * @property {RTCPeerConnection} connection
 * @property {typeof MediaStream} MediaStream
 * @property {Tracks} tracks that we send from the start
 * @property {boolean} named whether the peer understands which track is which, beyond a microphone and a camera
 * @property {number} people in the room, by which the limits go
 * @property {boolean} paused the peer does not want the camera now
 */

/**
 * The transceivers that carry our tracks on one connection. The first offer has one for the microphone and one for the
 * camera, so that these never need a negotiation later. A screen and its sound get theirs when they are first shared. A peer
 * who does not know about screens sees ours in the place of the camera.
 */
export class Senders {
  #connection;
  #MediaStream;
  #tracks;
  #named;
  #people;
  #paused;
  /** @type {Map<Source, RTCRtpTransceiver>} */
  #transceivers = new Map();
  /** What each was given last: `sender.track` follows later. @type {Map<Source, MediaStreamTrack | null>} */
  #given = new Map();
  /** @type {Map<boolean, MediaStream>} one for both kinds of a person, and of a screen, keeps sound and picture together */
  #streams = new Map();
  /** Changes one after the other: each setParameters needs the newest parameters. @type {Promise<unknown>} */
  #limiting = Promise.resolve();
  /** A change that has not begun, and knows the newest limits when it does. @type {Promise<unknown> | undefined} */
  #nextLimiting;

  /** @param {SendersOptions} options */
  constructor({ connection, MediaStream, tracks, named, people, paused }) {
    this.#connection = connection;
    this.#MediaStream = MediaStream;
    this.#tracks = tracks;
    this.#named = named;
    this.#people = people;
    this.#paused = paused;
  }

  /** The sources that have a place on the connection, and the mid of each, once it has one. @returns {Map<Source, string | null>} */
  get mids() {
    return new Map([...this.#transceivers].map(([source, { mid }]) => [source, mid]));
  }

  /** Prepares the first offer. */
  offer() {
    const shown = this.#shown;
    for (const source of SOURCES) {
      if (isBase(source) || shown[source]) this.#add(source, shown[source]);
    }
  }

  /** Puts our tracks on the transceivers of an offer of the peer. */
  async answer() {
    const offered = this.#connection.getTransceivers().filter(({ mid }) => mid !== null);
    for (const source of SOURCES.filter(isBase)) {
      const transceiver = offered.find(({ receiver }) => receiver.track.kind === kindOf(source));
      if (!transceiver || this.#transceivers.has(source)) continue;
      this.#transceivers.set(source, transceiver);
      if (transceiver.direction !== 'recvonly') continue;
      transceiver.direction = 'sendrecv';
      transceiver.sender.setStreams?.(this.#streamOf(source));
    }
    await this.#attach();
  }

  /** @param {Tracks} tracks */
  async share(tracks) {
    this.#tracks = tracks;
    await this.#attach();
  }

  /** The peer understands which track is which. */
  async name() {
    if (this.#named) return;
    this.#named = true;
    await this.#attach();
  }

  /**
   * @param {number} people
   * @param {boolean} paused
   */
  async limit(people, paused) {
    this.#people = people;
    this.#paused = paused;
    await this.keepLimits();
  }

  /** Must be called whenever a negotiation is over, too. */
  keepLimits() {
    this.#nextLimiting ??= this.#limiting.catch(() => {}).then(async () => {
      this.#nextLimiting = undefined;
      for (const source of /** @type {const} */ (['camera', 'screen'])) {
        const transceiver = this.#transceivers.get(source);
        if (!transceiver?.sender.track || this.#connection.signalingState === 'closed') continue;
        const isScreen = source === 'screen' || transceiver.sender.track === this.#tracks.screen;
        await keepWithin(transceiver.sender, limitOf(isScreen ? 'screen' : source, this.#people), isScreen || !this.#paused);
      }
    });
    return (this.#limiting = this.#nextLimiting);
  }

  /** What the peer gets. @returns {Tracks} */
  get #shown() {
    const { microphone, camera, screen } = this.#tracks;
    return this.#named ? this.#tracks : { ...NO_TRACKS, microphone, camera: screen ?? camera };
  }

  async #attach() {
    const shown = this.#shown;
    await Promise.all(SOURCES.map(async (source) => {
      const track = shown[source];
      const transceiver = this.#transceivers.get(source);
      if (transceiver) {
        if ((this.#given.get(source) ?? null) === track) return;
        this.#given.set(source, track);
        await transceiver.sender.replaceTrack(track).catch((error) => {
          this.#given.delete(source);
          throw error;
        });
      } else if (track) {
        this.#add(source, track);
      }
    }));
    await this.keepLimits();
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   */
  #add(source, track) {
    const direction = isBase(source) ? 'sendrecv' : 'sendonly';
    const transceiver = this.#connection.addTransceiver(track ?? kindOf(source), { direction, streams: [this.#streamOf(source)] });
    this.#transceivers.set(source, transceiver);
    this.#given.set(source, track);
  }

  /** @param {Source} source */
  #streamOf(source) {
    const base = isBase(source);
    const stream = this.#streams.get(base) ?? new this.#MediaStream();
    this.#streams.set(base, stream);
    return stream;
  }
}
