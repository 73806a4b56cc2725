// @ts-check
import { TurnpikeError, codeOf } from '../error.js';
import { askApi } from './api.js';

/**
 * @typedef {'guest' | 'member' | 'moderator' | 'admin'} InviteRole
 *
 * @typedef {object} InviteRequest
 * @property {string} [room] its id; may be left out by a client that is in one room
 * @property {InviteRole} [role] of those who come by it, not above one's own; default: guest
 * @property {number} [uses] so many people; default, or 0: any number
 * @property {number} [expiresIn] seconds; default: a day
 *
 * @typedef {object} Invite an invite that we have made
 * @property {string} id
 * @property {string} link lets people in
 * @property {string} invite the part of the link for `getTicket`
 * @property {string} room
 * @property {InviteRole} role
 * @property {number} uses 0: any number
 * @property {number} used
 * @property {string} expires
 *
 * @typedef {Pick<Invite, 'room' | 'role' | 'uses' | 'used' | 'expires'>} OwnInvite the invite by which we came
 *
 * @typedef {object} InviteList
 * @property {Invite[]} invites that we have made and are good
 * @property {OwnInvite} [yours]
 * @property {InviteRole[]} roles that we may give; none: we may make no invites
 */

const PATH = '/api/v1/invites';

/** The invites of a session, which shows itself by its newest resume token. */
export class Invites {
  #url;
  #token;
  #online;

  /**
   * @param {string | URL | undefined} url of the server
   * @param {() => string | undefined} token the newest; undefined: the session is over
   * @param {(signal: AbortSignal | undefined) => Promise<unknown>} online resolves when the session is online
   */
  constructor(url, token, online) {
    this.#url = url;
    this.#token = token;
    this.#online = online;
  }

  /** @param {InviteRequest} invite @param {AbortSignal} [signal] @returns {Promise<Invite>} */
  create({ room, role, uses, expiresIn }, signal) {
    return this.#ask(PATH, { method: 'POST', body: { room, role, uses, expiresIn } }, signal);
  }

  /** @param {AbortSignal} [signal] @returns {Promise<InviteList>} */
  list(signal) {
    return this.#ask(PATH, {}, signal);
  }

  /** @param {string} id @param {AbortSignal} [signal] */
  async revoke(id, signal) {
    await this.#ask(`${PATH}/${encodeURIComponent(id)}`, { method: 'DELETE' }, signal);
  }

  /**
   * @param {string} path
   * @param {{ method?: string, body?: unknown }} request
   * @param {AbortSignal | undefined} signal
   */
  async #ask(path, request, signal) {
    for (let last = false; ; last = true) {
      signal?.throwIfAborted();
      await this.#online(signal);
      const bearer = this.#token();
      if (bearer === undefined) throw new TurnpikeError('no-such-session', 'The server keeps no sessions, so that they can make no invites.');
      try {
        return await askApi(path, { ...request, url: this.#url, bearer, signal });
      } catch (error) {
        // The session came back meanwhile, and has another token.
        if (last || codeOf(error) !== 'no-such-session' || bearer === this.#token()) throw error;
      }
    }
  }
}
