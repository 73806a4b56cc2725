// @ts-check
import { codeOf } from './sdk/error.js';
import { canSay, say } from './words/page.js';

/** @typedef {{ code: string, title: string, text: string }} Words */

/**
 * What an error means to a person, and what to do. What the error itself says is for programmers.
 *
 * @param {unknown} error
 * @returns {Words}
 */
export function wordsFor(error) {
  const code = codeOf(error);
  return wordsOf(canSay(`error.${code}.title`) ? code : 'internal');
}

/**
 * @param {string} code
 * @returns {Words}
 */
export function wordsOf(code) {
  return { code, title: say(`error.${code}.title`), text: say(`error.${code}.text`) };
}
