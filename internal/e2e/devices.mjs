// @ts-check
// Devices in the middle of a call: switched in the settings, unplugged, and where sound comes out.

import { until } from './browser.mjs';
import { Room, homes, openSettings } from './pages.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {import('playwright-core').Page} Page */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/**
 * As if devices could be unplugged: the newest track of one ends, the browser no longer lists it, nor opens it.
 * @param {Page} page
 */
async function makePlugs(page) {
  await page.addInitScript(() => {
    /** @type {MediaStreamTrack[]} */
    const tracks = [];
    /** @type {Set<string | undefined>} */
    const gone = new Set();
    const { getUserMedia, enumerateDevices } = MediaDevices.prototype;
    MediaDevices.prototype.enumerateDevices = async function () {
      return (await enumerateDevices.call(this)).filter(({ deviceId, groupId }) => !gone.has(deviceId) && !gone.has(groupId));
    };
    MediaDevices.prototype.getUserMedia = async function (/** @type {MediaStreamConstraints | undefined} */ wanted) {
      const left = await this.enumerateDevices();
      /** The browser takes what is left. @param {any} of @param {string} kind */
      const among = (of, kind) => of && (of.deviceId ? of : { ...of, facingMode: undefined, deviceId: { exact: left.find((device) => device.kind === kind)?.deviceId } });
      const stream = await getUserMedia.call(this, { audio: among(wanted?.audio, 'audioinput'), video: among(wanted?.video, 'videoinput') });
      tracks.push(...stream.getTracks());
      return stream;
    };
    /** @param {string} kind */
    const unplug = (kind) => {
      const track = tracks.filter((track) => track.kind === kind && track.readyState === 'live').at(-1);
      gone.add(track?.getSettings().deviceId);
      track?.stop();
      track?.dispatchEvent(new Event('ended'));
      navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
    };
    Object.assign(globalThis, { unplug });
  });
  await page.reload();
}

/** The names of what our own page sends. @param {Page} page */
function own(page) {
  return page.evaluate(() => /** @type {any} */ (document.querySelector('tp-tile[data-local] video'))?.srcObject?.getVideoTracks()[0]?.label ?? '');
}

/** Waits until somebody else is heard, from now on. @param {Page} page */
async function hears(page) {
  const tile = page.locator('[data-testid=tile]:not([data-local])');
  await until('silence', async () => (await tile.getAttribute('data-speaking')) === null);
  await until('the voice of the other', async () => (await tile.getAttribute('data-speaking')) !== null);
}

/**
 * A device is switched and another is unplugged in the middle of a call. The other person goes on seeing and hearing.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function devices(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  await makePlugs(ben.page);
  const id = await ann.create();
  await ben.join(id);
  const [a, b] = [new Room(ann.page), new Room(ben.page)];
  await Promise.all([a.watch(), b.watch()]);
  await hears(ann.page);
  const dialog = await openSettings(ben.page);
  await dialog.locator('[data-testid=settings-level]:not([data-level="0"])').waitFor({ state: 'attached' });
  const cameras = await ben.page.getByTestId('settings-camera').locator('option').allInnerTexts();
  const microphones = await ben.page.getByTestId('settings-microphone').locator('option').allInnerTexts();
  await ben.page.getByTestId('settings-camera').selectOption({ label: cameras[2] ?? '' });
  await until('the other camera', async () => (await own(ben.page)) === cameras[2]);
  await a.watch();
  await ben.page.getByTestId('settings-microphone').selectOption({ label: microphones[2] ?? '' });
  await hears(ann.page);
  step('ben took another camera and another microphone, and ann goes on seeing and hearing him');

  await ben.page.evaluate(() => /** @type {any} */ (globalThis).unplug('audio'));
  await until('the list without what was unplugged', async () => !(await ben.page.getByTestId('settings-microphone').locator('option').allInnerTexts()).includes(microphones[2] ?? ''));
  await ben.page.getByTestId('settings-close').click();
  await ben.page.getByTestId('trouble').filter({ hasText: 'Another one is used now' }).waitFor();
  await hears(ann.page);
  await ben.page.getByTestId('trouble-dismiss').click();
  step('his microphone was unplugged, another took its place, and ann goes on hearing him');

  await ben.page.evaluate(() => /** @type {any} */ (globalThis).unplug('video'));
  await ben.page.getByTestId('trouble').filter({ hasText: 'Camera: unplugged' }).waitFor();
  await ann.page.locator('[data-testid=tile]:not([data-local]):not([data-video])').waitFor();
  await hears(ann.page);
  await ben.page.getByTestId('trouble-again').click();
  await until('another camera', async () => ![cameras[2], ''].includes(await own(ben.page)));
  await a.watch();
  step('his camera was unplugged, he took another by one press, and ann sees him again');
  return { cameras, microphones };
}

/**
 * The settings: the name, where sound comes out, and whether our own picture is a mirror. What is chosen is kept.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function settings(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  const id = await ann.create();
  await ben.join(id);
  const [a, b] = [new Room(ann.page), new Room(ben.page)];
  await Promise.all([a.watch(), b.watch()]);
  const { page } = ben;
  const isMirror = () => page.locator('tp-tile[data-local] video').evaluate((video) => new DOMMatrix(getComputedStyle(video).transform).a < 0);
  if (!(await isMirror())) throw new Error('our own picture is no mirror');
  const dialog = await openSettings(page);
  await page.getByTestId('settings-mirror').uncheck();
  if (await isMirror()) throw new Error('our own picture is still a mirror');
  await page.getByTestId('settings-noise').uncheck();
  await until('a microphone as it is', () => page.evaluate(() => JSON.parse(localStorage.getItem('turnpike.devices') ?? '{}').noiseSuppression === false));
  const speakers = await page.getByTestId('settings-speaker').locator('option').allInnerTexts();
  await page.getByTestId('settings-speaker').selectOption({ label: speakers[1] ?? '' });
  const sounds = () => page.evaluate(async (label) => {
    const id = (await navigator.mediaDevices.enumerateDevices()).find((device) => device.kind === 'audiooutput' && device.label === label)?.deviceId;
    return [...document.querySelectorAll('tp-tile:not([data-local]) video')].map((video) => /** @type {HTMLVideoElement} */ (video).sinkId === id).join();
  }, speakers[1]);
  await until('the sound of ann there', async () => (await sounds()) === 'true');
  await page.getByTestId('settings-sound').click();
  await dialog.locator('.said').filter({ hasText: 'two notes' }).waitFor();
  await until('the end of the notes', async () => (await dialog.locator('.said').innerText()) === '');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  step('ben hears ann where he wants to, and sees himself as others do');
  await page.reload();
  await new Room(page).others(1);
  await until('the sound there after a reload', async () => (await sounds()) === 'true');
  if (await isMirror()) throw new Error('after a reload our own picture is a mirror again');
  step('a reload keeps it');
  return { speakers };
}
