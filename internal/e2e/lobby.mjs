// @ts-check
// The lobby before a room: nothing is shared before the button, and the button works at any time.

import { until } from './browser.mjs';
import { Home, Room, enter, homes, online, visit } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {import('playwright-core').Page} Page */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/** Which of our devices are on, as a lobby shows it. @param {Page} page */
function shown(page) {
  return page.evaluate(() => ['lobby-camera', 'lobby-mute'].map((id) => !document.querySelector(`[data-testid=${id}]`)?.hasAttribute('data-off')).join());
}

/** How often this page has asked for a camera or a microphone. @param {Page} page */
async function countAsking(page) {
  await page.addInitScript(() => {
    const asked = { camera: 0, microphone: 0 };
    Object.assign(globalThis, { asked });
    const { getUserMedia } = MediaDevices.prototype;
    MediaDevices.prototype.getUserMedia = function (/** @type {MediaStreamConstraints | undefined} */ wanted) {
      asked.camera += wanted?.video ? 1 : 0;
      asked.microphone += wanted?.audio ? 1 : 0;
      return getUserMedia.call(this, wanted);
    };
  });
  return () => page.evaluate(() => /** @type {any} */ (globalThis).asked);
}

/**
 * A person sees and hears themselves in the lobby, chooses devices, and nobody knows of them until they press "Join".
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function lobby(stage, plan, step) {
  const [ann] = await homes(stage, plan, 'ann');
  const id = await ann.create();
  const page = await stage.page(await stage.browser(plan.place), 'ben');
  /** @type {string[]} */
  const sent = [];
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => sent.push(String(payload))));
  await page.goto(`${plan.url}/r/${id}`);
  await online(page);
  await page.locator('tp-lobby[data-video]').waitFor();
  const preview = page.getByTestId('preview').locator('video');
  await preview.evaluate((video) => new Promise((resolve) => /** @type {HTMLVideoElement} */ (video).requestVideoFrameCallback(resolve)));
  await page.locator('[data-testid=level]:not([data-level="0"])').waitFor({ state: 'attached' });
  step('ben sees himself, and the meter shows a beep of the microphone');
  const [cameras, microphones] = await Promise.all(['camera', 'microphone'].map((kind) => page.getByTestId(`lobby-select-${kind}`).locator('option').allInnerTexts()));
  if (cameras.length !== 3 || microphones.length < 2) throw new Error(`ben may choose of ${cameras} and ${microphones}`);
  await page.getByTestId('lobby-select-camera').selectOption({ label: cameras[2] ?? '' });
  await until('the other camera', () => preview.evaluate((video, label) => {
    const stream = /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (video).srcObject);
    return stream?.getVideoTracks()[0]?.label === label;
  }, cameras[2]));
  step(`ben took ${cameras[2]}`);
  await page.getByTestId('lobby-camera').click();
  await page.locator('tp-lobby:not([data-video])').waitFor();
  await page.getByTestId('lobby-camera').click();
  await page.locator('tp-lobby[data-video]').waitFor();
  if (sent.some((message) => message.includes('"join"'))) throw new Error('ben joined before he pressed the button');
  await new Room(ann.page).others(0);
  const events = await new Room(ann.page).events();
  if (events.length > 0) throw new Error(`ann was told: ${events}`);
  step('nobody knows of ben');
  await page.getByTestId('name').fill('Benjamin');
  await page.getByTestId('name').press('Enter');
  await Promise.all([new Room(ann.page).watch(), new Room(page).watch()]);
  await ann.page.locator('[data-testid=tile][aria-label="Benjamin"]:not([data-muted])').waitFor();
  const label = await page.locator('tp-tile[data-local] video').evaluate((video) => /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (video).srcObject).getVideoTracks()[0]?.label);
  if (label !== cameras[2]) throw new Error(`in the room ben's camera is ${label}`);
  step('Enter took him in, under his new name and with the camera that he chose');
  return { cameras, microphones };
}

/**
 * What a person turned off, and which devices they chose, is so in the next lobby; a call without both is no such choice.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function choices(stage, plan, step) {
  const [ann] = await homes(stage, plan, 'ann');
  const id = await ann.create();
  const page = await stage.page(await stage.browser(plan.place), 'ben');
  const asked = await countAsking(page);
  const link = `${plan.url}/r/${id}`;
  await page.goto(link);
  await page.locator('tp-lobby[data-video]').waitFor();
  await page.getByTestId('lobby-join-without').click();
  await ann.page.locator('[data-testid=tile]:not([data-local])[data-muted]:not([data-video])').waitFor();
  const own = page.locator('tp-tile[data-local]');
  if ((await own.getAttribute('data-video')) !== null) throw new Error('ben came without a camera, and his own tile shows one');
  await page.getByTestId('hangup').click();
  step('ben came without camera and microphone');

  await page.goto(link);
  await page.locator('tp-lobby[data-video]').waitFor();
  if ((await shown(page)) !== 'true,true') throw new Error(`then the lobby showed ${await shown(page)}`);
  await page.getByTestId('lobby-camera').click();
  await page.getByTestId('lobby-mute').click();
  await until('both to be off', async () => (await shown(page)) === 'false,false');
  const microphones = await page.getByTestId('lobby-select-microphone').locator('option').allInnerTexts();
  await page.getByTestId('lobby-select-microphone').selectOption({ label: microphones[2] ?? '' });
  await page.goto(link);
  await page.getByTestId('lobby-join').waitFor();
  await online(page);
  if ((await shown(page)) !== 'false,false') throw new Error(`the next lobby showed ${await shown(page)}`);
  const { camera, microphone } = await asked();
  if (camera + microphone > 0) throw new Error(`the next lobby opened what was off: ${camera} cameras, ${microphone} microphones`);
  step('what ben turned off is off in the next lobby, and is not opened there');
  await page.getByTestId('lobby-mute').click();
  await until('the microphone that he chose', () => page.getByTestId('lobby-select-microphone').evaluate((select, label) => /** @type {HTMLSelectElement} */ (select).selectedOptions[0]?.text === label, microphones[2]));
  await enter(page);
  await ann.page.locator('[data-testid=tile]:not([data-local]):not([data-muted]):not([data-video])').waitFor();
  step('ben speaks by the microphone that he chose before, and shows no picture');
  await page.reload();
  await online(page);
  await until('ben in the room', async () => (await page.getByTestId('hangup').isVisible()) && !(await page.getByTestId('lobby-join').isVisible()));
  await ann.page.locator('[data-testid=tile]:not([data-local]):not([data-muted]):not([data-video])').waitFor();
  step('a reload leads back into the room, with the camera still off');
  return {};
}

/**
 * The button works while the browser still asks for the devices. They come into the call when they are there.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function slowdevices(stage, plan, step) {
  const [ann] = await homes(stage, plan, 'ann');
  const id = await ann.create({ size: 4, waiting: true });
  const page = await stage.page(await stage.browser(plan.place), 'ben');
  await page.addInitScript(() => {
    /** @type {() => void} */
    let allow = () => {};
    const allowed = new Promise((resolve) => (allow = () => resolve(undefined)));
    Object.assign(globalThis, { allow });
    const { getUserMedia } = MediaDevices.prototype;
    MediaDevices.prototype.getUserMedia = async function (/** @type {MediaStreamConstraints | undefined} */ wanted) {
      await allowed;
      return getUserMedia.call(this, wanted);
    };
  });
  await page.goto(`${plan.url}/r/${id}`);
  await page.locator('.lobby-says').filter({ hasText: 'starting' }).waitFor();
  await enter(page);
  await new Home(page).notice('waiting');
  await new Room(ann.page).knock('').getByTestId('admit').click();
  await new Room(page).others(1);
  await ann.page.locator('[data-testid=tile]:not([data-local]):not([data-video])').waitFor();
  step('ben is in the room, and his browser still asks whether it may open the camera');
  await page.evaluate(() => /** @type {any} */ (globalThis).allow());
  await new Room(ann.page).watch();
  await ann.page.locator('[data-testid=tile]:not([data-local]):not([data-muted])').waitFor();
  step('ben allowed it, and is seen and heard');
  return {};
}

/**
 * Where the browser connects to nobody, the lobby says so, and what is written arrives.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function onlywrites(stage, plan, step) {
  const [ann] = await homes(stage, plan, 'ann');
  const id = await ann.create();
  const page = await stage.page(await stage.browser(plan.place), 'ben');
  const asked = await countAsking(page);
  await page.addInitScript(() => void Reflect.deleteProperty(globalThis, 'RTCPeerConnection'));
  await page.goto(`${plan.url}/r/${id}`);
  const words = page.locator('.lobby-says').filter({ hasText: 'WebRTC is switched off' });
  await words.waitFor();
  const text = await page.getByTestId('lobby').innerText();
  if (/Join without/.test(text)) throw new Error(`the lobby says: ${text}`);
  step('the lobby says that this browser connects to nobody');
  await visit(page, `${plan.url}/r/${id}`);
  const [a, b] = [new Room(ann.page), new Room(page)];
  await Promise.all([a.others(1), b.others(1)]);
  await b.say('I can only write');
  await a.hear('I can only write');
  await a.say('good enough');
  await b.hear('good enough');
  const { camera, microphone } = await asked();
  if (camera + microphone > 0 || (await page.getByTestId('mute').isVisible())) throw new Error('the page opened devices for nobody');
  step('ann and ben write to each other');
  return { text };
}
