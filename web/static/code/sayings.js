// @ts-check
import { CodeError } from './receiver.js';
import { ProtocolError, RefusedError } from '../files/lines.js';
import { codeOf } from '../sdk/error.js';
import { wordsFor } from '../words.js';
import { asIs, canSay, say } from '../words/code.js';

/** @typedef {{ title: string, text: string }} Saying */

/** Errors of the browser's files, by name. @type {Record<string, string>} */
const OF_FILES = { QuotaExceededError: 'no-space', NotAllowedError: 'no-place', NoModificationAllowedError: 'no-place', InvalidStateError: 'no-place', NotFoundError: 'no-place' };

/** @param {string} code */
function saying(code) {
  return canSay(`code.error-${code}`) ? { title: say(`code.error-${code}`), text: say(`code.error-${code}-why`) } : undefined;
}

/**
 * What an error means to a person, and what to do.
 *
 * @param {unknown} error
 * @returns {Saying}
 */
export function sayingFor(error) {
  if (error instanceof RefusedError) return { title: say('code.ended'), text: reasonOf(error) };
  if (error instanceof ProtocolError) return { title: say('code.broken'), text: say('code.broken-why', { reason: asIs(error.message) }) };
  const code = error instanceof CodeError ? error.code : error instanceof DOMException ? OF_FILES[error.name] ?? '' : codeOf(error);
  return saying(code) ?? wordsFor(error);
}

/** @param {string} code @returns {Saying} */
export function sayingOf(code) {
  return saying(code) ?? { title: code, text: '' };
}

/** What another side's program says of the end. Its text is in the language of that program. @param {RefusedError} error */
export function reasonOf(error) {
  return canSay(`code.they-${error.code}`) ? say(`code.they-${error.code}`) : say('code.ended-why', { reason: asIs(sentence(error.message)) });
}

/** @param {string} text of others */
function sentence(text) {
  const begun = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
