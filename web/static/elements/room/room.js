// @ts-check
import { DeviceChoices } from '../../choices.js';
import { copyLink } from '../../clipboard.js';
import { fill, find, findButton, write } from '../../dom.js';
import { RoomInvites } from '../../roominvites.js';
import { isRoomId } from '../../roomlinks.js';
import { Devices } from '../../sdk/devices.js';
import { ALL_SEEN } from '../../sdk/peer/limits.js';
import { keepAwake } from '../../wakelock.js';
import { wordsOf } from '../../words.js';
import { say } from '../../words/room.js';
import { ChatPanel } from '../chat/chat.js';
import { Conversation } from '../chat/conversation.js';
import { Controls } from './controls.js';
import { Door } from './door.js';
import { Entry } from './entry.js';
import { InviteDialog } from './invite.js';
import { Lobby } from '../lobby/lobby.js';
import { offerDevices } from '../devices/offers.js';
import { Lock } from './lock.js';
import { Offers } from './offers.js';
import { Remove } from './remove.js';
import { Tiles } from '../stage/tiles.js';
import { TroubleStrip } from './trouble.js';

/**
 * @import { App } from '../../app.js'
 * @import { OfferedLink } from '../../roominvites.js'
 * @import { Peer, Room } from '../../sdk/turnpike.js'
 */

/** Of a room that is made from its link. */
const DEFAULT_SIZE = 8;
const NO_DEVICES = { camera: false, microphone: false };
/** @type {Record<string, string>} by the reason of `peer-left` */
const HOW_THEY_WENT = { gone: 'room.gone', kicked: 'room.kicked' };

/** The page of a room: people, chat and controls, or the reason why we cannot be in it. */
export class RoomPage extends HTMLElement {
  #ended = new AbortController();
  /** Ends with our stay in the room. The page may go on, to say why we are out. */
  #stay = new AbortController();
  #choices = new DeviceChoices();
  #devices = new Devices({ mediaDevices: this.#choices.mediaDevices });
  /** The devices to open when we come into the room: after a stay, those that were on. */
  #wanted = this.#choices.wanted;
  /** The devices that the browser is opening, or asks about. */
  #starting = { wanted: NO_DEVICES, given: new AbortController(), done: Promise.resolve() };
  #isReleasing = false;
  /** @type {Room | undefined} */
  #room;
  #entry;
  #invites;
  #tiles = new Tiles();
  /** @type {Offers | undefined} */
  #offers;
  /** @type {Conversation | undefined} */
  #conversation;
  /** The page was reloaded while we were in the room: the people here are no news. */
  #isReload = false;

  /**
   * @param {App} app
   * @param {string} id
   */
  constructor(app, id) {
    super();
    this.app = app;
    this.roomId = id;
    this.heading = id;
    this.#invites = new RoomInvites(app.session, id);
    this.#entry = new Entry({
      app,
      roomId: id,
      signal: this.#ended.signal,
      room: () => (this.#room ? { size: this.#room.size } : { size: DEFAULT_SIZE, ...history.state?.newRoom }),
      setBlocked: (blocked) => this.#setBlocked(blocked),
      entered: (room) => this.#entered(room),
    });
  }

  connectedCallback() {
    const { session } = this.app;
    const signal = this.#ended.signal;
    fill(this, 'room');
    this.toggleAttribute('data-entering', true);
    write(this, '[data-testid=room-name]', this.roomId);
    this.#offers = new Offers({
      app: this.app,
      page: this,
      controls: this.#controls,
      devices: this.#devices,
      tiles: this.#tiles,
      hangup: () => this.#hangup(),
      invite: () => this.#invite.open(),
      remove: (peer) => this.#removePerson(peer),
    });
    this.#tiles.attach(find(this, '.tiles', HTMLElement), { stopScreen: () => this.#devices.stopScreen(), signal });
    findButton(this, 'copy-link').addEventListener('click', () => this.#copyLink());
    findButton(this, 'invite-people').addEventListener('click', () => this.#invite.open());
    this.#invite.watch(this.app, this.#invites);
    this.#choices.follow(this.#devices, () => this.#isReleasing); // Before our own tile shows what it notes.
    this.#devices.on('tracks', () => this.#share());
    this.#devices.on('lost', ({ source }) => source === 'screen' && this.#devices.stopScreen()); // Its sound, too.
    this.#trouble.watch(this.#devices);
    offerDevices({
      app: this.app,
      page: this,
      controls: this.#controls,
      devices: this.#devices,
      choices: this.#choices,
      signal,
      turned: () => this.#showOwn(),
    });
    session.on('name', () => this.#showOwn(), { signal });
    this.#conversation = new Conversation(this.app, this, this.roomId, () => this.#mayComeBack, signal);
    this.#isReload = this.#conversation.isReload;
    if (this.#isReload) this.#wanted = this.#choices.wantedAgain(this.roomId);
    this.#showOwn();
    this.#arrive();
  }

  disconnectedCallback() {
    this.#ended.abort();
    this.#stay.abort();
    find(this, 'tp-remove', Remove).close();
    this.#devices.stop();
    this.#leave();
  }

  /** Whether a reload of the page leads back into the room; also that of a page that was not back in it yet. */
  get #mayComeBack() {
    return this.#room?.isLeft === false || (this.#isReload && !this.#room && !this.#lobby.isOpen);
  }

  /** People who are in the room already, after a reload or by a ring, go straight in. All others come into the lobby first. */
  async #arrive() {
    const { session } = this.app;
    const isIn = () => session.client.rooms.has(this.roomId);
    if (!isRoomId(this.roomId)) return this.#entry.enter(); // It says what is wrong.
    if (!isIn() && !this.#isReload) this.#openLobby();
    await session.settled();
    if (this.#ended.signal.aborted) return;
    if (isIn()) this.#entry.enter();
    else if (!this.#lobby.isOpen) this.#openLobby(); // Our session has ended meanwhile.
  }

  #openLobby() {
    this.toggleAttribute('data-lobby', true);
    const starting = this.#preview();
    this.#lobby.open({
      app: this.app,
      roomId: this.roomId,
      devices: this.#devices,
      choices: this.#choices,
      starting: () => starting,
      join: ({ silent }) => this.#join(silent),
    });
    this.#lobby.takeTrouble(this.#trouble);
  }

  /** Opens the devices for the lobby. A tab that was opened for later turns no camera on before somebody looks at it. */
  async #preview() {
    if (this.app.session.onlyWrites) return;
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true, signal: this.#ended.signal }));
      if (!this.#lobby.isOpen) return;
    }
    this.#start(this.#choices.wanted);
    await this.#starting.done;
  }

  /** @param {boolean} silent without camera and microphone */
  #join(silent) {
    this.#choices.enter(this.roomId, silent);
    if (silent) {
      this.#release();
      this.#wanted = NO_DEVICES;
    }
    this.#entry.enter();
  }

  #closeLobby() {
    if (!this.#lobby.isOpen) return;
    find(this, 'tp-controls', Controls).before(this.#trouble);
    this.#lobby.close();
    this.toggleAttribute('data-lobby', false);
    find(this, '.room-head h1', HTMLHeadingElement).focus({ preventScroll: true });
  }

  /** @param {{ camera: boolean, microphone: boolean }} wanted */
  #start(wanted) {
    this.#wanted = NO_DEVICES;
    const given = new AbortController();
    const done = this.#devices.start({ ...wanted, signal: given.signal }).then(() => {
      if (this.#starting.given === given) this.#starting.wanted = NO_DEVICES;
      return this.#choices.recognize(this.#devices);
    }).catch((error) => {
      if (!given.signal.aborted) throw error;
    });
    this.#starting = { wanted, given, done };
  }

  get #lobby() {
    return find(this, 'tp-lobby', Lobby);
  }

  get #trouble() {
    return find(this, 'tp-trouble', TroubleStrip);
  }

  get #chat() {
    return find(this, 'tp-chat', ChatPanel);
  }

  get #invite() {
    return find(this, 'tp-invite', InviteDialog);
  }

  get #controls() {
    return find(this, 'tp-controls', Controls);
  }

  /** @param {Room} room */
  #entered(room) {
    const again = this.#room !== undefined || this.#isReload;
    this.#stay.abort();
    this.#stay = new AbortController();
    const { signal } = this.#stay;
    keepAwake(signal);
    this.#room = room;
    history.replaceState(null, ''); // The room is there: nobody makes it again.
    this.#admitted();
    this.#closeLobby();
    this.toggleAttribute('data-entering', false);
    find(this, 'tp-lock', Lock).watch(this.app, room, signal);
    find(this, 'tp-door', Door).watch(this.app, room, signal);
    this.#offers?.enter(room, signal);
    room.on('host', ({ host }) => this.#hostChanged(room, host), { signal });
    room.on('locked', ({ by }) => this.#logAction(by, 'room.locked'), { signal });
    room.on('unlocked', ({ by }) => this.#logAction(by, 'room.unlocked'), { signal });
    room.on('peer-left', ({ peer, reason }) => this.#removePeer(peer, reason), { signal });
    room.on('peer-renamed', ({ peer, former }) => this.#renamed(peer, former), { signal });
    room.on('peer-away', ({ peer }) => this.#tiles.showAway(peer, true), { signal });
    room.on('peer-back', ({ peer }) => this.#tiles.showAway(peer, false), { signal });
    this.#conversation?.enter(room, signal);
    room.on('left', ({ reason }) => this.#left(room, reason), { signal }); // After the chat's listener, since it may end our stay.
    let news = again ? '' : 'room.is-here';
    const end = room.eachPeer((peer) => this.#addPeer(peer, news));
    signal.addEventListener('abort', end);
    news = 'room.came-in';
    this.#count();
    this.#share();
    const { onlyWrites } = this.app.session;
    this.toggleAttribute('data-only-writes', onlyWrites);
    if (!onlyWrites && (this.#wanted.camera || this.#wanted.microphone)) this.#start(this.#wanted);
  }

  /** @param {boolean} blocked hides the room, which we are not in */
  #setBlocked(blocked) {
    this.toggleAttribute('data-blocked', blocked);
    if (!blocked) return;
    this.#stay.abort();
    // They would hold back the page behind them, although nobody sees them.
    for (const dialog of this.querySelectorAll('dialog')) dialog.close();
    this.#release();
  }

  /** Turns camera and microphone off until we are in the room again: nobody wants to be on outside. */
  #release() {
    const { camera, microphone } = this.#devices.tracks;
    const { wanted } = this.#starting;
    this.#wanted = {
      camera: this.#wanted.camera || wanted.camera || !!camera,
      microphone: this.#wanted.microphone || wanted.microphone || !!microphone?.enabled,
    };
    this.#starting.wanted = NO_DEVICES;
    this.#starting.given.abort();
    this.#isReleasing = true;
    this.#devices.close('camera');
    this.#devices.close('microphone');
    this.#devices.stopScreen();
    this.#isReleasing = false;
  }

  /** Hides the waiting screen, if there was one. */
  #admitted() {
    if (!this.hasAttribute('data-blocked')) return;
    this.toggleAttribute('data-blocked', false);
    this.app.notice.clear();
    find(this, 'h1', HTMLHeadingElement).focus({ preventScroll: true });
  }

  /**
   * @param {Room} room
   * @param {Peer | 'me' | undefined} host
   */
  #hostChanged(room, host) {
    this.#logAction(host, 'room.hosts');
    for (const peer of room.peers.values()) this.#tiles.of(peer)?.refresh();
  }

  /**
   * @param {Peer | 'me' | undefined} who did something; undefined if nobody knows
   * @param {string} what they did: the key of a message, which has another for ourselves
   */
  #logAction(who, what) {
    if (who) this.#chat.showEvent(who === 'me' ? say(`${what}-by-me`) : say(what, { name: who.name }));
  }

  /** @param {Peer} peer */
  async #removePerson(peer) {
    if (!(await find(this, 'tp-remove', Remove).ask(peer.name))) return;
    await this.app.notice.attempt(() => this.#room?.kick(peer));
  }

  #share() {
    this.#showOwn();
    if (!this.hasAttribute('data-blocked')) this.#room?.share(this.#devices.tracks);
    else if (Object.values(this.#devices.tracks).some((track) => track)) this.#release(); // The user has allowed them only now.
  }

  #showOwn() {
    this.toggleAttribute('data-plain', !this.#choices.isMirrored);
    this.#tiles.showOwn(this.app.session.name, this.#devices.tracks);
  }

  /**
   * @param {Peer} peer
   * @param {string} news about them for the log: the key of a message, or ''
   */
  #addPeer(peer, news) {
    this.#tiles.add(peer);
    if (this.#room) this.#tiles.of(peer)?.offer(this.#offers?.personActions(this.#room, peer) ?? []);
    peer.on('sources', () => this.#tiles.of(peer)?.refresh());
    peer.on('error', (error) => console.warn(`negotiation with ${peer.name}:`, error));
    if (news) this.#chat.showEvent(say(news, { name: peer.name }));
    this.#count();
  }

  /**
   * @param {Peer} peer
   * @param {string} reason
   */
  #removePeer(peer, reason) {
    this.#tiles.remove(peer);
    if (reason !== 'closed') this.#chat.showEvent(say(HOW_THEY_WENT[reason] ?? 'room.left', { name: peer.name }));
    this.#count();
  }

  /**
   * @param {Peer} peer
   * @param {string} former
   */
  #renamed(peer, former) {
    this.#tiles.rename(peer);
    this.#tiles.of(peer)?.refresh();
    this.#chat.showEvent(say('room.renamed', { former, name: peer.name }));
  }

  /**
   * @param {Room} room
   * @param {string} reason
   */
  #left(room, reason) {
    find(this, 'tp-remove', Remove).close();
    if (room !== this.#room || reason === 'leave' || reason === 'closed') return;
    if (reason !== 'hangup') return this.#entry.block(wordsOf(reason));
    this.app.navigate('/');
    this.app.notice.show({ code: 'hangup', title: say('call.ended') });
  }

  #count() {
    const room = this.#room;
    if (!room) return;
    const people = room.peers.size + 1;
    this.toggleAttribute('data-alone', people === 1);
    write(this, '.count', say('room.people', { count: people, size: room.size }));
    write(this, '.waiting', this.app.session.onlyWrites ? say('lobby.only-writes') : hint(people, [...room.peers.values()].filter(({ isMediaLess }) => !isMediaLess).length + 1));
  }

  #hangup() {
    this.app.navigate('/');
  }

  #leave() {
    const room = this.#room;
    if (!room || room.isLeft) return;
    const call = [...this.app.session.client.calls.values()].find(({ roomId }) => roomId === room.id);
    if (call) call.hangup();
    else room.leave();
  }

  /** Copies the link, with an invite if there is one to give. */
  async #copyLink() {
    /** @type {Promise<OfferedLink>} */
    const offering = this.#invites.offer().catch(() => ({ link: this.#invites.plain, kind: 'plain' }));
    try {
      await copyLink(findButton(this, 'copy-link'), offering.then(({ link }) => link));
    } catch {
      await this.#invite.open(); // It shows the link, to copy by hand.
    }
  }
}

/**
 * @param {number} people
 * @param {number} withMedia among them
 */
function hint(people, withMedia) {
  if (people === 1) return say('room.alone');
  return withMedia > ALL_SEEN ? say('room.crowded') : '';
}

customElements.define('tp-room', RoomPage);
