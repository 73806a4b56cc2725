// @ts-check

/**
 * What becomes of the messages of this page. All of it is known from the other sides: `delivered` when the page of a reader has the
 * message, `seen` when it was in sight there.
 *
 * @typedef {'sent' | 'delivered' | 'seen' | 'failed'} Fate sent: it waits for the reader, perhaps until they are back; failed: it does
 *   not reach them any more
 * @typedef {object} Reader one of those for whom a message is
 * @property {string} user
 * @property {string} name
 * @property {number} at milliseconds; by it the reader's page knows the message
 * @property {Fate} fate
 *
 * @typedef {{ to?: Reader[] }} Sent
 *
 * @typedef {object} Summary
 * @property {string} key of the words
 * @property {number} [count]
 * @property {number} [all]
 * @property {string[]} [names]
 */

/**
 * @template {Sent} Message
 * @param {Message[]} messages
 * @param {string} user
 * @param {number} at
 * @returns {Message[]} those whose state is another now
 */
export function delivered(messages, user, at) {
  return change(messages, user, (reader) => reader.at === at && ['sent', 'failed'].includes(reader.fate), 'delivered');
}

/**
 * A reader has seen one message, and all that were sent before it.
 *
 * @template {Sent} Message
 * @param {Message[]} messages
 * @param {string} user
 * @param {number} at of that message; may be anything, since it comes from the reader's page
 * @returns {Message[]} those whose state is another now
 */
export function seen(messages, user, at) {
  if (!messages.some(({ to }) => to?.some((reader) => reader.user === user && reader.at === at))) return [];
  return change(messages, user, (reader) => reader.at <= at && ['sent', 'delivered'].includes(reader.fate), 'seen');
}

/**
 * Nothing more reaches a reader.
 *
 * @template {Sent} Message
 * @param {Message[]} messages
 * @param {string} user
 * @returns {Message[]} those whose state is another now
 */
export function failed(messages, user) {
  return change(messages, user, (reader) => reader.fate === 'sent', 'failed');
}

/**
 * How many messages wait for a reader.
 *
 * @param {Sent[]} messages
 * @param {string} user
 */
export function waitingFor(messages, user) {
  return messages.filter(({ to }) => to?.some((reader) => reader.user === user && reader.fate === 'sent')).length;
}

/**
 * @template {Sent} Message
 * @param {Message[]} messages
 * @param {string} user
 * @param {(reader: Reader) => boolean} applies
 * @param {Fate} fate
 */
function change(messages, user, applies, fate) {
  return messages.filter(({ to = [] }) => {
    const reader = to.find((reader) => reader.user === user && applies(reader));
    if (reader) reader.fate = fate;
    return reader !== undefined;
  });
}

/**
 * @param {Reader[]} readers
 * @param {(user: string) => boolean} isAway
 * @returns {Summary | undefined} undefined if the message was for nobody
 */
export function summary(readers, isAway) {
  const namesOf = (/** @type {Reader[]} */ some) => some.map(({ name }) => name);
  const missed = readers.filter(({ fate }) => fate === 'failed');
  if (missed.length > 0) return { key: 'chat.failed', names: namesOf(missed) };
  const all = readers.length;
  if (all === 0) return undefined;
  const waiting = readers.filter(({ fate }) => fate === 'sent');
  if (waiting.length > 0 && waiting.every(({ user }) => isAway(user))) return { key: 'chat.waits', names: namesOf(waiting) };
  if (waiting.length === all) return { key: 'chat.sending' };
  if (waiting.length > 0) return { key: 'chat.delivered.some', count: all - waiting.length, all };
  const count = readers.filter(({ fate }) => fate === 'seen').length;
  if (count === 0) return { key: 'chat.delivered' };
  if (count < all) return { key: 'chat.seen.some', count, all };
  return { key: all === 1 ? 'chat.seen' : 'chat.seen.all' };
}

/** Whether everybody for whom it is has it. @param {Reader[]} readers */
export function isSettled(readers) {
  return readers.every(({ fate }) => fate === 'delivered' || fate === 'seen');
}
