// @ts-check

/** By this topic a page tells a sender what was in sight. signal/PROTOCOL.md describes it, under "The page's own topics". */
export const SEEN = 'page.seen';

const MAX_TIME = 40;

/** @param {number} at milliseconds of the newest message that was seen, by its sender's clock */
export function seenData(at) {
  return { at: new Date(at).toISOString() };
}

/**
 * @param {any} data may be anything, since it comes from a peer
 * @returns {number | undefined} milliseconds; undefined if it says nothing
 */
export function seenIn(data) {
  const at = data?.at;
  const time = typeof at === 'string' && at.length <= MAX_TIME ? Date.parse(at) : NaN;
  return Number.isNaN(time) ? undefined : time;
}
