// @ts-check
// Two people follow a link to one room, each in a browser on a separate host.

import { Home, Room, visit } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */

/**
 * The people meet, talk both ways and see each other move.
 * @param {Stage} stage
 * @param {{ people: (import('./browser.mjs').Place & { name: string, url: string, over: string })[], path: string, by?: string }} plan
 * @param {(what: string) => void} step
 */
export async function meet(stage, plan, step) {
  const rooms = await Promise.all(plan.people.map(async ({ name, url, ...place }) => {
    const page = await stage.page(await stage.browser(place), name);
    await visit(page, url);
    return new Room(page);
  }));
  step('both are online');
  await Promise.all(rooms.map((room) => room.others(1)));
  step('each sees the other');
  const [a, b] = rooms;
  await a.say('hello from a');
  await b.hear('hello from a');
  await b.say('hello from b');
  await a.hear('hello from b');
  step('chat works both ways');
  const frames = await Promise.all(rooms.map((room) => room.watch()));
  step('both pictures move');
  const paths = await Promise.all(rooms.map((room, i) => room.path(plan.path, plan.people[i].over)));
  step(`both paths are ${plan.path}`);
  const by = plan.by;
  if (by) {
    paths.push(await Promise.any(rooms.map((room) => room.pathBy(by)))); // At least one half has an own relay.
    step(`and ${by}`);
  }
  return { frames, paths };
}

/**
 * A person without a valid invite learns why they cannot come in.
 * @param {Stage} stage
 * @param {{ place: import('./browser.mjs').Place, links: { url: string, code: string }[] }} plan
 * @param {(what: string) => void} step
 */
export async function stranger(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  for (const { url, code } of plan.links) {
    const page = await stage.page(browser, code);
    await page.goto(url);
    const notice = await new Home(page).notice(code);
    step(`${code}: ${notice.split('\n')[0]}`);
  }
  return {};
}
