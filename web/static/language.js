// @ts-check
// What the page says to people, in the language that they read. words/ has a table of messages for each language and part.
import { storedLanguage } from './storage.js';

/**
 * @typedef {'en' | 'zh'} Language
 * @typedef {Readonly<Record<string, string>>} Words messages by key, such as 'chat.empty': 'Nobody has written yet.'
 * @typedef {Readonly<Record<string, string | number | AsIs>>} Values
 */

/** For the attribute `lang`. The Chinese is in simplified characters. @type {Readonly<Record<Language, string>>} */
const TAGS = { en: 'en', zh: 'zh-Hans' };

/** @type {readonly string[]} */
const browsers = globalThis.navigator?.languages ?? [];
/** @type {Language} */
let language = storedLanguage() ?? preferred(browsers);
/** @type {Record<Language, Record<string, string>>} English is there always, for what another table lacks */
const tables = { en: {}, zh: {} };
/** @type {Promise<unknown>} */
let loading = Promise.resolve();

/** For Intl: dates, numbers and lists are in the page's language, as people write it where the user lives. */
export const locale = browsers.find((tag) => languageOf(tag) === language) ?? TAGS[language];
const plurals = { en: new Intl.PluralRules('en'), zh: new Intl.PluralRules('zh') };
const numbers = new Intl.NumberFormat(locale);
const lists = new Intl.ListFormat(locale);

/** Text of our own for the middle of a message, such as a size or a time. */
class AsIs {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/** Has `say` leave a text as it is, which it would take for a name. @param {string} text */
export function asIs(text) {
  return new AsIs(text);
}

/** Several names for one place of a message. @param {string[]} names */
export function several(names) {
  return new AsIs(lists.format(names.map(isolate)));
}

/** The page's language, for its attribute `lang`. */
export function languageTag() {
  return TAGS[language];
}

/** The language that the page could have as well. @returns {{ language: Language, tag: string }} */
export function otherLanguage() {
  const other = language === 'en' ? 'zh' : 'en';
  return { language: other, tag: TAGS[other] };
}

/**
 * Chooses as people have ordered their browser's languages. web/language.go does the same.
 *
 * @param {readonly string[]} tags the best first
 * @returns {Language}
 */
export function preferred(tags) {
  return tags.map(languageOf).find((known) => known !== undefined) ?? 'en';
}

/** @param {string} tag such as zh-CN @returns {Language | undefined} */
function languageOf(tag) {
  const [first = ''] = tag.toLowerCase().split('-');
  return first === 'en' || first === 'zh' ? first : undefined;
}

/**
 * Adds the words of a part of the page. English ones are there at once, Chinese ones before `wordsLoaded` resolves. If they do
 * not come, the whole page goes on in English.
 *
 * @param {Words} english
 * @param {() => Promise<{ default: Words }>} chinese
 */
export function addWords(english, chinese) {
  Object.assign(tables.en, english);
  if (language === 'en') return;
  const coming = chinese().then(({ default: words }) => Object.assign(tables.zh, words)).catch((error) => {
    console.warn('the words of this page did not load:', error);
    language = 'en';
  });
  loading = Promise.all([loading, coming]);
}

/** Resolves when the words are there of all modules that have run. */
export function wordsLoaded() {
  return loading;
}

/** @param {string} key */
export function canSay(key) {
  return key in tables.en;
}

/**
 * Says a message in the page's language. `{name}` in it stands for a value. If the message has forms for numbers, such as
 * 'chat.unread.one' and 'chat.unread.other', the value `count` decides.
 *
 * @param {string} key
 * @param {Values} [values] numbers, and names or other texts of people, which leave the order of the sentence alone
 */
export function say(key, values = {}) {
  const message = messageOf(language, key, values) ?? messageOf('en', key, values) ?? key;
  return message.replace(/\{(\w+)\}/g, (whole, place) => {
    const value = values[place];
    if (value === undefined) return whole;
    if (value instanceof AsIs) return value.text;
    return typeof value === 'number' ? numbers.format(value) : isolate(value);
  });
}

/** @param {Language} language @param {string} key @param {Values} values */
function messageOf(language, key, { count }) {
  const words = tables[language];
  return words[key] ?? (typeof count === 'number' ? words[`${key}.${plurals[language].select(count)}`] : undefined);
}

/**
 * A name for the middle of a sentence, so that a name written from right to left leaves the sentence's order alone.
 *
 * @param {string} name
 */
export function isolate(name) {
  return `\u2068${name}\u2069`;
}
