// @ts-check
import { CodeError } from './receiver.js';
import { ProtocolError, RefusedError } from '../files/lines.js';
import { codeOf } from '../sdk/error.js';
import { wordsFor } from '../words.js';

/** @typedef {{ title: string, text: string }} Saying */

/** @type {Record<string, [title: string, text: string]>} */
const SAYINGS = {
  'no-such-code': ['There is no such code', 'A code lasts for ten minutes, until it was used. Ask the sender for a new one.'],
  'code-used': ['This code was used', 'A code serves once. If it was not you, somebody else has used it. Ask the sender for a new one.'],
  'wrong-code': ['The words do not match', 'They are not the sender’s, or somebody is in between. The code is used up. Ask the sender for a new one.'],
  'no-sender': ['The sender does not answer', 'The code is good, but nobody there answers. The sender must keep the page or the program open.'],
  'sender-gone': ['The sender is gone', 'Not everything had come. Ask the sender to send it again.'],
  'forbidden': ['You cannot send files here', 'Members of this server can. You can still receive with a code.'],
  'invite-required': ['You need an invite to send files here', 'Open the link that you were sent, then come back. You can still receive with a code.'],
  'too-many-codes': ['You have many codes already', 'Stop one of them first, or wait until one has run out.'],
  'insecure': ['This page needs a secure connection', 'Open it by its address with https, or ask the people who run this server.'],
  'no-space': ['There is no space left', 'Make room on the disk. Then ask the sender for a new code.'],
  'no-place': ['The browser cannot save there', 'Choose another place. Then ask the sender for a new code.'],
};

/** Errors of the browser's files, by name. @type {Record<string, string>} */
const OF_FILES = { QuotaExceededError: 'no-space', NotAllowedError: 'no-place', NoModificationAllowedError: 'no-place', InvalidStateError: 'no-place', NotFoundError: 'no-place' };

/** @param {string} code */
function saying(code) {
  const [title, text] = SAYINGS[code] ?? [];
  return title && text ? { title, text } : undefined;
}

/**
 * What an error means to a person, and what to do.
 *
 * @param {unknown} error
 * @returns {Saying}
 */
export function sayingFor(error) {
  if (error instanceof RefusedError) return { title: 'The other side has ended it', text: sentence(error.message) };
  if (error instanceof ProtocolError) return { title: 'The files did not come', text: error.message };
  const code = error instanceof CodeError ? error.code : error instanceof DOMException ? OF_FILES[error.name] ?? '' : codeOf(error);
  return saying(code) ?? wordsFor(error);
}

/** @param {string} code @returns {Saying} */
export function sayingOf(code) {
  return saying(code) ?? { title: code, text: '' };
}

/** @param {string} text of others */
function sentence(text) {
  const begun = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
