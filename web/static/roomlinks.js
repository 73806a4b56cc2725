// @ts-check

/**
 * @typedef {object} RoomLink where a link leads
 * @property {string} id of the room
 * @property {string | undefined} invite
 */

const ROOM_ID = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
/** What may follow the id in a link: punctuation, the rest of the link, or the words of a script that is written without spaces. */
const AFTER_ID = /^(?:[_/]*(?:$|[^\p{L}\p{N}\p{M}%_/-])|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}])/u;
/** An invite is a token of three parts. Mail programs that write "=" as "=3D" leave the 3D before it. */
const INVITE = /(?:^|[^a-z0-9])invite\s*[=:]\s*(?:3D(?=eyJ))?([\w.-]+)/i;
/** A whole invite: its signature has 43 characters. */
const WHOLE_INVITE = /^[\w-]+\.[\w-]+\.[\w-]{43}/;
/** Characters that nobody sees: soft hyphens, zero-width spaces and joiners, marks of direction. */
const INVISIBLE = /[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/g;
/** Quotes, brackets and punctuation around a link or an id. */
const WRAPPING = /^[\s\p{P}\p{S}]+|[\s\p{P}\p{S}]+$/gu;
/** Programs encode a link that is encoded already; no more than so often. */
const MAX_DECODINGS = 4;
/** A longer text is no link. */
const MAX_TEXT = 10_000;

/** @param {string} id */
export function isRoomId(id) {
  return ROOM_ID.test(id);
}

/** An id for a room that is still to be made, such as k7m-2pq-x9r: as servers make them, of 31 characters that nobody confuses. */
export function newRoomId() {
  const characters = 'abcdefghjkmnpqrstuvwxyz23456789';
  let id = '';
  while (id.length < 9) {
    // Of 32 values one is too many. To draw again keeps the others equally likely.
    for (const value of crypto.getRandomValues(new Uint8Array(9 - id.length))) id += characters[value & 31] ?? '';
  }
  return `${id.slice(0, 3)}-${id.slice(3, 6)}-${id.slice(6)}`;
}

/** @param {string} id */
export function roomPath(id) {
  return `/r/${id}`;
}

/**
 * A link to a room of this server.
 *
 * @param {string} id
 * @param {string} origin
 * @param {string} [invite] goes into the fragment, which browsers send to no server
 */
export function roomLink(id, origin, invite) {
  return new URL(roomPath(id), origin).href + (invite ? `#invite=${invite}` : '');
}

/**
 * Reads the text that a user typed or pasted to join a room: its id, or a link to it as chat programs and people mangle
 * links, maybe with the words around it.
 *
 * @param {string} text
 * @param {string} origin ours; a link to another server is refused
 * @returns {RoomLink | undefined}
 */
export function readRoom(text, origin) {
  const clean = unmangled(text);
  const id = clean.replace(WRAPPING, '').toLowerCase().replace(/\s+/g, '-');
  if (isRoomId(id)) return { id, invite: undefined };
  const link = findLink(clean, origin);
  if (link?.invite && WHOLE_INVITE.test(link.invite)) return link;
  // A mail program has broken the link over lines, and has maybe put a ">" before each.
  const joined = findLink(clean.replace(/\s+(?:>\s*)*/g, ''), origin);
  return joined?.invite && WHOLE_INVITE.test(joined.invite) ? joined : link;
}

/**
 * Reads the address of a page. An invite belongs into the fragment, but some programs move it into the path or the query.
 *
 * @param {{ pathname: string, search?: string, hash?: string }} address such as `location`
 * @returns {RoomLink} the id is '' if the address is of no room
 */
export function readAddress({ pathname, search = '', hash = '' }) {
  const id = roomOf(pathname);
  return { id, invite: inviteOf(hash) ?? (id ? inviteOf(search) ?? inviteOf(pathname) : undefined) };
}

/** @param {string} pathname of a room's page */
export function roomOf(pathname) {
  const [, rest = ''] = /^\/+r\/+(.*)$/is.exec(unmangled(pathname)) ?? [];
  return idBefore(rest.trim())?.id ?? '';
}

/** @param {string} hash a link's fragment, or another part of it */
export function inviteOf(hash) {
  const [, found = ''] = INVITE.exec(unmangled(hash)) ?? [];
  const whole = WHOLE_INVITE.exec(found)?.[0]; // Ends before an underscore, with which chat programs slant a text.
  return whole ?? (found.replace(/\.+$/, '') || undefined);
}

/**
 * Finds the first link to a room of ours.
 *
 * @param {string} text
 * @param {string} origin
 * @returns {RoomLink | undefined}
 */
function findLink(text, origin) {
  for (const match of text.matchAll(/(?:^|\/+)r\/+/gi)) {
    if (!isAfterOurHost(text.slice(0, match.index), origin)) continue;
    const found = idBefore(text.slice(match.index + match[0].length));
    if (found) return { id: found.id, invite: inviteOf(partOfLink(found.after)) };
  }
  return undefined;
}

/**
 * @param {string} before the path of a room, in a text
 * @param {string} origin
 * @returns {boolean} whether it ends with our host, or with no host at all, as in "/r/standup"
 */
function isAfterOurHost(before, origin) {
  const [host = ''] = /(?:\[[\da-f:.]+\]|[\p{L}\p{N}.-]+)(?::\d+)?$/iu.exec(before) ?? [];
  const start = before.slice(0, before.length - host.length);
  if (host === '') return !/[^\s\p{Ps}\p{Pi}"'<]$/u.test(start);
  return !start.endsWith('@') && isOurs(host, origin);
}

/** @param {string} after the id, where other words and other links may follow */
function partOfLink(after) {
  const [part = ''] = /^(?:\S(?!ttps?:\/\/))*/i.exec(after) ?? [];
  return part;
}

/**
 * Splits a text that begins with a room's id.
 *
 * @param {string} text
 * @returns {{ id: string, after: string } | undefined}
 */
function idBefore(text) {
  const [written = ''] = /^[a-z0-9-]+/i.exec(text) ?? [];
  const after = text.slice(written.length);
  const id = written.toLowerCase().replace(/-+$/, '');
  return isRoomId(id) && AFTER_ID.test(after) ? { id, after } : undefined;
}

/**
 * @param {string} host with its port
 * @param {string} origin
 */
function isOurs(host, origin) {
  const ours = new URL(origin);
  try {
    // The scheme may be missing, or wrong: servers with a certificate send everybody to https.
    return [ours.protocol, 'http:', 'https:'].some((protocol) => new URL(`${protocol}//${host}`).host === ours.host);
  } catch {
    return false;
  }
}

/**
 * Takes back what programs do to links: percent-encoding, once or more often, HTML's "&amp;", the soft line breaks of mail,
 * and characters that nobody sees.
 *
 * @param {string} text
 */
function unmangled(text) {
  let clean = text.slice(0, MAX_TEXT).replace(INVISIBLE, '').replace(/=[ \t]*\r?\n/g, '');
  for (let round = 0; round < MAX_DECODINGS; round++) {
    const decoded = clean.replace(/(?:%[\da-f]{2})+/gi, decode).replace(/&(?:amp|num|#35|#x23|#61|#x3d|equals);/gi, entity);
    if (decoded === clean) break;
    clean = decoded.replace(INVISIBLE, '');
  }
  return clean;
}

/** @param {string} run of encoded bytes */
function decode(run) {
  try {
    return decodeURIComponent(run);
  } catch {
    return run;
  }
}

/** @param {string} written */
function entity(written) {
  if (/amp/i.test(written)) return '&';
  return /num|35|23/i.test(written) ? '#' : '=';
}
