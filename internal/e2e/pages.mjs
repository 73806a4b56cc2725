// @ts-check
// What a person does and sees on the pages. Elements are found by data-testid attributes, which exist for this.

import { patience, until } from './browser.mjs';

/** @typedef {import('playwright-core').Page} Page */

const remoteTile = '[data-testid=tile]:not([data-local])';

/** @param {Page} page */
export async function online(page) {
  await page.waitForFunction(() => document.documentElement.dataset.state === 'online', null, { timeout: patience });
}

/** Goes through the lobby, as soon as it is there. @param {Page} page */
export async function enter(page) {
  await page.getByTestId('lobby-join').click();
}

/** Opens a link to a room, and goes in. @param {Page} page @param {string} link */
export async function visit(page, link) {
  await page.goto(link);
  await enter(page);
  await online(page);
}

/** Opens the settings of a room by their place in the menu. @param {Page} page */
export async function openSettings(page) {
  await page.getByTestId('more').click();
  await page.getByTestId('settings').click();
  return page.getByTestId('settings-dialog');
}

/** As if the user looked at another tab. @param {Page} page @param {boolean} hidden */
export function lookAway(page, hidden) {
  return page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
    Object.defineProperty(document, 'visibilityState', { configurable: true, value: hidden ? 'hidden' : 'visible' });
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  }, hidden);
}

/** The home page of a server, under a name. */
export class Home {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
  }

  /**
   * @param {string} url
   * @param {string} name
   */
  async open(url, name) {
    await this.page.goto(url);
    await online(this.page);
    await this.rename(name);
  }

  /** Takes another name; in a room that is done in the settings. @param {string} name */
  async rename(name) {
    const isInRoom = await this.page.getByTestId('more').isVisible();
    if (isInRoom) await openSettings(this.page);
    const input = this.page.getByTestId('name');
    await input.fill(name);
    await input.press('Enter');
    if (isInRoom) await this.page.getByTestId('settings-close').click();
  }

  /**
   * Creates a room, and returns the id that the server gave it.
   * @param {{ size?: number, waiting?: boolean }} [options]
   */
  async create({ size, waiting = false } = {}) {
    if (size) await this.page.locator('[name=size]').selectOption(String(size));
    if (waiting) await this.page.getByTestId('waiting-room').check();
    await this.page.getByTestId('create-room').click();
    await enter(this.page);
    return new Room(this.page).id();
  }

  /** @param {string} room */
  async join(room) {
    await this.page.getByTestId('room-id').fill(room);
    await this.page.getByTestId('join-room').click();
    await enter(this.page);
  }

  /** The row of a person who is online. @param {string} name */
  row(name) {
    return this.page.getByTestId('online-list').locator('[data-user]').filter({ hasText: name });
  }

  /** Waits until a notice with this code is shown, and returns its text. @param {string} code */
  async notice(code) {
    const notice = this.page.locator(`[data-testid=notice][data-code="${code}"]`);
    await notice.waitFor();
    return notice.innerText();
  }
}

/** A room that a page is in. */
export class Room {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
  }

  /** The id that the page shows. */
  async id() {
    const name = this.page.getByTestId('room-name');
    return until('a room id', async () => (await name.innerText()).trim());
  }

  /** @param {string} text */
  async say(text) {
    await this.page.getByTestId('chat-input').fill(text);
    await this.page.getByTestId('chat-send').click();
  }

  /**
   * Waits for a message of somebody else, and returns the sender's name.
   * @param {string} text
   */
  async hear(text) {
    const message = this.page.locator('[data-testid=chat-log] .message:not([data-own])').filter({ hasText: text });
    await message.waitFor();
    if (!(await message.locator('time').innerText())) throw new Error(`the message ${text} has no time`);
    return message.locator('.sender').innerText();
  }

  /** The row of a person who waits to be let in. @param {string} name */
  knock(name) {
    return this.page.getByTestId('knocks').locator('li').filter({ hasText: name });
  }

  /** Removes a person from the room. @param {string} name */
  async remove(name) {
    const tile = this.page.locator(remoteTile).filter({ hasText: name });
    await tile.getByTestId('person-menu').click();
    await tile.getByTestId('remove-person').click();
    await this.page.getByTestId('confirm-remove').click();
  }

  /** Counts how often somebody else's message is shown. @param {string} text */
  async heard(text) {
    return this.page.locator('[data-testid=chat-log] .message:not([data-own])').filter({ hasText: text }).count();
  }

  /** The events in the log, such as people who came and went. */
  async events() {
    return this.page.locator('[data-testid=chat-log] .event').allInnerTexts();
  }

  /** Waits until others are shown. @param {number} count */
  async others(count) {
    const tiles = this.page.locator(remoteTile);
    await until(`${count} others in the room`, async () => (await tiles.count()) === count);
  }

  /**
   * Waits until the other's picture moves: frames arrive, and go on arriving. Returns how many were shown.
   */
  async watch() {
    // For streams, Firefox counts no frames in getVideoPlaybackQuality.
    return this.page.locator(`${remoteTile} video`).first().evaluate((video, timeout) => new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('waited in vain for frames of the other')), timeout);
      let first = Infinity;
      /** @type {VideoFrameRequestCallback} */
      const shown = (_, { presentedFrames }) => {
        first = Math.min(first, presentedFrames);
        if (presentedFrames < first + 10) {
          /** @type {HTMLVideoElement} */ (video).requestVideoFrameCallback(shown);
        } else {
          clearTimeout(timer);
          resolve(presentedFrames);
        }
      };
      /** @type {HTMLVideoElement} */ (video).requestVideoFrameCallback(shown);
    }), patience);
  }

  /**
   * Waits until the other's picture has moved for three seconds. Returns a function that waits until it has stopped and
   * moved for three seconds again, and that returns how many milliseconds it stood still.
   */
  async interruption() {
    const video = this.page.locator(`${remoteTile} video`).first();
    const watched = await video.evaluateHandle((element, timeout) => {
      const video = /** @type {HTMLVideoElement} */ (element);
      /** Resolves once the picture has stood still for at least `least` ms and then moved for a while. @param {number} least */
      const settled = (least) => new Promise((resolve, reject) => {
        const deadline = performance.now() + timeout;
        let [frames, last, since, still] = [-1, performance.now(), performance.now(), 0];
        const timer = setInterval(() => {
          const now = performance.now();
          const { totalVideoFrames } = video.getVideoPlaybackQuality();
          if (totalVideoFrames !== frames) {
            // Even on a busy machine, no frame takes 700 ms.
            if (now - last > 700) [still, since] = [still + now - last, now];
            [frames, last] = [totalVideoFrames, now];
          }
          const isSettled = now - since > 3000 && now - last < 700 && still >= least;
          if (!isSettled && now < deadline) return;
          clearInterval(timer);
          if (isSettled) resolve(Math.round(still));
          else reject(new Error(`the picture stood still for ${Math.round(still)} ms until now, and ${frames} frames were shown`));
        }, 20);
      });
      return { settled };
    }, patience);
    await watched.evaluate(({ settled }) => settled(0));
    const interrupted = watched.evaluate(({ settled }) => settled(1));
    interrupted.catch(() => {}); // The caller waits for it later.
    return () => interrupted;
  }

  /**
   * Waits until the page shows this path to the other, and returns its description. ICE may begin with another path: the
   * first to connect is not always the best.
   * @param {string} path direct or relayed
   * @param {string} over UDP or TCP, for the page's own half of the path
   */
  async path(path, over) {
    const shown = this.page.locator(`[data-testid=path][data-path=${path}]`).filter({ hasText: `over ${over}` }).first();
    await shown.waitFor();
    return shown.innerText();
  }

  /**
   * Waits until the description of the path to the other contains a text, and returns the description.
   * @param {string} by
   */
  async pathBy(by) {
    const shown = this.page.getByTestId('path').filter({ hasText: by }).first();
    await shown.waitFor();
    return shown.innerText();
  }
}

/**
 * Opens homes of several people, each in a context of one browser.
 * @param {import('./browser.mjs').Stage} stage
 * @param {{ place: import('./browser.mjs').Place, url: string }} plan
 * @param {string[]} names
 */
export async function homes(stage, plan, ...names) {
  const browser = await stage.browser(plan.place);
  return Promise.all(names.map(async (name) => {
    const home = new Home(await stage.page(browser, name));
    await home.open(plan.url, name);
    return home;
  }));
}
