// @ts-check
// What the pages do for people, at a server on the same host.

import { Room, homes } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/**
 * Links that chat programs and people have mangled lead into the room, pasted or opened.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function mangled(stage, plan, step) {
  const [ann, ben, cid] = await homes(stage, plan, 'ann', 'ben', 'cid');
  const sizes = await ann.page.locator('[name=size] option').allInnerTexts();
  if (sizes.length !== 7 || (await ann.page.locator('[name=size]').inputValue()) !== '8') throw new Error(`the sizes are ${sizes}`);
  const id = await ann.create();
  const a = new Room(ann.page);
  await ann.page.locator('.count').filter({ hasText: '1 of 8' }).waitFor();
  step('a room is for eight, unless told otherwise');
  await ben.join(`See you at <${plan.url}/R/${id.toUpperCase()}>, Ben!`);
  await Promise.all([a.others(1), new Room(ben.page).others(1)]);
  step('ben pasted a whole sentence');
  await cid.page.goto(`${plan.url}/r/${id}%E2%80%8B).`);
  await Promise.all([a.others(2), new Room(cid.page).others(2)]);
  const address = new URL(cid.page.url());
  if (address.pathname !== `/r/${id}`) throw new Error(`the address was not mended: ${address}`);
  step('cid opened a link that swallowed a bracket');
  return { sizes };
}
