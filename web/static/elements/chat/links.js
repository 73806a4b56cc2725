// @ts-check

/** @typedef {{ href: string, text: string }} Link text: what is shown, which names the host that the link leads to */

const MAX_LINK = 2000;

/**
 * A link ends at a space, at what cannot be seen or turns the direction of the text, at quotation marks, and at the punctuation
 * of Chinese and Japanese, which has no space after it. A backslash would be a slash for the browser, and not for the reader.
 */
const LINK = /https?:\/\/[^\s\p{C}<>"`\\|\u00ab\u00bb\u2018-\u201f\u3001\u3002\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+/giu;

/** Belongs to the sentence, and not to the link, if the link would end with it. */
const PUNCTUATION = new Set(".,:;!?'*_~\u2026");

/** @type {Record<string, string>} by the bracket that closes */
const OPENING = { ')': '(', ']': '[', '}': '{' };

/** Where words have no spaces between them, the end of the host is the end of its Latin letters. */
const RUN_ON = /^([a-z0-9-]*[a-z])[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/iu;

/** Latin letters, also with the marks that people know, as two characters. */
const LATIN = /^(?:[a-z0-9-][\u0300-\u0304\u0306\u0308\u030a-\u030c\u0327\u0328]?|[cegz]\u0307|[\u00df\u00e6\u00f8\u0153\u0142\u0111])*$/;

/** Scripts whose letters nobody takes for those of another one, so that they may stand beside `.com`. */
const DISTINCT = [
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\u30fc0-9-]*$/u, /^[\p{Script=Hangul}0-9-]*$/u, /^[\p{Script=Arabic}0-9-]*$/u,
  /^[\p{Script=Hebrew}0-9-]*$/u, /^[\p{Script=Devanagari}0-9-]*$/u, /^[\p{Script=Thai}0-9-]*$/u,
];

/** Some of their letters look like Latin ones: all of the host must be of the script. */
const ALIKE = [/^[\p{Script=Cyrillic}0-9.-]+$/u, /^[\p{Script=Greek}0-9.-]+$/u];

/** The end of a host in letters from right to left, and what would be shown before it although it follows it. */
const TURNED = [/[\p{Script=Arabic}\p{Script=Hebrew}]\P{L}*$/u, /^\P{L}*[\p{Script=Arabic}\p{Script=Hebrew}\p{Nd}]/u];

/**
 * Finds the web addresses in what somebody has written. Nothing else becomes a link. Takes time in proportion to the text.
 *
 * @param {string} text
 * @returns {(string | Link)[]} the text, in order
 */
export function withLinks(text) {
  /** @type {(string | Link)[]} */
  const parts = [];
  let end = 0;
  for (const { 0: run, index } of text.matchAll(LINK)) {
    if (/[a-z0-9]/i.test(text[index - 1] ?? '') || run.length > MAX_LINK) continue;
    const written = ended(run);
    const link = linkTo(written);
    if (!link) continue;
    if (index > end) parts.push(text.slice(end, index));
    parts.push(link);
    end = index + written.length;
  }
  if (end < text.length) parts.push(text.slice(end));
  return parts;
}

/** @param {string} run @returns {string} without what follows the link in its sentence */
function ended(run) {
  const host = /^https?:\/\/([^/?#]*\.)?/i.exec(run)?.[0] ?? '';
  const last = RUN_ON.exec(run.slice(host.length).split(/[/?#]/, 1)[0] ?? '')?.[1];
  if (last) return host + last;
  /** How many more brackets of a kind close than open. @type {Record<string, number>} */
  const surplus = {};
  for (const character of run) {
    for (const [closing, opening] of Object.entries(OPENING)) {
      if (character === closing) surplus[closing] = (surplus[closing] ?? 0) + 1;
      if (character === opening) surplus[closing] = (surplus[closing] ?? 0) - 1;
    }
  }
  let end = run.length;
  for (; end > 0; end--) {
    const character = run[end - 1] ?? '';
    const more = surplus[character] ?? 0;
    if (more > 0) surplus[character] = more - 1;
    else if (!PUNCTUATION.has(character)) break;
  }
  return run.slice(0, end);
}

/** @param {string} written @returns {Link | undefined} undefined if it only looks like an address, or hides where it leads */
function linkTo(written) {
  const [, scheme = '', authority = '', rest = ''] = /^(https?:\/\/)([^/?#]*)(.*)$/iu.exec(written) ?? [];
  const url = parse(written);
  if (!url || authority === '' || authority.includes('@')) return undefined;
  const [, host = '', port = ''] = /^(.*?)(:\d*)?$/u.exec(authority) ?? [];
  const isTurned = TURNED[0]?.test(host) && TURNED[1]?.test(port + rest);
  return { href: url.href, text: scheme + (!isTurned && isReadable(host.toLowerCase(), url.hostname) ? host : url.hostname) + port + rest };
}

/** @param {string} text */
function parse(text) {
  try {
    const url = new URL(text);
    return /^https?:$/.test(url.protocol) && /[a-z0-9]/.test(url.hostname) ? url : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} host as somebody has written it
 * @param {string} known as the browser knows it: international names in punycode
 */
function isReadable(host, known) {
  if (host === known) return true;
  if (!known.split('.').some((label) => label.startsWith('xn--'))) return false; // The browser reads another host than people would.
  if (/\p{Default_Ignorable_Code_Point}/u.test(host)) return false; // Some of these are blank, and the browser leaves them out.
  return ALIKE.some((script) => script.test(host))
    || host.split('.').every((label) => LATIN.test(label.normalize('NFD')) || DISTINCT.some((script) => script.test(label)));
}
