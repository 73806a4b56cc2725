// @ts-check
// How the pages come to a browser: what they need at first in one wave, compressed, and once.

import { online } from './pages.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {(what: string) => void} Step
 * @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan
 */

/** Bytes of the page that come over the network until a view is there. web/site_test.go has the same budgets for what it names. */
const budgets = { '/': 45 * 1024, '/r/standup': 80 * 1024 };

/** @param {import('playwright-core').Page} page */
function loaded(page) {
  return page.evaluate(() => performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation')).map((entry) => {
    const { name, encodedBodySize, decodedBodySize, transferSize } = /** @type {PerformanceResourceTiming} */ (entry);
    return { name, encodedBodySize, decodedBodySize, transferSize };
  }));
}

/**
 * Opens each view in a browser of its own. Then again, where no module gets an answer before all of them are asked for: a page
 * that learns from one module that it needs another would wait for ever.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function onewave(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const report = [];
  for (const [path, budget] of Object.entries(budgets)) {
    const first = await stage.page(browser, `first at ${path}`);
    await first.goto(plan.url + path);
    await online(first);
    await first.waitForFunction(() => document.querySelector('main > *'));
    const files = await loaded(first);
    const modules = files.filter(({ name }) => name.endsWith('.js')).map(({ name }) => name);
    if (modules.length < 3 || new Set(modules).size !== modules.length) throw new Error(`${path} loads ${modules}`);
    const bytes = files.filter(({ name }) => !name.includes('/api/')).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
    report.push({ path, files: files.length, modules: modules.length, bytes });
    if (bytes > budget) throw new Error(`${path} has ${bytes} bytes: ${JSON.stringify(files)}`);
    const large = files.find(({ name, encodedBodySize, decodedBodySize }) => /\.(js|css)$/.test(name) && encodedBodySize >= decodedBodySize);
    if (large) throw new Error(`${large.name} came uncompressed`);
    step(`${path} comes in ${files.length} files with ${bytes} bytes`);

    await first.reload();
    await online(first);
    const asked = (await loaded(first)).filter(({ name, transferSize }) => name.includes('/v/') && transferSize > 0);
    if (asked.length > 0) throw new Error(`${path} asks again for ${asked.map(({ name }) => name)}`);
    step(`${path} asks for nothing of it again`);

    const second = await stage.page(browser, `second at ${path}`);
    const waiting = new Set();
    /** @type {() => void} */
    let all = () => {};
    const barrier = /** @type {Promise<void>} */ (new Promise((resolve) => { all = resolve; }));
    await second.route('**/*.js', async (route) => {
      waiting.add(route.request().url());
      if (modules.every((name) => waiting.has(name))) all();
      await barrier;
      await route.continue();
    });
    await second.goto(plan.url + path, { waitUntil: 'commit' });
    await online(second).catch((error) => {
      throw new Error(`${path} asks at first for ${[...waiting]} only, of ${modules}: ${error}`);
    });
    step(`${path} asks for all its modules before it has any`);
    await first.close();
    await second.close();
  }
  return { report };
}
