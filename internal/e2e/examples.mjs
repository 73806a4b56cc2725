// @ts-check
// Runs every example of docs/sdk.md in the page of an app, as it stands there.

import { until } from './browser.mjs';
import { appPage, seesAndHears } from './apppage.mjs';
import { snippet, snippetNames } from './snippets.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {(what: string) => void} Step
 * @typedef {import('./apppage.mjs').Plan} Plan
 * @typedef {{ page: import('playwright-core').Page, said: string[] }} Person `said` is what the page has written to its console
 */

const done = 'the example has run';

/** What a test must reach of an example. */
const reach = { calls: ['client', 'ring'], order: ['room'], peers: ['room'] };

/** Examples that do not run in a page by themselves: apps.mjs and programs.mjs do them. */
const elsewhere = ['package', 'react', 'people', 'vue', 'node', 'program'];

/**
 * What somebody must see of each example.
 * @type {Record<string, (open: () => Promise<Person>, plan: Plan) => Promise<void>>}
 */
const examples = {
  async quickstart(open) {
    const [first, second] = [await open(), await open()];
    await Promise.all([seesAndHears(first.page), seesAndHears(second.page)]);
  },
  async guarded(open) {
    const { page, said } = await open();
    await page.context().route('**/sdk/v1/turnpike.js', (route) => route.abort());
    await page.reload();
    await hears(said, 'No calls now:');
  },
  async token(open) {
    await hears((await open()).said, 'signed in as Ada, member');
  },
  async peers(open) {
    const [first, second] = [await open(), await open()];
    await hears(first.said, 'standup-peers is for 8, and its host is me');
    await hears(second.said, 'and its host is Guest');
    await hears(first.said, ' came');
    await second.page.evaluate('room.leave()');
    await hears(first.said, ' went: leave');
  },
  async waiting(open) {
    const first = await open();
    await open();
    await hears(first.said, ' knocks');
  },
  async sources(open) {
    const [first, second] = [await open(), await open()];
    await hears(second.said, 'screen stopped');
    await hears(first.said, 'Guest');
  },
  async speaker(open) {
    const [first] = [await open(), await open()];
    await hears(first.said, 'Guest'); // A microphone that a browser makes up beeps each second.
    await hears(first.said, ' speaks');
    await hears(first.said, ' is heard');
  },
  async chat(open) {
    const [first] = [await open(), await open()];
    await hears(first.said, 'says: Hello!');
  },
  async data(open) {
    const [first] = [await open(), await open()];
    await hears(first.said, ' move {"x":1,"y":2}');
  },
  async channel(open) {
    const [first, second] = [await open(), await open()];
    await hears(first.said, 'plays rook to e4');
    await hears(second.said, 'plays rook to e4');
  },
  async relay(open) {
    const [first, second] = [await open(), await open()];
    await hears(first.said, 'relayed');
    await hears(second.said, 'relayed');
  },
  async calls(open) {
    const [first, second] = [await open(), await open()];
    const user = await first.page.evaluate('client.user');
    const answered = second.page.evaluate(`ring(${JSON.stringify(user)}).then((room) => room.size)`);
    await hears(first.said, ' rings');
    await first.page.evaluate('[...client.calls.values()][0].accept().then(() => {})');
    if (await answered !== 2) throw new Error('the call led to no room of two');
  },
  async order(open) {
    const first = await open();
    const { page, said } = await open();
    await hears(first.said, 'peer-joined');
    await hears(said, 'peer-joined');
    const atFirst = ['online first', 'connect has resolved', 'room join', 'join has resolved'];
    same(first.said, [...atFirst, done, 'peer-joined']);
    same(said.filter((line) => line !== done), [...atFirst, 'peer-joined']);
    said.length = 0;
    await page.reload();
    await hears(said, 'online replayed');
    same(said.slice(0, 2), ['room reload', 'online replayed']);
    await page.waitForFunction('globalThis.room');
    await page.evaluate('room.leave()');
    await hears(said, 'left leave');
  },
  async invites(open) {
    await hears((await open()).said, '/r/standup-invites#invite=');
  },
  async outage(open) {
    await open();
  },
};

/** @param {string[]} said @param {string} what */
function hears(said, what) {
  return until(`${what}, and heard ${JSON.stringify(said)}`, async () => said.some((line) => line.includes(what)));
}

/** @param {string[]} said @param {string[]} expected */
function same(said, expected) {
  if (JSON.stringify(said) !== JSON.stringify(expected)) throw new Error(`it said ${JSON.stringify(said)}, not ${JSON.stringify(expected)}`);
}

/**
 * The module of an example, in a room of its own. One that imports nothing goes on after the first example.
 * @param {string} name
 * @param {string} url
 */
async function moduleOf(name, url) {
  const code = await snippet(name, url);
  const before = /\bimport\b/.test(code) ? '' : `${await snippet('quickstart', url)}\n`;
  const reached = `Object.assign(globalThis, { ${(/** @type {Record<string, string[]>} */ (reach)[name] ?? []).join(', ')} });`;
  return `${before}${code}\n${reached}\nconsole.log(${JSON.stringify(done)});`.replaceAll("'standup'", `'standup-${name}'`);
}

/**
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function documented(stage, plan, step) {
  const names = (await snippetNames()).filter((name) => !elsewhere.includes(name));
  const unknown = [...names.filter((name) => !examples[name]), ...Object.keys(examples).filter((name) => !names.includes(name))];
  if (unknown.length > 0) throw new Error(`docs/sdk.md and examples.mjs do not both have ${unknown}`);
  const browser = await stage.browser(plan.place);
  const backend = await stage.page(browser, 'backend');
  await backend.goto(`${plan.url}/favicon.svg`);
  /** The ticket of a member, which an app's own backend would sign. @param {number} i of the person */
  const mint = (i) => backend.evaluate(async (name) => {
    const answer = await fetch('/api/v1/tickets', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name }) });
    return (await answer.json()).ticket;
  }, ['Ada', 'Bob', 'Cy'][i] ?? `user ${i}`);
  for (const name of names) {
    const module = await moduleOf(name, plan.url);
    /** @type {Person[]} */
    const people = [];
    const open = async () => {
      /** @type {string[]} */
      const said = [];
      /** @type {string[]} */
      const errors = [];
      const page = await appPage(stage, browser, plan, `${name} ${people.length}`, module, async (opened) => {
        opened.on('console', (message) => said.push(message.text()));
        // Nobody is there to choose a screen.
        await opened.addInitScript(() => { navigator.mediaDevices.getDisplayMedia = (wanted) => navigator.mediaDevices.getUserMedia(wanted); });
        opened.on('pageerror', (error) => errors.push(String(error)));
        await opened.context().route(`${plan.app}/my/token`, async (route) => route.fulfill({ contentType: 'text/plain', body: await mint(people.length) }));
      });
      people.push({ page, said });
      await until(`${name} to run, which has said ${said}`, async () => {
        if (errors.length > 0) throw new Error(`${name}: ${errors}`);
        return said.includes(done);
      });
      return { page, said };
    };
    const example = examples[name];
    if (example) await example(open, plan);
    for (const { page } of people) await page.context().close();
    step(name);
  }
  return {};
}
