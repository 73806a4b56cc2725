// @ts-check
import { locale, say } from '../../words/room.js';

const DAY_MS = 86_400_000;

/** @param {Date} time @returns {number} of the day in the calendar of this machine */
function dayOf(time) {
  return Math.round(Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()) / DAY_MS);
}

/** @param {Date} one @param {Date} other */
export function isSameDay(one, other) {
  return dayOf(one) === dayOf(other);
}

/** @param {Date} one @param {Date} other */
export function isSameMinute(one, other) {
  return Math.floor(one.getTime() / 60_000) === Math.floor(other.getTime() / 60_000);
}

/**
 * @param {Date} time
 * @param {Date} now
 * @returns {string} such as "Today", "Yesterday" or "Monday, November 30"
 */
export function dayWords(time, now) {
  const ago = dayOf(now) - dayOf(time);
  if (ago === 0) return say('chat.today');
  if (ago === 1) return say('chat.yesterday');
  const year = time.getFullYear() === now.getFullYear() ? undefined : 'numeric';
  return new Intl.DateTimeFormat(locale, { weekday: 'long', day: 'numeric', month: 'long', year }).format(time);
}
