// @ts-check
// People invite others from the page, where nobody comes in without an invite.

import jsqr from 'jsqr';
import { until } from './browser.mjs';
import { Home, Room, enter as throughLobby, online } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {import('playwright-core').Page} Page */

/** The types take this CommonJS module for an ES module. @type {typeof jsqr.default} */
const jsQR = /** @type {any} */ (jsqr);

/** What "Copy link" puts into the clipboard. @param {Page} page */
async function copied(page) {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByTestId('copy-link').filter({ hasText: 'Copy link' }).click();
  await page.getByTestId('copy-link').filter({ hasText: 'Copied' }).waitFor();
  return page.evaluate(() => navigator.clipboard.readText());
}

/** Opens the dialog that invites, and waits for a link that is not the room's bare address. @param {Page} page */
async function openDialog(page) {
  await page.getByTestId('invite-people').click();
  const field = page.getByTestId('invite-link');
  await until('a link with an invite', async () => (await field.inputValue()).includes('#invite='));
  return page.getByTestId('invite');
}

/** What a camera reads of the QR code. @param {Page} page */
async function scanned(page) {
  const { size, dark } = await page.locator('.qr').evaluate((svg) => {
    const [, , size] = (svg.getAttribute('viewBox') ?? '').split(' ').map(Number);
    const modules = [...(svg.querySelector('path')?.getAttribute('d') ?? '').matchAll(/M(\d+) (\d+)h1v1h-1z/g)];
    return { size, dark: modules.map(([, x, y]) => [Number(x), Number(y)]) };
  });
  const scale = 4;
  const pixels = new Uint8ClampedArray((size * scale) ** 2 * 4).fill(255);
  for (const [x, y] of dark) {
    for (let row = 0; row < scale; row++) {
      for (let column = 0; column < scale; column++) pixels.fill(0, 4 * ((y * scale + row) * size * scale + x * scale + column), 4 * ((y * scale + row) * size * scale + x * scale + column) + 3);
    }
  }
  return jsQR(pixels, size * scale, size * scale)?.data;
}

/**
 * @param {Stage} stage
 * @param {{ place: import('./browser.mjs').Place, url: string, member: string, once: string }} plan
 * @param {(what: string) => void} step
 */
export async function invites(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  /** @param {string} name @param {string} link */
  const open = async (name, link) => {
    const page = await stage.page(browser, name, { camera: false }); // Five pictures would be too much for a small machine.
    await page.addInitScript(() => { // A phone shares; Chromium on Linux does not.
      navigator.share = async (data) => void Object.assign(globalThis, { shared: data?.url });
    });
    await page.goto(link);
    return page;
  };
  /** @param {string} name @param {string} link */
  const enter = async (name, link) => {
    const page = await open(name, link);
    await throughLobby(page);
    await online(page);
    return new Room(page);
  };
  const bare = await open('bare', plan.url);
  await new Home(bare).notice('invite-required');
  await bare.close();
  const ann = await enter('ann', plan.member);
  await ann.page.getByTestId('hangup').waitFor();
  const link = await copied(ann.page);
  if (!link.startsWith(`${plan.url}/r/standup#invite=`)) throw new Error(`ann copied ${link}`);
  if ((await copied(ann.page)) !== link) throw new Error('ann copied twice, and has two invites');
  const ben = await enter('ben', link);
  await Promise.all([ann.others(1), ben.others(1)]);
  step('ben came in by the link that ann copied');

  const own = await copied(ben.page);
  if (own !== link) throw new Error(`ben, a guest, copied ${own}`);
  const cid = await enter('cid', own);
  await Promise.all([ann.others(2), cid.others(2)]);
  step('cid came in by the link that ben, a guest, copied: it has his own invite');

  const dan = await enter('dan', plan.once);
  await Promise.all([ann.others(3), dan.others(3)]);
  const spent = await copied(dan.page);
  if (spent !== `${plan.url}/r/standup`) throw new Error(`dan, whose invite is used up, copied ${spent}`);
  await dan.page.getByTestId('hangup').click();
  step('dan, whose invite is used up, copied the bare address');

  const dialog = await openDialog(ann.page);
  if ((await scanned(ann.page)) !== link) throw new Error(`the QR code says ${await scanned(ann.page)}, and not ${link}`);
  await ann.page.getByTestId('invite-share').click();
  const shared = await ann.page.evaluate(() => /** @type {any} */ (globalThis).shared);
  if (shared !== link) throw new Error(`ann shared ${shared}, and not ${link}`);
  await dialog.locator('summary').click();
  await ann.page.getByTestId('invite-uses').selectOption('1');
  await ann.page.getByTestId('invite-role').selectOption('member');
  await ann.page.getByTestId('invite-make').click();
  const field = ann.page.getByTestId('invite-link');
  await until('another link', async () => (await field.inputValue()) !== link);
  const single = await field.inputValue();
  const roles = await ann.page.getByTestId('invite-role').locator('option').allInnerTexts();
  if (roles.some((role) => /moderator|admin/.test(role))) throw new Error(`ann, a member, may invite ${roles}`);
  await until('a QR code of it', async () => (await scanned(ann.page)) === single);
  const eve = await enter('eve', single);
  await eve.page.getByTestId('hangup').waitFor();
  await new Home(await open('fay', single)).notice('invite-used');
  step('one person came by the link for one person');

  const rows = ann.page.getByTestId('invites').locator('li');
  await rows.filter({ hasText: 'for anybody' }).getByTestId('take-back').click();
  await until('the link to go', async () => (await rows.filter({ hasText: 'for anybody' }).count()) === 0);
  await new Home(await open('gus', link)).notice('invite-revoked');
  await Promise.all([new Home(ben.page).notice('ended'), new Home(cid.page).notice('ended')]);
  await ann.page.getByTestId('invite-close').click();
  await ann.others(1);
  step('the link that was taken back lets nobody in, and those who came by it are out');
  return { roles };
}
