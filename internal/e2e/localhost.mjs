// @ts-check
// Several people at one server, each in a context of one browser: rooms, calls and names.

import { until } from './browser.mjs';
import { Room, homes, visit } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/**
 * Two tabs see each other and talk. A third learns that the room is full. A tab that is closed disappears for the other.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function room(stage, plan, step) {
  const [ann, ben, cid] = await homes(stage, plan, 'ann', 'ben', 'cid');
  const id = await ann.create({ size: 2 });
  step(`ann created ${id}`);
  await ben.join(id);
  const [a, b] = [new Room(ann.page), new Room(ben.page)];
  await Promise.all([a.others(1), b.others(1)]);
  await a.say('anyone?');
  const sender = await b.hear('anyone?');
  if (sender !== 'ann') throw new Error(`the message came from ${sender}, not from ann`);
  await b.say('me');
  await a.hear('me');
  step('chat works both ways');
  await Promise.all([a.watch(), b.watch()]);
  step('both pictures move');
  await Promise.all([a.path('direct', 'UDP'), b.path('direct', 'UDP')]);
  step('both paths are direct');
  await cid.join(id);
  const full = await cid.notice('full');
  step('a third learns that the room is full');
  await ben.page.close();
  await a.others(0);
  step('ann sees that ben is gone');
  return { full };
}

/**
 * The page offers to create a room that does not exist.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function missing(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  await ann.join('attic');
  const notice = await ann.notice('not-existing');
  step('ann learns that there is no attic');
  await ann.page.getByTestId('create-missing').click();
  const id = await new Room(ann.page).id();
  await ben.join('attic');
  await Promise.all([ann, ben].map((home) => new Room(home.page).others(1)));
  step('ben joined the attic that ann created');
  return { notice, id };
}

/**
 * A name that somebody else has is refused, and another one is accepted.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function names(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  await ann.row('ben').waitFor();
  await ben.rename('Ann');
  const notice = await ben.notice('name-taken');
  step('ben cannot be Ann');
  await ben.rename('bert');
  await ann.row('bert').waitFor();
  step('ann sees bert');
  return { notice };
}

/**
 * A call is declined, the next is cancelled, and the last is accepted and leads both into one room.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function ring(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  const outgoing = ann.page.getByTestId('outgoing-call');
  const incoming = ben.page.getByTestId('incoming-call');

  await ann.row('ben').getByTestId('call').click();
  await outgoing.waitFor();
  await incoming.waitFor();
  await incoming.getByTestId('decline').click();
  await outgoing.waitFor({ state: 'hidden' });
  step('ben declined');

  await ann.row('ben').getByTestId('call').click();
  await incoming.waitFor();
  await outgoing.getByTestId('cancel').click();
  await incoming.waitFor({ state: 'hidden' });
  step('ann cancelled');

  await ann.row('ben').getByTestId('call').click();
  await incoming.getByTestId('accept').click();
  const rooms = [new Room(ann.page), new Room(ben.page)];
  await Promise.all(rooms.map((room) => room.others(1)));
  step('ben accepted');
  await Promise.all(rooms.map((room) => room.watch()));
  step('both pictures move');
  await rooms[0].page.getByTestId('hangup').click();
  await Promise.all([ann, ben].map((home) => home.page.getByTestId('online-list').waitFor()));
  step('both are home again');
  return {};
}

/**
 * A person who refuses camera and microphone can still write and see.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function refused(stage, plan, step) {
  const [ann] = await homes(stage, plan, 'ann');
  const id = await ann.create();
  const page = await stage.page(await stage.browser(plan.place), 'shy', { camera: false });
  await visit(page, `${plan.url}/r/${id}`);
  const [a, shy] = [new Room(ann.page), new Room(page)];
  await Promise.all([a.others(1), shy.others(1)]);
  await shy.say('only text from me');
  await a.hear('only text from me');
  await a.say('fine');
  await shy.hear('fine');
  step('chat works without a camera');
  await shy.watch();
  step("the other's picture moves");
  return {};
}

// A closed page holds its name for a while, so the people of these scenarios have names of their own.

/**
 * The host locks the room, and a third person is refused until it is unlocked. Then the host leaves, and another is host.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function locked(stage, plan, step) {
  const [ada, bob, cy] = await homes(stage, plan, 'ada', 'bob', 'cy');
  const id = await ada.create({ size: 4 });
  await bob.join(id);
  const [a, b, c] = [ada, bob, cy].map(({ page }) => new Room(page));
  await Promise.all([a.others(1), b.others(1)]);
  if (await b.page.getByTestId('lock').isVisible()) throw new Error('bob is not the host, and may lock');
  await a.page.getByTestId('lock').click();
  await b.page.locator('.locked-sign').filter({ hasText: 'Locked' }).waitFor();
  step('ada locked the room, and bob sees it');
  await cy.join(id);
  const notice = await cy.notice('locked');
  step('cy is refused');
  await a.page.getByTestId('lock').click();
  await b.page.locator('.locked-sign').filter({ hasText: 'Locked' }).waitFor({ state: 'hidden' });
  await c.page.getByRole('button', { name: 'Try again' }).click();
  await Promise.all([a.others(2), b.others(2), c.others(2)]);
  step('cy came in when it was unlocked');
  await a.page.getByTestId('hangup').click();
  await b.page.getByTestId('lock').waitFor();
  step('bob is host when ada has left');
  return { notice };
}

/**
 * A person knocks and is refused, knocks again and is let in. Another gives up.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function knock(stage, plan, step) {
  const [dora, emil, finn] = await homes(stage, plan, 'dora', 'emil', 'finn');
  const id = await dora.create({ size: 3, waiting: true });
  const [a, b] = [dora, emil].map(({ page }) => new Room(page));
  await emil.join(id);
  const notice = await emil.notice('waiting');
  await a.knock('emil').getByTestId('refuse').click();
  await emil.notice('refused');
  step('emil waited and was refused');
  await b.page.getByRole('button', { name: 'Try again' }).click();
  await finn.join(id);
  await a.knock('finn').waitFor();
  await dora.page.evaluate(() => { // The second press of two comes when finn is where emil was.
    const twice = new MutationObserver(() => {
      twice.disconnect();
      /** @type {HTMLElement} */ (document.activeElement).click();
    });
    twice.observe(/** @type {Element} */ (document.querySelector('tp-door ul')), { childList: true });
  });
  await dora.page.locator('tp-door:not([data-quiet])').waitFor({ state: 'attached' });
  await a.knock('emil').getByTestId('admit').press('Enter');
  await Promise.all([a.others(1), b.others(1)]);
  await until('the focus to be at the next who waits', () => dora.page.evaluate(() => document.activeElement?.getAttribute('aria-label')?.includes('Admit \u2068finn')));
  await b.say('thank you');
  await a.hear('thank you');
  step('emil knocked again and was let in');
  await finn.page.getByTestId('give-up').click();
  await a.knock('finn').waitFor({ state: 'detached' });
  await until('the focus to be at the page', () => dora.page.evaluate(() => document.activeElement?.localName === 'main'));
  step('finn gave up');
  return { notice };
}

/**
 * The host removes a person, who learns of it and cannot come back.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function kicked(stage, plan, step) {
  const [gus, hal, ivy] = await homes(stage, plan, 'gus', 'hal', 'ivy');
  const id = await gus.create({ size: 3 });
  await Promise.all([hal.join(id), ivy.join(id)]);
  const [a, b, c] = [gus, hal, ivy].map(({ page }) => new Room(page));
  await Promise.all([a.others(2), b.others(2), c.others(2)]);
  await hal.page.locator('[data-testid=tile][data-local][data-video]').waitFor();
  await hal.page.getByTestId('invite-people').click();
  await a.remove('hal');
  const notice = await hal.notice('kicked');
  await hal.page.getByTestId('invite').waitFor({ state: 'hidden' });
  const own = await hal.page.locator('tp-tile[data-local]').evaluate((tile) => ['data-video', 'data-muted'].map((name) => tile.hasAttribute(name)).join());
  if (own !== 'false,true') throw new Error(`hal is out of the room, with camera and microphone on: ${own}`);
  await hal.page.getByRole('button', { name: 'To the start' }).click();
  await hal.page.getByTestId('create-room').waitFor();
  await Promise.all([a.others(1), c.others(1)]);
  step('hal was removed, and knows it');
  await visit(hal.page, `${plan.url}/r/${id}`);
  await hal.notice('kicked');
  step('hal cannot come back');
  await c.say('still here');
  await a.hear('still here');
  return { notice };
}
