// @ts-check

/**
 * Every code, with whether waiting may heal the error, and what to do about it. docs/sdk.md has the same table, with the
 * meaning of each.
 *
 * @satisfies {Record<string, [retryable: boolean, hint: string]>}
 */
const CODES = {
  // The server's, as in signal/PROTOCOL.md.
  'unauthorized': [false, 'Get a new ticket. `turnpike ticket --inspect` says what is wrong with this one.'],
  'name-taken': [false, 'Choose another name, for example in onNameTaken.'],
  'bad-message': [false, '`field` names what is wrong.'],
  'forbidden': [false, 'The ticket must allow it: see its role and rooms.'],
  'not-existing': [false, 'Join with create: true to make the room.'],
  'full': [false, 'Who makes a room says its size; without one, it is for two.'],
  'locked': [false, ''],
  'kicked': [false, ''],
  'not-host': [false, ''],
  'not-in-room': [false, ''],
  'no-such-user': [false, 'Guests see nobody but their room mates: give users a role.'],
  'busy': [false, ''],
  'no-such-call': [false, ''],
  'no-such-session': [false, ''],
  'rate-limited': [true, 'Wait for `retryAfter` seconds.'],
  'slow': [true, ''],
  'internal': [true, ''],
  // The server's, where it gives tickets and invites.
  'invite-required': [false, 'Pass an invite, or set auth.guests in the configuration of the server.'],
  'invite-used': [false, ''],
  'invite-revoked': [false, ''],
  'too-many-invites': [false, 'Revoke some of client.invites() first.'],
  'not-found': [false, ''],
  'expired': [false, ''],
  'bad-request': [false, '`field` names what is wrong.'],
  // Ours.
  'offline': [true, ''],
  'timeout': [true, ''],
  'ticket': [true, 'getTicket must return a JWT. Look at response.ok before you take its text.'],
  'bad-url': [false, 'Write the address whole, such as https://turn.example.org.'],
  'unsupported': [false, ''],
  'too-long': [false, ''],
  'ended': [false, ''],
  'refused': [false, ''],
  'closed': [false, ''],
  // Why a call leads to no room, and why we are out of a room.
  'declined': [false, ''],
  'cancelled': [false, ''],
  'answered-elsewhere': [false, ''],
  'gone': [false, ''],
  'hangup': [false, ''],
  'leave': [false, ''],
  'returned': [false, ''],
  'revoked': [false, ''],
  'replaced': [false, ''],
};

/** @typedef {keyof typeof CODES} ErrorCode docs/sdk.md says what each of them means */

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
    const [retryable, advice] = CODES[/** @type {ErrorCode} */ (code)] ?? [false, ''];
    /** @type {ErrorCode} stable, so that programs can branch on it; a later server may know others */
    this.code = /** @type {ErrorCode} */ (code);
    /** Whether the same may succeed later. */
    this.retryable = retryable || away === true;
    /** What to do about it, for the developer; '' if there is nothing to say. */
    this.hint = hint ?? advice;
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
