// @ts-check
// Nothing is lost when pages reload, networks change and servers restart.

import { until } from './browser.mjs';
import { Home, Room, enter, homes, online, visit } from './pages.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {import('./drive.mjs').Step} Step
 * @typedef {import('./drive.mjs').Cue} Cue
 * @typedef {import('./browser.mjs').Place & { name: string, url: string }} Person
 */

/**
 * Two people in one room of a server on this machine.
 * @param {Stage} stage
 * @param {{ place: import('./browser.mjs').Place, url: string }} plan
 */
async function pair(stage, plan) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  await ben.page.waitForFunction(() => document.querySelector('[data-testid=online-list] [data-user]'));
  await ben.join(await ann.create());
  const rooms = [new Room(ann.page), new Room(ben.page)];
  await Promise.all(rooms.map((room) => room.others(1)));
  await Promise.all(rooms.map((room) => room.watch()));
  return rooms;
}

/**
 * Two people who follow a link, each on a separate host.
 * @param {Stage} stage
 * @param {Person[]} people
 */
async function meeting(stage, people) {
  const rooms = await Promise.all(people.map(async ({ name, url, ...place }) => {
    const page = await stage.page(await stage.browser(place), name);
    await visit(page, url);
    return new Room(page);
  }));
  await Promise.all(rooms.map((room) => room.others(1)));
  await Promise.all(rooms.map((room) => room.watch()));
  return rooms;
}

/**
 * Waits for the next welcome.
 * @param {Stage} stage
 * @param {Room} room
 * @param {number} count of the welcomes before it
 */
function nextWelcome(stage, room, count) {
  return until('another welcome', async () => stage.welcomes(room.page)[count]);
}

/**
 * Waits until each has heard the other's text, and checks that it came once.
 * @param {Room[]} rooms
 * @param {string[]} texts that a and b have sent
 */
async function hearOnce([a, b], [fromA, fromB]) {
  await Promise.all([a.hear(fromB), b.hear(fromA)]);
  // A repetition would arrive before these messages.
  await a.say(`and this from a, after ${fromA}`);
  await b.say(`and this from b, after ${fromB}`);
  await Promise.all([a.hear(`and this from b, after ${fromB}`), b.hear(`and this from a, after ${fromA}`)]);
  const counts = await Promise.all([a.heard(fromB), b.heard(fromA)]);
  if (counts.some((count) => count !== 2)) throw new Error(`heard ${counts.map((count) => count - 1)} times, not once`);
}

/**
 * A reloaded page is back in the call, as the same session, and its room mate hardly notices.
 * @param {Stage} stage
 * @param {{ place: import('./browser.mjs').Place, url: string }} plan
 * @param {Step} step
 */
export async function reload(stage, plan, step) {
  const [a, b] = await pair(stage, plan);
  await a.say('before');
  await b.hear('before');
  const [news, welcomes] = [await a.events(), stage.welcomes(b.page)];
  const before = welcomes.at(-1);
  const count = welcomes.length;
  const reloaded = b.page.reload();
  await a.say('while ben was loading');
  await reloaded;
  const welcome = await nextWelcome(stage, b, count);
  if (welcome.session !== before?.session || welcome.resumed !== 'replayed') {
    throw new Error(`welcomed as ${welcome.session}, resumed: ${welcome.resumed}; was ${before?.session}`);
  }
  step('ben is back as the same session');
  await Promise.all([a.others(1), b.others(1)]);
  await Promise.all([a.watch(), b.watch()]);
  step('both pictures move again');
  await b.hear('before');
  await b.say('back');
  await hearOnce([a, b], ['while ben was loading', 'back']);
  step('no message is lost');
  const now = await a.events();
  if (now.join() !== news.join()) throw new Error(`ann's log says: ${now.slice(news.length)}`);
  return {};
}

/**
 * A tab that is duplicated in the middle of a call gets a session of its own.
 * @param {Stage} stage
 * @param {{ place: import('./browser.mjs').Place, url: string }} plan
 * @param {Step} step
 */
export async function duplicate(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const home = new Home(await stage.page(browser, 'cat'));
  await home.open(plan.url, 'cat'); // A closed tab holds its name for a while, so this is a new name.
  await home.create();
  const room = new Room(home.page);
  const opened = home.page.context().waitForEvent('page');
  await home.page.evaluate(() => void open(location.href));
  const copy = await opened;
  stage.follow(copy, 'copy');
  const stored = await copy.evaluate(() => Object.keys(sessionStorage));
  if (!stored.includes('turnpike.name')) throw new Error(`the copy has no copy of the storage: ${stored}`);
  await online(copy);
  await enter(copy);
  step('the copy is online');
  await Promise.all([room.others(1), new Room(copy).others(1)]);
  await new Room(copy).watch();
  const [mine, other] = [stage.welcomes(home.page), stage.welcomes(copy)];
  if (other.some(({ session, resumed }) => resumed || session === mine.at(-1)?.session)) throw new Error('the copy took the session over');
  step('both are in the room, each with its own session');
  return {};
}

/**
 * The network of one of the two changes in mid-call, with no sign but silence.
 * @param {Stage} stage
 * @param {{ people: Person[] }} plan
 * @param {Step} step
 * @param {Cue} cue changes the network
 */
export async function change(stage, plan, step, cue) {
  const rooms = await meeting(stage, plan.people);
  const [a, b] = rooms;
  const [count, news] = [stage.welcomes(a.page).length, await b.events()];
  const before = stage.welcomes(a.page)[count - 1];
  step('both pictures move');
  const interruptions = await Promise.all(rooms.map((room) => room.interruption()));
  await cue('change');
  await a.say('from the one whose network changed');
  await b.say('to the one whose network changed');
  const gaps = await Promise.all(interruptions.map((ended) => ended()));
  step(`the pictures stood still for ${gaps.join(' and ')} ms`);
  const welcome = await nextWelcome(stage, a, count);
  if (welcome.session !== before.session || welcome.resumed !== 'replayed') throw new Error(`resumed: ${welcome.resumed}`);
  await hearOnce(rooms, ['from the one whose network changed', 'to the one whose network changed']);
  step('the messages of the gap have arrived once');
  await Promise.all(rooms.map((room) => room.others(1)));
  const now = await b.events();
  if (now.join() !== news.join()) throw new Error(`b's log says: ${now.slice(news.length)}`);
  return { gaps };
}

/**
 * The server is killed and restarted in mid-call. Its relays are gone.
 * @param {Stage} stage
 * @param {{ people: Person[] }} plan
 * @param {Step} step
 * @param {Cue} cue restarts the server
 */
export async function restart(stage, plan, step, cue) {
  const rooms = await meeting(stage, plan.people);
  const [a, b] = rooms;
  const counts = rooms.map(({ page }) => stage.welcomes(page).length);
  const interruptions = await Promise.all(rooms.map((room) => room.interruption()));
  const restarted = cue('restart');
  await a.say('from a in the gap');
  await b.say('from b in the gap');
  await restarted;
  const welcomes = await Promise.all(rooms.map((room, i) => nextWelcome(stage, room, counts[i])));
  if (welcomes.some(({ resumed }) => resumed !== 'restored')) throw new Error(`resumed: ${welcomes.map(({ resumed }) => resumed)}`);
  step('both sessions are restored');
  step(`the pictures stood still for ${(await Promise.all(interruptions.map((ended) => ended()))).join(' and ')} ms`);
  await hearOnce(rooms, ['from a in the gap', 'from b in the gap']);
  step('the messages of the gap have arrived once');
  await Promise.all(rooms.map((room) => room.others(1)));
  return {};
}

/**
 * The path to the server is cut for longer than it keeps sessions. The call goes on, and the next sessions continue it.
 * @param {Stage} stage
 * @param {{ people: Person[] }} plan
 * @param {Step} step
 * @param {Cue} cue cuts the path, waits until the server has given up the sessions, and mends the path
 */
export async function outage(stage, plan, step, cue) {
  const rooms = await meeting(stage, plan.people);
  const [a, b] = rooms;
  const counts = rooms.map(({ page }) => stage.welcomes(page).length);
  await cue('cut');
  await Promise.all(rooms.map(({ page }) => page.locator('tp-status[data-state=reconnecting]').waitFor()));
  step('both pages say that they are offline');
  await cue('wait');
  step('the server has long given up both sessions');
  await Promise.all(rooms.map((room) => room.watch()));
  await a.say('from a without a server');
  await b.say('from b without a server');
  await hearOnce(rooms, ['from a without a server', 'from b without a server']);
  step('the pictures move and chat works without a server');
  await cue('mend');
  const welcomes = await Promise.all(rooms.map((room, i) => nextWelcome(stage, room, counts[i])));
  if (welcomes.some(({ resumed }) => resumed)) throw new Error('a session was resumed that the server had given up');
  step('both have new sessions');
  await Promise.all(rooms.map((room) => room.others(1)));
  await Promise.all(rooms.map((room) => room.watch()));
  await a.say('from a afterwards');
  await b.say('from b afterwards');
  await hearOnce(rooms, ['from a afterwards', 'from b afterwards']);
  return {};
}
