// @ts-check

/**
 * An error with a `code`. Most codes come from the server, and signal/PROTOCOL.md lists them: `full`, `not-existing`,
 * `name-taken`, `unauthorized`... The SDK adds `offline` (the server cannot be reached), `timeout`, `closed` (this client
 * was closed) and `too-long`.
 */
export class TurnpikeError extends Error {
  /**
   * @param {string} code
   * @param {string} [message]
   * @param {{ field?: string | undefined, retryAfter?: number | undefined, cause?: unknown }} [details]
   */
  constructor(code, message, { field, retryAfter, cause } = {}) {
    super(message || code, cause === undefined ? undefined : { cause });
    this.name = 'TurnpikeError';
    /** Stable, so that programs can branch on it. */
    this.code = code;
    /** The field at fault, with `bad-message` and `bad-request`. */
    this.field = field;
    /** Seconds to wait, with `rate-limited`. */
    this.retryAfter = retryAfter;
  }
}

const PASSING = new Set(['offline', 'timeout', 'rate-limited', 'internal', 'slow']);

/**
 * @param {unknown} error
 * @returns {boolean} whether time may heal it
 */
export function isPassing(error) {
  return PASSING.has(codeOf(error));
}

/**
 * @param {unknown} error
 * @returns {string} the code of a TurnpikeError, else ''
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
