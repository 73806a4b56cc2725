// @ts-check

/**
 * What the tab remembers over a reload (sessionStorage), and what the browser remembers (localStorage). A browser that
 * forbids storage remembers nothing.
 */

/** @typedef {{ name: string, token: string, expires: string, rooms: string[] }} StoredTicket */
/**
 * @import { ShownMessage } from './elements/chat/message.js'
 *
 * @typedef {Omit<ShownMessage, 'at'> & { at: string, unread?: boolean | undefined }} StoredMessage
 * @typedef {{ messages: StoredMessage[], draft: string }} StoredChat draft: what was not sent yet
 */

const TICKET = 'turnpike.ticket';
const INVITE = 'turnpike.invite';
const NAME = 'turnpike.name';
const CHAT = 'turnpike.chat';
const LANGUAGE = 'turnpike.language';
const DEVICES = 'turnpike.devices';
const WITHOUT = 'turnpike.without';
const CORNER = 'turnpike.corner';
const KEYS = 'turnpike.keys';
/** Characters of chat that a reload keeps, as JSON. */
const MAX_CHAT = 500_000;

/** @returns {StoredTicket | undefined} */
export function storedTicket() {
  return /** @type {StoredTicket | undefined} */ (readJSON('session', TICKET) ?? undefined);
}

/** @param {StoredTicket | undefined} ticket */
export function storeTicket(ticket) {
  write('session', TICKET, ticket && JSON.stringify(ticket));
}

export function storedInvite() {
  return read('session', INVITE);
}

/** @param {string | undefined} invite */
export function storeInvite(invite) {
  write('session', INVITE, invite);
}

/** The name of this tab, or else the last name that was typed in any tab. */
export function storedName() {
  return read('session', NAME) ?? read('local', NAME);
}

/**
 * @param {string} name
 * @param {{ typed: boolean }} how only a typed name is suggested to other tabs
 */
export function storeName(name, { typed }) {
  write('session', NAME, name);
  if (typed) write('local', NAME, name);
}

/** The language that the user has chosen on the home page. @returns {import('./language.js').Language | undefined} */
export function storedLanguage() {
  const stored = read('local', LANGUAGE);
  return stored === 'en' || stored === 'zh' ? stored : undefined;
}

/** @param {import('./language.js').Language} language */
export function storeLanguage(language) {
  write('local', LANGUAGE, language);
}

/** The user's choices of devices, as this browser has them. @returns {Record<string, unknown>} */
export function storedDevices() {
  return Object(readJSON('local', DEVICES));
}

/** @param {Record<string, unknown>} choices */
export function storeDevices(choices) {
  write('local', DEVICES, JSON.stringify(choices));
}

/** The devices that this tab came into a room without. @returns {{ room?: string, camera?: boolean, microphone?: boolean }} */
export function storedWithout() {
  return Object(readJSON('session', WITHOUT));
}

/** @param {{ room?: string, camera?: boolean, microphone?: boolean }} without */
export function storeWithout(without) {
  write('session', WITHOUT, without.room === undefined ? undefined : JSON.stringify(without));
}

/** The corner in which our own picture lies, such as `top-left`. */
export function storedCorner() {
  return read('local', CORNER);
}

/** @param {string} corner */
export function storeCorner(corner) {
  write('local', CORNER, corner);
}

/**
 * Takes the chat out of the storage that the page before this one left there.
 *
 * @param {string} room
 * @returns {StoredChat | undefined} undefined if that page was in another room, or in none
 */
export function claimChat(room) {
  const { room: stored, messages, draft } = Object(readJSON('session', CHAT));
  write('session', CHAT, undefined);
  return stored === room ? { messages, draft } : undefined;
}

/**
 * @param {string} room
 * @param {StoredChat} chat of whose messages the last are kept
 */
export function storeChat(room, { messages, draft }) {
  let length = 0;
  const kept = [...messages].reverse().filter((message) => (length += JSON.stringify(message).length) < MAX_CHAT).reverse();
  write('session', CHAT, JSON.stringify({ room, messages: kept, draft: draft.slice(0, MAX_CHAT) }));
}

/** Whether single keys are in use. */
export function keysWanted() {
  return read('local', KEYS) !== 'off';
}

/** @param {boolean} wanted */
export function storeKeysWanted(wanted) {
  write('local', KEYS, wanted ? undefined : 'off');
}

/** Where the SDK saves a session; undefined if the browser forbids storage. */
export function tabStorage() {
  try {
    return storage('session');
  } catch {
    return undefined;
  }
}

/**
 * @param {'session' | 'local'} where
 * @param {string} key
 */
function read(where, key) {
  try {
    return storage(where).getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {'session' | 'local'} where
 * @param {string} key
 * @returns {unknown} undefined: nothing that could be read
 */
function readJSON(where, key) {
  try {
    return JSON.parse(read(where, key) ?? '');
  } catch {
    return undefined;
  }
}

/**
 * @param {'session' | 'local'} where
 * @param {string} key
 * @param {string | undefined} value
 */
function write(where, key, value) {
  try {
    if (value === undefined) storage(where).removeItem(key);
    else storage(where).setItem(key, value);
  } catch {
    // Private modes and full disks refuse.
  }
}

/** @param {'session' | 'local'} where */
function storage(where) {
  return where === 'session' ? sessionStorage : localStorage;
}
