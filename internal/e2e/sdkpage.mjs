// @ts-check
// People of the SDK in one page, with no page of ours around them.

import { bundled } from './apppage.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/** What the pages of these tests use of the SDK, also what apps cannot get at. */
const INSIDE = `
  import { Client } from './sdk/client.js';
  import { insideOf } from './sdk/peer/peer.js';
  import { signsOfLife } from './sdk/peer/path.js';
  import { getTicket } from './sdk/server/tickets.js';
  Object.assign(globalThis, { Client, getTicket, insideOf, signsOfLife });
`;

/**
 * Opens a page of the server's origin in which people can join one room: after `join('ann')`, `window.ann` has the client and the room
 * of ann. `until` waits for a condition.
 *
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {{ size?: number, browser?: import('playwright-core').Browser }} [options] browser: default: another one
 */
export async function place(stage, plan, { size = 8, browser } = {}) {
  browser ??= await stage.browser(plan.place);
  const page = await stage.page(browser, 'people');
  await page.goto(`${plan.url}/healthz`);
  await page.evaluate(await bundled(INSIDE, 'iife'));
  await page.evaluate((size) => {
    const page = /** @type {any} */ (globalThis);
    page.until = async (/** @type {string} */ what, /** @type {() => unknown} */ ask, ms = 30_000) => {
      for (const deadline = performance.now() + ms; performance.now() < deadline;) {
        const answer = await ask();
        if (answer) return answer;
        await new Promise(requestAnimationFrame);
      }
      throw new Error(`waited in vain for: ${what}`);
    };
    /** @type {unknown[]} */
    page.errors = [];
    page.join = async (/** @type {string} */ name) => {
      const getTicket = () => page.getTicket({ name, url: location.origin });
      const client = new page.Client({ name, storage: null, getTicket, url: location.origin });
      await client.open();
      const room = await client.join('pair', { create: true, size });
      room.eachPeer((/** @type {any} */ peer) => peer.on('error', (/** @type {unknown} */ error) => page.errors.push(`${name}: ${error}`)));
      page[name] = { client, room };
    };
  }, size);
  return page;
}

/**
 * Gives a person of a page a camera and a voice: `loud` says how loud.
 *
 * @param {{ name: string, hums: boolean }} person hums: the browser's microphone gives a steady tone. A browser without a sound card
 * makes none by itself
 */
export async function appear({ name, hums }) {
  const page = /** @type {any} */ (globalThis);
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
  const pen = canvas.getContext('2d');
  setInterval(() => pen?.fillRect(Math.random() * 320, 0, 10, 240), 100);
  const [camera] = canvas.captureStream(10).getVideoTracks();
  const { room } = page[name];
  if (hums) {
    const [microphone] = (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks();
    page[name].loud = (/** @type {number} */ gain) => room.mute('microphone', gain === 0);
    await room.share({ camera, microphone });
    return room.mute('microphone');
  }
  page.audio ??= new AudioContext();
  await page.audio.resume();
  const tone = page.audio.createOscillator();
  const volume = page.audio.createGain();
  volume.gain.value = 0;
  const voice = page.audio.createMediaStreamDestination();
  tone.connect(volume).connect(voice);
  tone.start();
  page[name].loud = (/** @type {number} */ gain) => { volume.gain.value = gain; };
  await room.share({ camera, microphone: voice.stream.getAudioTracks()[0] });
}
