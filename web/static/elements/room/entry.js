// @ts-check
import { isRoomId } from '../../roomlinks.js';
import { codeOf } from '../../sdk/error.js';
import { wordsFor, wordsOf } from '../../words.js';
import { say } from '../../words/room.js';

/**
 * @import { App } from '../../app.js'
 * @import { Room } from '../../sdk/turnpike.js'
 * @import { Words } from '../../words.js'
 *
 * @typedef {object} EntryPage what an entry needs of its page
 * @property {App} app
 * @property {string} roomId
 * @property {AbortSignal} signal aborts when the page ends
 * @property {() => { size: number, waitingRoom?: boolean }} room if we have to create it
 * @property {(blocked: boolean) => void} setBlocked hides or shows the room, in whose place the notice stands
 * @property {(room: Room) => void} entered
 */

/** A join without an answer, although the server is there, is tried again after so long. */
const AGAIN_MS = 1000;

/** The way into a room: it joins, waits to be let in, or says why we cannot be in the room. */
export class Entry {
  #page;
  /** The server could not be reached. We try so again once it can be. @type {{ create: boolean } | undefined} */
  #whenOnline;

  /** @param {EntryPage} page */
  constructor(page) {
    this.#page = page;
    page.app.session.on('state', (state) => state === 'online' && this.#whenOnline && this.enter(this.#whenOnline), { signal: page.signal });
  }

  /** @param {{ create?: boolean }} [options] create: make the room if it does not exist */
  async enter({ create = false } = {}) {
    this.#whenOnline = undefined;
    const { app, roomId, signal: ended } = this.#page;
    if (!isRoomId(roomId)) return this.block(wordsOf('bad-room'));
    const { session } = app;
    const client = await session.settled();
    if (ended.aborted || client.status === 'closed') return;
    const attempt = new AbortController();
    const { signal } = attempt;
    ended.addEventListener('abort', () => attempt.abort());
    try {
      const options = {
        create: create || session.isInvitedTo(roomId), ...this.#page.room(), signal,
        onWaiting: () => this.#wait(attempt, 'waiting'),
        onFull: () => this.#wait(attempt, 'full-for-now'),
      };
      const room = client.rooms.get(roomId) ?? (await client.join(roomId, options));
      if (ended.aborted) await room.leave();
      else this.#page.entered(room);
    } catch (error) {
      if (signal.aborted) return;
      this.#failed(error, create);
    }
  }

  /** Says why we cannot be in this room, and what to do. @param {Words} words */
  block(words) {
    this.#page.setBlocked(true);
    const home = { label: say('page.to-start'), run: () => this.#page.app.navigate('/') };
    const retry = { label: say('page.again'), run: () => this.#retry(false) };
    const create = { label: say('entry.create'), testid: 'create-missing', run: () => this.#retry(true) };
    const first = words.code === 'not-existing' ? [create] : ['bad-room', 'kicked'].includes(words.code) ? [] : [retry];
    this.#page.app.notice.show({ ...words, actions: [...first, home], whole: true });
  }

  /**
   * @param {unknown} error
   * @param {boolean} create
   */
  #failed(error, create) {
    if (this.#page.signal.aborted || codeOf(error) === 'closed') return; // The page says why the client is closed.
    if (['offline', 'timeout'].includes(codeOf(error))) {
      const again = this.#whenOnline = { create };
      // We may be online already, so that nobody would tell us.
      setTimeout(() => this.#whenOnline === again && this.#page.app.session.state === 'online' && this.enter(again), AGAIN_MS);
      return;
    }
    this.block(wordsFor(error));
  }

  /**
   * Shows that we wait to be let in, or for a place.
   *
   * @param {AbortController} attempt to enter
   * @param {string} code of the words
   */
  #wait(attempt, code) {
    this.#page.setBlocked(true);
    const giveUp = () => {
      attempt.abort();
      this.#page.app.navigate('/');
    };
    const actions = [{ label: say('entry.give-up'), testid: 'give-up', quiet: true, run: giveUp }];
    this.#page.app.notice.show({ ...wordsOf(code), actions, whole: true });
  }

  /** @param {boolean} create */
  #retry(create) {
    this.#page.setBlocked(false);
    this.enter({ create });
  }
}
