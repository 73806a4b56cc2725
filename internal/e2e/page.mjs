// @ts-check
// What the pages do for people, at a server on the same host.

import { until } from './browser.mjs';
import { Room, homes, lookAway, online, openSettings, visit } from './pages.mjs';

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
  await visit(cid.page, `${plan.url}/r/${id}%E2%80%8B).`);
  await Promise.all([a.others(2), new Room(cid.page).others(2)]);
  const address = new URL(cid.page.url());
  if (address.pathname !== `/r/${id}`) throw new Error(`the address was not mended: ${address}`);
  step('cid opened a link that swallowed a bracket');
  return { sizes };
}

/**
 * Records what a page does to be noticed: tones, notifications, locks of the screen.
 * @param {import('playwright-core').Page} page
 */
async function watchAttention(page) {
  await page.context().grantPermissions(['camera', 'microphone', 'notifications', 'screen-wake-lock']);
  await page.addInitScript(() => {
    const seen = { tones: 0, states: /** @type {Set<string>} */ (new Set()), notes: /** @type {string[]} */ ([]), locks: 0, released: 0 };
    Object.assign(globalThis, { seen });
    const { start } = OscillatorNode.prototype;
    OscillatorNode.prototype.start = function (/** @type {number | undefined} */ at) {
      seen.tones++;
      this.addEventListener('ended', () => seen.states.add(this.context.state));
      start.call(this, at);
    };
    const Real = Notification;
    globalThis.Notification = class extends Real {
      /** @param {string} title @param {NotificationOptions} [options] */
      constructor(title, options) {
        super(title, options);
        seen.notes.push(title);
        this.addEventListener('close', () => seen.notes.push(`${title} is closed`));
      }
    };
    const request = WakeLock.prototype.request;
    WakeLock.prototype.request = async function (/** @type {WakeLockType | undefined} */ type) {
      const lock = await request.call(this, type);
      seen.locks++;
      lock.addEventListener('release', () => seen.released++);
      return lock;
    };
  });
  await page.reload();
}

/** @param {import('playwright-core').Page} page @returns {Promise<{ tones: number, states: string[], notes: string[], locks: number, released: number }>} */
function attention(page) {
  return page.evaluate(() => {
    const { seen } = /** @type {any} */ (globalThis);
    return { ...seen, states: [...seen.states] };
  });
}

/**
 * The page asks whether it may show notifications when somebody presses the button for it, and not before.
 * @param {import('playwright-core').Page} page
 * @param {Step} step
 */
async function asksOnce(page, step) {
  await page.addInitScript(() => {
    const asked = { times: 0 };
    Object.assign(globalThis, { asked });
    Object.defineProperty(Notification, 'permission', { get: () => (asked.times === 0 ? 'default' : 'denied') });
    Notification.requestPermission = async () => (asked.times++, 'denied');
  });
  await page.reload();
  await online(page);
  await page.getByTestId('notify').waitFor();
  const times = () => page.evaluate(() => /** @type {any} */ (globalThis).asked.times);
  if ((await times()) !== 0) throw new Error('the page asked by itself');
  await page.getByTestId('notify').click();
  await page.getByTestId('notify').waitFor({ state: 'hidden' });
  if ((await times()) !== 1) throw new Error(`the page asked ${await times()} times`);
  step('ann was asked for notifications when she wanted them');
}

/**
 * A ring makes a sound, shows in the title and as a notification, and asks before it takes somebody out of a room. The screen stays on in a room.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function noticed(stage, plan, step) {
  const [ann, ben, cid] = await homes(stage, plan, 'ann', 'ben', 'cid');
  await asksOnce(ann.page, step);
  await watchAttention(ben.page);
  await online(ben.page);
  const id = await ben.create();
  await cid.join(id);
  await Promise.all([new Room(ben.page).others(1), new Room(cid.page).others(1)]);
  await until('the screen stays on', async () => (await attention(ben.page)).locks === 1);
  const before = await ben.page.title();
  await lookAway(ben.page, true);

  await ann.row('ben').getByTestId('call').click();
  const incoming = ben.page.getByTestId('incoming-call');
  await incoming.waitFor();
  const text = await incoming.innerText();
  if (!text.includes('Leave this room and answer') || !text.includes(id)) throw new Error(`the dialog does not say that answering leaves ${id}: ${text}`);
  if ((await ben.page.title()) !== 'ann is calling') throw new Error(`the title is ${await ben.page.title()}`);
  await until('tones that sound', async () => (await attention(ben.page)).states.includes('running'));
  const { notes, tones } = await attention(ben.page);
  if (String(notes) !== 'ann is calling') throw new Error(`the notifications were ${notes}`);
  step(`ben is called by ${tones} tones, a notification and the title`);

  await incoming.getByTestId('decline').click();
  await until('the notification to go', async () => (await attention(ben.page)).notes.includes('ann is calling is closed'));
  await until('the former title', async () => (await ben.page.title()) === before);
  await new Room(cid.page).others(1);
  step('ben declined, and is still in the room');

  await lookAway(ben.page, false);
  await ann.row('ben').getByTestId('call').click();
  await incoming.getByTestId('accept').click();
  await Promise.all([new Room(ann.page).others(1), new Room(ben.page).others(1), new Room(cid.page).others(0)]);
  if ((await attention(ben.page)).notes.length > 2) throw new Error('a page that is in sight showed a notification');
  step('ben answered, and left the room');
  await ben.page.getByTestId('hangup').click();
  await until('the screen may go off', async () => {
    const { locks, released } = await attention(ben.page);
    return locks >= 2 && released === locks;
  });
  return { notes, tones };
}

/**
 * A page that is reloaded before it has loaded keeps its session, and so its place in the room.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function impatient(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  const id = await ann.create();
  await ben.join(id);
  const [a, b] = [new Room(ann.page), new Room(ben.page)];
  await Promise.all([a.others(1), b.others(1)]);
  const session = stage.welcomes(ben.page).at(-1)?.session;
  /** @type {() => void} */
  let release = () => {};
  const held = new Promise((resolve) => (release = () => resolve(undefined)));
  await ben.page.route('**/icons.svg', async (route) => {
    await held;
    await route.continue().catch(() => {}); // The second reload has given it up.
  });
  await ben.page.reload({ waitUntil: 'domcontentloaded' });
  const state = await ben.page.evaluate(() => document.readyState);
  if (state === 'complete') throw new Error('the page has loaded without its icons: this test proves nothing');
  step('ben reloads, and something takes long to load');
  const reloading = ben.page.reload({ waitUntil: 'domcontentloaded' });
  release();
  await reloading;
  await online(ben.page);
  await b.others(1);
  const { session: now, resumed } = stage.welcomes(ben.page).at(-1) ?? {};
  if (now !== session) throw new Error(`ben has another session: ${resumed}`);
  const events = await a.events();
  if (events.some((text) => /left|lost/.test(text))) throw new Error(`ann was told: ${events}`);
  step('ben reloaded once more, and is still there');
  return { resumed };
}

/**
 * To take another name leaves the room as it is: its waiting room, its lock, its host, and a call that rings.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function renamed(stage, plan, step) {
  const [ann, ben, cid] = await homes(stage, plan, 'ann', 'ben', 'cid');
  await watchAttention(ann.page);
  await online(ann.page);
  const id = await ann.create({ size: 4, waiting: true });
  const [a, b] = [new Room(ann.page), new Room(ben.page)];
  const dialog = await openSettings(ann.page);
  const name = ann.page.getByTestId('name');
  await name.fill('not yet');
  await ann.page.getByTestId('settings-close').focus();
  await name.press('Escape');
  if ((await name.inputValue()) !== 'ann') throw new Error(`to leave the field and take it back gave ${await name.inputValue()}`);
  await name.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await ann.rename('anna');
  await ben.row('anna').waitFor();
  step('ann, alone in a room with a waiting room, is anna');

  await ben.join(id);
  await ben.notice('waiting');
  await a.knock('ben').waitFor();
  await until('a knock that sounds', async () => (await attention(ann.page)).tones > 0);
  if (!/ben.* waits/.test(await ann.page.title())) throw new Error(`the title is ${await ann.page.title()}`);
  await a.knock('ben').getByTestId('admit').click();
  await Promise.all([a.others(1), b.others(1)]);
  if (/ben.* waits/.test(await ann.page.title())) throw new Error('the title still says that ben waits');
  step('ben had to wait, and was let in');

  await a.page.getByTestId('lock').click();
  await b.page.locator('.locked-sign').filter({ hasText: 'Locked' }).waitFor();
  await ann.rename('Anna');
  await b.page.locator('[data-testid=tile][aria-label="Anna"]').waitFor();
  await b.page.locator('.event').filter({ hasText: /anna.* is .*Anna.* now/ }).waitFor();
  if (!(await a.page.getByTestId('lock').isVisible())) throw new Error('Anna is not the host any more');
  await cid.join(id);
  await cid.notice('locked');
  step('anna is Anna, and the room is still locked, and hers');

  await cid.page.getByRole('button', { name: 'To the start' }).click();
  await ben.page.getByTestId('hangup').click();
  await cid.row('ben').getByTestId('call').click();
  const incoming = ben.page.getByTestId('incoming-call');
  await incoming.waitFor();
  // The dialog is before the field, so a second tab of the person would do this.
  await ben.page.evaluate(() => {
    const form = /** @type {any} */ (document.querySelector('tp-name'));
    form.querySelector('input').value = 'benno';
    return form.commit();
  });
  await cid.page.locator('[data-user]').filter({ hasText: 'benno' }).waitFor({ state: 'attached' });
  if (!(await incoming.isVisible())) throw new Error('the call ended');
  await incoming.getByTestId('accept').click();
  await Promise.all([new Room(cid.page).others(1), b.others(1)]);
  step('ben is benno, and the call went on ringing');
  return {};
}

/**
 * The camera is blocked, and the microphone is not: it works, and the page says above its controls what is missing.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function halfblocked(stage, plan, step) {
  const [ann] = await homes(stage, plan, 'ann');
  const id = await ann.create();
  const page = await stage.page(await stage.browser(plan.place), 'shy', { camera: false });
  await page.context().grantPermissions(['microphone']);
  await visit(page, `${plan.url}/r/${id}`);
  const [a, shy] = [new Room(ann.page), new Room(page)];
  await Promise.all([a.others(1), shy.others(1)]);
  await ann.page.locator('[data-testid=tile]:not([data-local]):not([data-muted])').waitFor();
  step("ann hears the microphone of somebody whose camera is blocked");
  const trouble = page.getByTestId('trouble');
  const text = await trouble.innerText();
  if (!/Camera: blocked/.test(text) || /icrophone/.test(text)) throw new Error(`the page says: ${text}`);
  await page.context().grantPermissions(['camera', 'microphone']);
  await page.getByTestId('trouble-again').press('Enter');
  await until('the strip to go', async () => (await trouble.innerText()) === '');
  const focused = await page.evaluate(() => document.activeElement?.getAttribute('data-testid'));
  if (focused !== 'mute') throw new Error(`what has the focus after the strip is ${focused}`);
  await a.watch();
  step('after the camera was allowed, "Try again" turned it on');
  return { text };
}

/**
 * A device that goes is told, and another takes its place.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function lostdevice(stage, plan, step) {
  const [ann] = await homes(stage, plan, 'ann');
  await ann.page.addInitScript(() => {
    /** @type {MediaStreamTrack[]} */
    const tracks = [];
    Object.assign(globalThis, { tracks });
    const { getUserMedia } = MediaDevices.prototype;
    MediaDevices.prototype.getUserMedia = async function (/** @type {MediaStreamConstraints | undefined} */ wanted) {
      if (/** @type {any} */ (globalThis).unplugged) throw new DOMException('', 'NotFoundError');
      const stream = await getUserMedia.call(this, wanted);
      tracks.push(...stream.getTracks());
      return stream;
    };
  });
  await ann.page.reload();
  await online(ann.page);
  await ann.create();
  const { page } = ann;
  const trouble = page.getByTestId('trouble');
  /** The newest microphone, or camera, fires an event, as a browser would. @param {string} event */
  const happens = (event, kind = 'audio') => page.evaluate(([event, wanted]) => {
    const { tracks } = /** @type {any} */ (globalThis);
    const device = tracks.filter((/** @type {MediaStreamTrack} */ { kind }) => kind === wanted).at(-1);
    Object.defineProperty(device, 'muted', { configurable: true, value: event === 'mute' });
    device.dispatchEvent(new Event(event));
  }, [event, kind]);
  await until('a microphone', () => page.evaluate(() => /** @type {any} */ (globalThis).tracks.length === 2));
  await happens('mute', 'video');
  await trouble.filter({ hasText: 'Camera: silenced' }).waitFor();
  await page.getByTestId('camera').click();
  await until('the strip to go with the camera', async () => (await trouble.innerText()) === '');
  step('a camera that the user turned off is not said to be silenced');
  await page.getByTestId('camera').click();
  await page.getByTestId('camera').filter({ hasText: 'Stop camera' }).waitFor();
  await happens('mute', 'video');
  await trouble.filter({ hasText: 'Camera: silenced' }).waitFor();
  await page.getByTestId('trouble-dismiss').click();
  await happens('mute');
  await trouble.filter({ hasText: 'Microphone: silenced' }).waitFor();
  if (/Camera/.test(await trouble.innerText())) throw new Error('what was dismissed came back');
  await happens('unmute');
  await until('the strip to go', async () => (await trouble.innerText()) === '');
  step('a microphone that the system silences is told');
  await happens('ended');
  await trouble.filter({ hasText: 'Another one is used now' }).waitFor();
  await page.getByTestId('trouble-dismiss').click();
  step('another microphone took the place of the one that was unplugged');
  await page.evaluate(() => Object.assign(globalThis, { unplugged: true }));
  await happens('ended');
  await trouble.filter({ hasText: 'Microphone: unplugged' }).waitFor();
  await page.getByTestId('mute').filter({ hasText: 'Unmute' }).waitFor();
  step('the last one was unplugged, and the page says so');
  return {};
}

/**
 * A join that the server does not answer, although it is there, is tried again.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function unanswered(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  const id = await ann.create();
  let swallowed = 0;
  await ben.page.routeWebSocket(/\/signal$/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((message) => {
      if (swallowed === 0 && String(message).includes('"type":"join"')) swallowed++;
      else server.send(message);
    });
  });
  await ben.page.clock.install();
  await ben.page.reload();
  await online(ben.page);
  await ben.join(id);
  await until('a join that nobody answers', async () => swallowed === 1);
  step('the server never sees that ben joins');
  await until('ben in the room', async () => {
    await ben.page.clock.fastForward(5000);
    return ben.page.locator('[data-testid=tile]:not([data-local])').count();
  });
  step('ben came in by another try');
  return {};
}
