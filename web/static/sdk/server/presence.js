// @ts-check

/**
 * @import { User } from './messages.js'
 *
 * @typedef {object} PresenceChange
 * @property {User[]} online came, or have another name now
 * @property {User[]} offline
 */

/** Everyone else who is online, as far as the server has told. */
export class Presence {
  /** @type {Map<string, User>} by user */
  users = new Map();
  /** @type {User | undefined} the server has listed those who are online up to here; undefined: all */
  listedTo;
  #changed;

  /** @param {(change: PresenceChange) => void} changed called with what is different */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * These are online, and nobody else so far.
   *
   * @param {User[]} users
   * @param {boolean | undefined} more there are others
   */
  list(users, more) {
    const now = new Set(users.map(({ user }) => user));
    this.listedTo = more ? users.at(-1) : undefined;
    this.#apply(users, [...this.users.values()].filter(({ user }) => !now.has(user)));
  }

  /** The next part of the list. @param {User[]} users @param {boolean | undefined} more there are others */
  add(users, more) {
    this.listedTo = more ? users.at(-1) : undefined;
    this.#apply(users, []);
  }

  /** @param {User[]} users */
  came(users) {
    this.#apply(users, []);
  }

  /** @param {User[]} users */
  went(users) {
    this.#apply([], users);
  }

  /**
   * @param {User[]} came
   * @param {User[]} went
   */
  #apply(came, went) {
    const online = came.filter(({ user, name }) => this.users.get(user)?.name !== name);
    const offline = went.filter(({ user }) => this.users.has(user));
    for (const user of online) this.users.set(user.user, user);
    for (const { user } of offline) this.users.delete(user);
    if (online.length + offline.length > 0) this.#changed({ online, offline });
  }
}
