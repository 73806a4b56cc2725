// @ts-check
// What goes on when something is lost: a message to one peer, and the way back to the server.

import { gate } from './gate.mjs';
import { Room, homes, visit } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/**
 * A message that misses one of several people is shown as sent, and the page names the person.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function undelivered(stage, plan, step) {
  const [ann, ben, cid] = await homes(stage, plan, 'ann', 'ben', 'cid');
  const id = await ann.create();
  await ben.join(id);
  await cid.page.evaluate(() => {
    const { send } = RTCDataChannel.prototype;
    RTCDataChannel.prototype.send = function (/** @type {any} */ data) {
      if (!String(data).includes('chat-ack')) send.call(this, data); // As if nothing came back from cid.
    };
  });
  await cid.join(id);
  const [a, b, c] = [ann, ben, cid].map(({ page }) => new Room(page));
  await Promise.all([a.others(2), b.others(2), c.others(2)]);
  await a.say('hello');
  await Promise.all([b.hear('hello'), c.hear('hello')]);
  const lost = ann.page.locator('.fate[data-failed]').filter({ hasText: 'Not delivered to' });
  for (let batch = 0; batch < 10; batch++) {
    await ann.page.evaluate((batch) => {
      const form = /** @type {any} */ (document.querySelector('tp-chat form'));
      for (let i = 0; i < 10; i++) {
        form.querySelector('textarea').value = `message ${batch}${i}.`;
        form.requestSubmit();
      }
    }, batch);
    await b.hear(`message ${batch}9.`); // Ben confirms them, so that he can take more.
  }
  await a.say('one more.');
  await b.hear('one more.');
  await lost.last().waitFor();
  const text = await lost.last().innerText();
  if (!text.includes('cid') || text.includes('ben')) throw new Error(`the page says: ${text}`);
  step(text);
  return { text };
}

/**
 * The connection to the server is lost, and the server signs ben in no more. The call goes on, and his page says so.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function barred(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  const id = await ann.create();
  const { shut } = await gate(ben.page);
  await visit(ben.page, `${plan.url}/r/${id}`);
  const [a, b] = [new Room(ann.page), new Room(ben.page)];
  await Promise.all([a.others(1), b.others(1)]);
  await b.watch();
  await shut('refuses');
  const notice = await ben.notice('barred');
  step('the server does not sign ben in again, and his page says so');
  await Promise.all([a.watch(), b.watch()]);
  step('the call goes on');
  return { notice };
}

/**
 * A room is full with somebody who has lost the connection: the page waits, and comes in by itself once the place is free.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function fullforaway(stage, plan, step) {
  const [ann, ben, cid] = await homes(stage, plan, 'ann', 'ben', 'cid');
  const id = await ann.create({ size: 2 });
  await ben.join(id);
  const [a, c] = [new Room(ann.page), new Room(cid.page)];
  await a.others(1);
  await ben.page.close();
  await ann.page.locator('[data-testid=tile][data-away]').waitFor();
  await cid.join(id);
  const notice = await cid.notice('full-for-now');
  step('the room is full with ben, who is away, and cid waits');
  await Promise.all([c.others(1), ann.page.locator('[data-testid=tile][aria-label="cid"]').waitFor()]);
  step('cid came in by himself when the place of ben was given up');
  return { notice };
}
