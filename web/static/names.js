// @ts-check
import { asIs, say } from './words/page.js';

export const MAX_NAME = 32;

/** A friendly name for a user who has not chosen one. */
export function madeUpName(random = Math.random) {
  /** @param {string} words */
  const one = (words) => {
    const all = words.split(' ');
    return asIs(all[Math.floor(random() * all.length)] ?? '');
  };
  return say('name.made-up', { first: one(say('name.first')), second: one(say('name.second')) });
}

/**
 * The name to try after `name` was taken: "Ada", "Ada 2", "Ada 3"...
 *
 * @param {string} name
 */
export function nextName(name) {
  const [, stem = name, number = '1'] = /^(.*) (\d{1,3})$/su.exec(name) ?? [];
  const suffix = ` ${Number(number) + 1}`;
  return [...stem].slice(0, MAX_NAME - suffix.length).join('').trimEnd() + suffix;
}

/**
 * Says in a sentence what is wrong with a name; '' if nothing is. The server checks it more thoroughly.
 *
 * @param {string} name without spaces around it
 */
export function nameProblem(name) {
  if (name === '') return say('name.missing');
  if ([...name].length > MAX_NAME) return say('name.too-long', { most: MAX_NAME, count: [...name].length });
  if (/\p{Cc}/u.test(name)) return say('name.control');
  return '';
}
