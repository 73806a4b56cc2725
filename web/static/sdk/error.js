// @ts-check

/**
 * Every code. docs/sdk.md says what each of them means. In groups: the server's, as in signal/PROTOCOL.md; its own where it gives
 * tickets and invites; ours; and why a call leads to no room, or why we are out of one.
 *
 * @typedef {(
 *   'unauthorized' | 'name-taken' | 'bad-message' | 'forbidden' | 'not-existing' | 'full' | 'locked' | 'kicked' | 'not-host' | 'not-in-room' |
 *   'no-such-user' | 'busy' | 'no-such-call' | 'no-such-session' | 'rate-limited' | 'slow' | 'internal' |
 *   'invite-required' | 'invite-used' | 'invite-revoked' | 'too-many-invites' | 'not-found' | 'expired' | 'bad-request' |
 *   'offline' | 'barred' | 'timeout' | 'ticket' | 'bad-url' | 'unsupported' | 'too-long' | 'ended' | 'refused' | 'closed' |
 *   'declined' | 'cancelled' | 'answered-elsewhere' | 'gone' | 'hangup' | 'leave' | 'returned' | 'revoked' | 'replaced'
 * )} ErrorCode
 */

/** Time may heal them. */
const PASSING = ['rate-limited', 'slow', 'internal', 'offline', 'timeout', 'ticket'];

/** What to do about it. @type {{ [C in ErrorCode]?: string }} */
const HINTS = {
  'unauthorized': 'Get a new ticket. `turnpike ticket --inspect` says what is wrong with this one.',
  'name-taken': 'Choose another name, for example in onNameTaken.',
  'bad-message': '`field` names what is wrong.',
  'forbidden': 'The ticket must allow it: see its role and rooms.',
  'not-existing': 'Join with create: true to make the room.',
  'full': 'Who makes a room says its size; without one, it is for two.',
  'no-such-user': 'Guests see nobody but their room mates: give users a role.',
  'rate-limited': 'Wait for `retryAfter` seconds.',
  'invite-required': 'Pass an invite, or set auth.guests in the configuration of the server.',
  'too-many-invites': 'Revoke some of client.invites() first.',
  'bad-request': '`field` names what is wrong.',
  'ticket': 'getTicket must return a JWT. Look at response.ok before you take its text.',
  'bad-url': 'Write the address whole, such as https://turn.example.org.',
};

/**
 * @typedef {object} ErrorDetails
 * @property {string | undefined} [field]
 * @property {number | undefined} [retryAfter]
 * @property {boolean | undefined} [away]
 * @property {'sessions' | 'rooms' | undefined} [limit]
 * @property {string | undefined} [hint]
 * @property {unknown} [cause]
 */

/** The one class of errors that the SDK throws, but for a TypeError where an app passes what cannot be. */
export class TurnpikeError extends Error {
  /**
   * @param {string} code
   * @param {string} [message]
   * @param {ErrorDetails} [details]
   */
  constructor(code, message, { field, retryAfter, away, limit, hint, cause } = {}) {
    super(message || code, cause === undefined ? undefined : { cause });
    this.name = 'TurnpikeError';
    /** @type {ErrorCode} stable, so that programs can branch on it; a later server may know others */
    this.code = /** @type {ErrorCode} */ (code);
    /** Whether the same may succeed later. */
    this.retryable = PASSING.includes(code) || away === true;
    /** What to do about it, for the developer; '' if there is nothing to say. */
    this.hint = hint ?? HINTS[this.code] ?? '';
    /** The field at fault, with `bad-message` and `bad-request`. */
    this.field = field;
    /** Seconds to wait, with `rate-limited`. */
    this.retryAfter = retryAfter;
    /** With `full` and `name-taken`: it is because of somebody who has lost the connection, and may be gone soon. */
    this.away = away;
    /** With `forbidden`: what there are too many of. */
    this.limit = limit;
  }
}

/** For what is asked of a client, or was, when it is closed. */
export function clientClosed() {
  return new TurnpikeError('closed', 'The client is closed.');
}

/**
 * @param {unknown} error
 * @returns {boolean} whether time may heal it
 */
export function isPassing(error) {
  return error instanceof TurnpikeError && error.retryable;
}

/**
 * @param {unknown} error
 * @returns {ErrorCode | ''} the code of a TurnpikeError, else ''
 */
export function codeOf(error) {
  return error instanceof TurnpikeError ? error.code : '';
}

/**
 * @param {unknown} error
 * @returns {TurnpikeError} the error, or one of the code `internal` that has it as its cause
 */
export function asTurnpikeError(error) {
  if (error instanceof TurnpikeError) return error;
  return new TurnpikeError('internal', error instanceof Error ? error.message : String(error), { cause: error });
}
