// @ts-check
import { askApi } from '../sdk/server/api.js';

/**
 * A slot of the server, with the ticket that admits us to its room. The words of a code are no part of it.
 *
 * @typedef {object} Slot
 * @property {number} slot
 * @property {string} room
 * @property {string} ticket
 * @property {string} name
 * @property {string} expires
 */

const CODES = '/api/v1/codes';

/**
 * @param {string} bearer our own ticket
 * @param {number} receivers who may come
 * @param {AbortSignal} [signal]
 * @returns {Promise<Slot>}
 */
export function makeSlot(bearer, receivers, signal) {
  return askApi(CODES, { method: 'POST', bearer, body: { receivers }, signal });
}

/**
 * @param {number} slot
 * @param {string} name ours
 * @param {AbortSignal} [signal]
 * @returns {Promise<Slot>}
 */
export async function takeSlot(slot, name, signal) {
  return { ...(await askApi(`${CODES}/${slot}`, { method: 'POST', body: { name }, signal })), slot };
}

/**
 * Has the slot's time begin anew.
 *
 * @param {Slot} slot
 * @param {number} [receivers] so many more may come from now on
 * @returns {Promise<Slot>} with a fresh ticket
 */
export function renewSlot({ slot, ticket }, receivers) {
  return askApi(`${CODES}/${slot}`, { method: 'PATCH', bearer: ticket, body: { receivers } });
}

/** Nobody can come any more. @param {Slot} slot */
export async function burnSlot({ slot, ticket }) {
  await askApi(`${CODES}/${slot}`, { method: 'DELETE', bearer: ticket });
}
