// @ts-check
import { roomLink } from './roomlinks.js';
import { storedInvite } from './storage.js';

/**
 * @import { Session } from './session.js'
 * @import { Invite, InviteList, InviteRequest } from './sdk/server/invites.js'
 *
 * @typedef {object} OfferedLink
 * @property {string} link
 * @property {'made' | 'own' | 'plain'} kind made: with an invite of ours; own: with the invite that let us in; plain: with none
 * @property {Pick<Invite, 'role' | 'uses' | 'used' | 'expires'>} [invite]
 */

/** An invite that ends sooner is not offered again. */
const LEAST_LEFT_MS = 3_600_000;
const ROUNDING_MS = 5000;
/** The user waits for the link. */
const PATIENCE_MS = 15_000;

/** The links that let people into one room. */
export class RoomInvites {
  #session;
  #room;

  /**
   * @param {Session} session
   * @param {string} room
   */
  constructor(session, room) {
    this.#session = session;
    this.#room = room;
  }

  /** The room's address, with no invite. */
  get plain() {
    return roomLink(this.#room, location.origin);
  }

  /** The invites that we have made for this room, and what we may make. */
  async list() {
    const list = await this.#session.client.invites({ signal: AbortSignal.timeout(PATIENCE_MS) });
    return { ...list, invites: list.invites.filter(({ room }) => room === this.#room) };
  }

  /** The link to send to people: with an invite if we may make one, or if ours lets in more people. @returns {Promise<OfferedLink>} */
  async offer() {
    const list = await this.list();
    if (list.roles.length === 0) return this.#own(list);
    // None can outlive the invite that let us in. The server rounds down to seconds.
    const most = Date.parse(list.yours?.expires ?? '') || Infinity;
    const enough = Math.min(Date.now() + LEAST_LEFT_MS, most - ROUNDING_MS);
    const known = list.invites.find(({ role, uses, expires }) => role === 'guest' && uses === 0 && Date.parse(expires) >= enough);
    const invite = known ?? (await this.make({}));
    return { link: invite.link, kind: 'made', invite };
  }

  /** @param {Omit<InviteRequest, 'room'>} request @returns {Promise<Invite>} */
  make(request) {
    return this.#session.client.createInvite({ ...request, room: this.#room, signal: AbortSignal.timeout(PATIENCE_MS) });
  }

  /** @param {Invite} invite */
  takeBack({ id }) {
    return this.#session.client.revokeInvite(id, { signal: AbortSignal.timeout(PATIENCE_MS) });
  }

  /** @param {InviteList} list @returns {OfferedLink} */
  #own({ yours }) {
    const token = storedInvite();
    const isGood = yours && yours.room === this.#room && (yours.uses === 0 || yours.used < yours.uses) && Date.parse(yours.expires) > Date.now();
    if (!isGood || !token) return { link: this.plain, kind: 'plain' };
    return { link: roomLink(this.#room, location.origin, token), kind: 'own', invite: yours };
  }
}
