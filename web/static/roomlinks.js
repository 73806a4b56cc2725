// @ts-check

const ROOM_ID = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;

/** @param {string} id */
export function isRoomId(id) {
  return ROOM_ID.test(id);
}

/** @param {string} id */
export function roomPath(id) {
  return `/r/${id}`;
}

/**
 * Reads the text that a user typed or pasted to join a room: its id, in capitals or not, or a link to it.
 *
 * @param {string} text
 * @param {string} origin ours; a link to another server is refused
 * @returns {{ id: string, invite: string | undefined } | undefined}
 */
export function readRoom(text, origin) {
  const trimmed = text.trim();
  const id = trimmed.toLowerCase().replace(/\s+/g, '-');
  if (isRoomId(id)) return { id, invite: undefined };
  const url = readUrl(trimmed);
  if (url?.origin !== origin) return undefined;
  const linked = roomOf(url.pathname);
  return isRoomId(linked) ? { id: linked, invite: inviteOf(url.hash) } : undefined;
}

/** @param {string} text */
function readUrl(text) {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

/** @param {string} pathname of a room's page */
export function roomOf(pathname) {
  const [, room = ''] = /^\/r\/([^/]*)$/.exec(pathname) ?? [];
  try {
    return decodeURIComponent(room).toLowerCase();
  } catch {
    return '';
  }
}

/** @param {string} hash a link's fragment, which browsers send to no server */
export function inviteOf(hash) {
  return new URLSearchParams(hash.replace(/^#/, '')).get('invite') ?? undefined;
}
