// @ts-check

export const MAX_NAME = 32;

const FIRST = ['Quiet', 'Early', 'Merry', 'Bold', 'Kind', 'Swift', 'Sunny', 'Calm', 'Clever', 'Gentle', 'Lucky', 'Brisk'];
const SECOND = ['Heron', 'Otter', 'Finch', 'Badger', 'Swallow', 'Hare', 'Marten', 'Plover', 'Lynx', 'Robin', 'Beaver', 'Wren'];

/** A friendly name for a user who has not chosen one. */
export function madeUpName(random = Math.random) {
  /** @param {string[]} words */
  const one = (words) => words[Math.floor(random() * words.length)];
  return `${one(FIRST)} ${one(SECOND)}`;
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
  if (name === '') return 'Please write a name: others see it beside your messages.';
  if ([...name].length > MAX_NAME) return `A name may have ${MAX_NAME} characters; this one has ${[...name].length}.`;
  if (/\p{Cc}/u.test(name)) return 'A name may not have control characters.';
  return '';
}
