// @ts-check
// The stage of a call: tiles of people, of shared screens, our own, and the one who speaks.

import { until } from './browser.mjs';
import { cameras, hold } from './faces.mjs';
import { LOW, faultsOfLayout, fits, readingOrder, settled } from './layout.mjs';
import { Home, Room, homes } from './pages.mjs';
import { appear, place } from './sdkpage.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {import('playwright-core').Page} Page */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

const DESK = { width: 1440, height: 900 };

/**
 * Three and five people: each is seen, our own tile is the last, and the ring is around the one who speaks. `crowd` has nine.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function tiling(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const people = await place(stage, plan, { browser });
  await people.mouse.click(9, 9); // Without a gesture of a user, Chromium plays no sound.
  const come = async (/** @type {readonly string[]} */ names) => {
    for (const name of names) await people.evaluate((name) => /** @type {any} */ (globalThis).join(name), name);
  };
  const says = (/** @type {string} */ name, /** @type {number} */ gain) => people.evaluate(([name, gain]) => /** @type {any} */ (globalThis)[name].loud(gain), /** @type {const} */ ([name, gain]));
  await come(['ben', 'cid']);
  // A picture of everybody would be more than a machine has time for.
  for (const name of ['ben', 'cid']) await people.evaluate(appear, { name, hums: false });
  const home = new Home(await stage.page(browser, 'ann'));
  const { page } = home;
  await hold(page, cameras.laptop);
  await page.addInitScript(() => {
    const { setInterval } = globalThis;
    const page = /** @type {any} */ (globalThis);
    page.often = 0;
    page.setInterval = (/** @type {any[]} */ ...args) => {
      if (args[1] < 500) page.often++;
      return /** @type {any} */ (setInterval)(...args);
    };
  });
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await home.open(plan.url, 'ann');
  await page.setViewportSize(DESK);
  await home.join('pair');
  const speaking = () => page.evaluate(() => [...document.querySelectorAll('.tiles [data-speaking]')].map((tile) => tile.getAttribute('aria-label')).join());
  const ring = (/** @type {string} */ name) => page.evaluate((name) => {
    const tile = document.querySelector(`.tiles [aria-label="${name}"]`);
    return tile && getComputedStyle(tile).outlineColor;
  }, name);
  /** @type {number | undefined} */
  let timers;
  for (const [count, others, speaker] of /** @type {const} */ ([[3, [], 'cid'], [5, ['dan', 'eve'], 'ben']])) {
    await come(others);
    await new Room(page).others(count - 1);
    await until('three pictures', async () => await page.locator('tp-tile[data-video][data-fit]').count() === 3);
    await fits(page, `${count} people`);
    const often = await page.evaluate(() => /** @type {any} */ (globalThis).often);
    timers ??= often;
    if (often !== timers) throw new Error(`${count} people cost ${often} timers, and fewer cost ${timers}`);
    const order = await readingOrder(page);
    if (order.length !== count || order.at(-1) !== 'You') throw new Error(`the tiles are read as ${order}`);
    step(`${count} people are seen, and our own tile is the last`);
    await says(speaker, 0.3);
    await until(`${speaker} to speak`, async () => (await speaking()) === speaker);
    const silent = speaker === 'cid' ? 'ben' : 'cid';
    await until('the ring to be seen', async () => (await ring(speaker)) !== (await ring(silent)));
    await says(speaker, 0);
    step(`the ring was around ${speaker}`);
  }
  return {};
}

/**
 * With two people, our own tile lies in a corner of the other's, and moves to each of the four by a drag, by keys and by a
 * press. The browser remembers it.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function corners(stage, plan, step) {
  const [ann, ben] = await homes(stage, plan, 'ann', 'ben');
  const { page } = ann;
  await page.setViewportSize(DESK);
  await page.emulateMedia({ reducedMotion: 'reduce' });
  const id = await ann.create();
  await ben.join(id);
  await new Room(page).others(1);
  await until('both pictures', async () => await page.locator('tp-tile[data-video][data-fit]').count() === 2);
  const mover = page.getByTestId('move-own');
  const isIn = (/** @type {string} */ corner) => until(`our own tile to be ${corner}`, () => page.evaluate((corner) => {
    const [stage, own] = ['.tiles', 'tp-tile[data-local]'].map((selector) => document.querySelector(selector)?.getBoundingClientRect());
    if (!stage || !own) return false;
    const [top, left] = [own.top + own.bottom < stage.top + stage.bottom, own.left + own.right < stage.left + stage.right];
    return `${top ? 'top' : 'bottom'}-${left ? 'left' : 'right'}` === corner;
  }, corner));
  /** Our own tile lies on nothing that one needs. @param {string} corner */
  const isFree = async (corner) => {
    for (const [width, height] of [[1440, 900], [390, 844], [844, 390]]) {
      await page.setViewportSize({ width: width ?? 0, height: height ?? 0 });
      await settled(page);
      const faults = await faultsOfLayout(page);
      faults.push(...await page.evaluate(() => {
        const own = document.querySelector('tp-tile[data-local]')?.getBoundingClientRect();
        const things = [...document.querySelectorAll('tp-tile:not([data-local]) .caption, tp-tile:not([data-local]) button, tp-controls')].filter((thing) => thing.checkVisibility());
        return things.filter((thing) => {
          const at = thing.getBoundingClientRect();
          return own && at.left < own.right && at.right > own.left && at.top < own.bottom && at.bottom > own.top;
        }).map((thing) => `our own tile lies on ${thing.localName}.${thing.className}`);
      }));
      if (faults.length > 0) throw new Error(`${corner}, ${width} x ${height}: ${faults.join('\n')}`);
    }
    await page.setViewportSize(DESK);
    await settled(page);
  };
  await isIn('bottom-right');
  await isFree('bottom-right');
  await mover.focus();
  for (const [key, corner] of [['ArrowLeft', 'bottom-left'], ['ArrowUp', 'top-left'], ['ArrowRight', 'top-right']]) {
    await page.keyboard.press(key ?? '');
    await isIn(corner ?? '');
    await isFree(corner ?? '');
  }
  step('keys move our own tile to each corner, and it lies on nothing there');
  await mover.press('Enter');
  await isIn('bottom-right');
  await mover.click();
  await isIn('bottom-left');
  step('so does a press, to the next');
  const own = await page.locator('tp-tile[data-local]').boundingBox();
  const whole = await page.locator('.tiles').boundingBox();
  if (!own || !whole) throw new Error('no boxes');
  await page.mouse.move(own.x + 20, own.y + 20);
  await page.mouse.down();
  await page.mouse.move(own.x + 60, own.y - 40);
  await page.mouse.move(whole.x + whole.width - 40, whole.y + 40, { steps: 4 });
  await page.mouse.up();
  await isIn('top-right');
  step('and a drag');
  await page.reload();
  await new Room(page).others(1);
  await isIn('top-right');
  step('the corner is remembered');
  return {};
}

/**
 * A double press on a tile, or its menu, makes it large; once more, or the sign on it, and it is as before.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function pinning(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const people = await place(stage, plan, { browser });
  for (const name of ['ben', 'cid']) {
    await people.evaluate((name) => /** @type {any} */ (globalThis).join(name), name);
    await people.evaluate(appear, { name, hums: false });
  }
  const home = new Home(await stage.page(browser, 'ann'));
  const { page } = home;
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await home.open(plan.url, 'ann');
  await page.setViewportSize(DESK);
  await home.join('pair');
  await new Room(page).others(2);
  await until('three pictures', async () => await page.locator('tp-tile[data-video][data-fit]').count() === 3);
  const cid = page.locator('tp-tile[aria-label=cid]');
  /** How much larger cid's tile is than the largest other. */
  const ratio = () => page.evaluate(() => {
    const areas = [...document.querySelectorAll('.tiles > *')].map((tile) => [tile.getAttribute('aria-label'), tile.clientWidth * tile.clientHeight]);
    return Number(areas.find(([name]) => name === 'cid')?.[1]) / Math.max(...areas.filter(([name]) => name !== 'cid').map(([, area]) => Number(area)));
  });
  const isLarge = (/** @type {boolean} */ large) => until(`cid ${large ? 'to be large' : 'to be one of all'}`, async () => (large ? await ratio() > 3 : Math.abs(await ratio() - 1) < 0.05));
  await isLarge(false);
  await cid.dblclick();
  await isLarge(true);
  await fits(page, 'cid is pinned');
  await cid.getByTestId('unpin').click();
  await isLarge(false);
  await cid.getByTestId('person-menu').click();
  await page.getByTestId('pin').locator('visible=true').click();
  await isLarge(true);
  await people.evaluate(() => /** @type {any} */ (globalThis).cid.room.leave());
  await new Room(page).others(1);
  await page.locator('.tiles[data-layout=pair]').waitFor();
  step('cid was pinned by a double press and by the menu, and left');
  return {};
}

/** A screen and a sound, in place of the browser's own question, where a browser has no screen to share. */
function drawnScreen() {
  if (!navigator.mediaDevices) return;
  navigator.mediaDevices.getDisplayMedia = async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1600, height: 900 });
    const pen = canvas.getContext('2d');
    setInterval(() => {
      if (!pen) return;
      pen.fillStyle = `hsl(${performance.now() / 20 % 360} 60% 50%)`;
      pen.fillRect(0, 0, 1600, 900);
    }, 100);
    // Without a sound card, Firefox makes no other sound.
    const { getUserMedia } = MediaDevices.prototype;
    const sound = await getUserMedia.call(navigator.mediaDevices, { audio: true });
    return new MediaStream([...canvas.captureStream(10).getVideoTracks(), ...sound.getAudioTracks()]);
  };
}

/** As if the user stopped sharing in the browser's own bar. @param {Page} page */
function stopInBar(page) {
  return page.evaluate(() => {
    for (const track of /** @type {any} */ (globalThis).shared.getTracks()) {
      track.stop();
      track.dispatchEvent(new Event('ended'));
    }
  });
}

/**
 * A shared screen is a tile of its own, whole, large, and with its sound. The one who shares sees that, and how to stop.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function sharing(stage, plan, step) {
  const isFirefox = plan.place.browser === 'firefox';
  // Chromium shares a made-up screen, with a sound, if nobody has to be asked.
  const browser = await stage.browser({ ...plan.place, ...(!isFirefox && { args: ['--use-fake-ui-for-media-stream'] }) });
  const [ann, ben, cid] = await Promise.all(['ann', 'ben', 'cid'].map(async (name) => {
    const page = await stage.page(browser, name);
    await hold(page, cameras.laptop);
    if (isFirefox) await page.addInitScript(drawnScreen);
    await page.addInitScript(() => {
      const { mediaDevices } = navigator;
      const real = mediaDevices?.getDisplayMedia?.bind(mediaDevices);
      if (real) mediaDevices.getDisplayMedia = async (/** @type {DisplayMediaStreamOptions | undefined} */ options) => (/** @type {any} */ (globalThis).shared = await real(options));
    });
    const home = new Home(page);
    await home.open(plan.url, name);
    await page.setViewportSize(DESK);
    return home;
  }));
  if (!ann || !ben || !cid) throw new Error('nobody is there');
  const id = await ann.create();
  await ben.join(id);
  await Promise.all([ann, ben].map(({ page }) => new Room(page).others(1)));
  await until('both pictures', async () => await ann.page.locator('tp-tile[data-video][data-fit]').count() === 2);
  const share = ann.page.getByTestId('share-screen');
  await share.click();
  await share.filter({ hasText: 'Stop sharing' }).waitFor();
  await ann.page.getByTestId('sharing').filter({ hasText: 'You share your screen' }).waitFor();
  if (await ann.page.getByTestId('screen').count() > 0) throw new Error('ann sees her own screen in itself');
  const screen = ben.page.getByTestId('screen');
  await screen.and(ben.page.locator('[aria-label*="ann"][aria-label$="screen"]')).waitFor();
  await until('a screen that moves', () => screen.locator('video').evaluate((video) => {
    const { videoWidth, currentTime, muted, paused, srcObject } = /** @type {HTMLVideoElement} */ (video);
    const kinds = srcObject instanceof MediaStream && srcObject.getTracks().map(({ kind }) => kind).sort().join();
    return videoWidth > 0 && currentTime > 0.5 && !muted && !paused && kinds === 'audio,video';
  }));
  await until('its sound', () => screen.locator('video').evaluate((video, isFirefox) => {
    // Without a sound card, Firefox does not tell what one would hear; but a track is muted while nothing comes.
    if (isFirefox) return !(/** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (video).srcObject).getAudioTracks()[0]?.muted ?? true);
    const page = /** @type {any} */ (globalThis);
    page.ear ??= new AudioContext();
    page.listener ??= (() => {
      const stream = /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (video).srcObject);
      const analyser = page.ear.createAnalyser();
      page.ear.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser);
      return analyser;
    })();
    const samples = new Float32Array(2048);
    page.listener.getFloatTimeDomainData(samples);
    return samples.some((sample) => Math.abs(sample) > 0.01);
  }, isFirefox));
  step("ben sees ann's screen move, and hears it");
  const seen = await screen.locator('video').evaluate((video) => ({ fit: getComputedStyle(video).objectFit, mirrored: getComputedStyle(video).transform !== 'none' }));
  if (seen.fit !== 'contain' || seen.mirrored) throw new Error(`the screen is cut or mirrored: ${JSON.stringify(seen)}`);
  await fits(ann.page, 'ann shares, and ben sees it', LOW);
  await cid.join(id);
  await Promise.all([ann, ben, cid].map(({ page }) => new Room(page).others(2)));
  await cid.page.getByTestId('screen').waitFor();
  await until('three pictures', async () => await ben.page.locator('tp-tile[data-video][data-fit]').count() === 3);
  await fits(ben.page, "ann's screen");
  step('cid, who came later, sees it too, and everything has its place');
  await ben.page.getByTestId('share-screen').click();
  await cid.page.getByTestId('screen').nth(1).waitFor();
  await until('two screens that move', () => cid.page.evaluate(() => [...document.querySelectorAll('tp-screen video')].every((video) => /** @type {HTMLVideoElement} */ (video).currentTime > 0.5)));
  await fits(cid.page, 'two screens', LOW);
  step('two people share at once');
  // Firefox does not let the script of a test make up that event.
  if (isFirefox) await ben.page.getByTestId('share-screen').click();
  else await stopInBar(ben.page);
  await ben.page.getByTestId('sharing').waitFor({ state: 'detached' });
  await until('one screen', async () => await cid.page.getByTestId('screen').count() === 1);
  await ben.page.getByTestId('share-screen').filter({ hasText: 'Share screen' }).waitFor();
  step("ben's screen went when it was ended");
  await ann.page.getByTestId('stop-sharing').click();
  await until('no screen', async () => await cid.page.getByTestId('screen').count() === 0);
  const open = await ann.page.evaluate(() => /** @type {any} */ (globalThis).shared.getTracks().filter((/** @type {MediaStreamTrack} */ { readyState }) => readyState === 'live').length);
  if (open > 0) throw new Error(`${open} tracks of the screen are still open`);
  step("and ann's when she stopped, with its sound");
  return {};
}

/**
 * A browser that cannot share a screen has no button for it.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function unsharing(stage, plan, step) {
  const [ann] = await homes(stage, plan, 'ann');
  await ann.page.addInitScript(() => Object.defineProperty(MediaDevices.prototype, 'getDisplayMedia', { value: undefined }));
  await ann.page.reload();
  await ann.create();
  await ann.page.getByTestId('hangup').waitFor();
  if (await ann.page.getByTestId('share-screen').isVisible()) throw new Error('a button for what this browser cannot do');
  step('no button');
  return {};
}
