// @ts-check
// A page and a program of the Go library in one room: streams both ways, what else the SDK says, and a page that is loaded again.

import { patience } from './browser.mjs';
import { Room, homes, visit } from './pages.mjs';
import { snippet } from './snippets.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {(name: string) => Promise<unknown>} Cue */
/** @typedef {{ place: import('./browser.mjs').Place, url: string, invite?: string, size: number, room: string, artifacts: string }} Plan */

/** SHA-256 of `hello`. */
const SUM_OF_HELLO = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';

/**
 * Opens a page of the server's origin that is in the room, and runs the example of docs/sdk.md there, with a program or before
 * one comes. `said` is its result.
 * @param {import('playwright-core').Page} page
 * @param {Plan} plan
 */
async function enter(page, { url, invite, room }) {
  await page.goto(`${url}/healthz`);
  await page.evaluate(async ({ invite, room }) => {
    const app = /** @type {any} */ (globalThis);
    const load = (/** @type {string} */ path) => import(path); // The compiler cannot look up what the server has.
    const { connect, getTicket } = await load('/sdk/turnpike.js');
    app.until = async (/** @type {string} */ what, /** @type {() => unknown} */ ask, ms = 40_000) => {
      for (const deadline = performance.now() + ms; performance.now() < deadline;) {
        const answer = await ask();
        if (answer) return answer;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(`waited in vain for: ${what}`);
    };
    app.sum = async (/** @type {BufferSource} */ bytes) => {
      return [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    };
    app.random = (/** @type {number} */ size) => {
      const bytes = new Uint8Array(size);
      for (let at = 0; at < size; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
      return bytes;
    };
    const name = `page ${room}`; // a page that was closed has its name for some seconds more
    app.client = await connect({ name, storage: sessionStorage, getTicket: (/** @type {any} */ request) => getTicket({ ...request, name, ...(invite && { invite }) }) });
    app.room = await app.client.join(room, { create: true, size: 8 });
    app.errors = [];
    app.room.eachPeer((/** @type {any} */ peer) => {
      app.peer = peer;
      peer.on('error', (/** @type {unknown} */ error) => app.errors.push(String(error)));
      peer.on('data', (/** @type {any} */ data) => app.data = data);
    });
  }, { invite, room });
  const said = page.waitForEvent('console', { predicate: (message) => message.text() === `the sum is ${SUM_OF_HELLO}`, timeout: patience });
  said.catch(() => {}); // The test fails where it waits for it.
  await page.evaluate(`(() => { const { room } = globalThis; ${await snippet('program', url)} Object.assign(globalThis, { write, readAll }); })()`);
  return { said };
}

/** @param {import('playwright-core').Page} page @param {number} size */
async function exchange(page, size) {
  await page.evaluate(async (size) => {
    const app = /** @type {any} */ (globalThis);
    const { write, readAll, sum, random, until } = app;
    await until('a connection', () => app.peer?.state === 'connected');
    const { peer } = app;
    const up = peer.openChannel('sum of much');
    const bytes = random(size);
    const answer = readAll(up);
    await write(up, bytes);
    const [want, got] = [await sum(bytes), await (await answer).text()];
    if (want !== got) throw new Error(`the program got bytes with the sum ${got}, not ${want}`);
    const down = peer.openChannel('bulk');
    const all = readAll(down);
    await write(down, new TextEncoder().encode(String(size)));
    const received = await (await all).arrayBuffer();
    if (received.byteLength !== size) throw new Error(`${received.byteLength} bytes came, not ${size}`);
    if (new Uint8Array(received).some((byte, at) => byte !== (at * 7) % 251)) throw new Error('other bytes came than were sent');
  }, size);
}

/**
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 * @param {Cue} cue
 */
export async function program(stage, plan, step, cue) {
  const page = await stage.page(await stage.browser(plan.place), 'page');
  const { said } = await enter(page, plan);
  await cue('program');
  await said;
  step('the example of docs/sdk.md has its answer');
  await exchange(page, plan.size);
  step('the page sends and gets bytes, and each answer comes after its end');
  await cue('open');
  step('so does the program');
  return { path: await pathIn(page) };
}

/** @param {import('playwright-core').Page} page */
async function pathIn(page) {
  return page.evaluate(() => {
    const { peer, until } = /** @type {any} */ (globalThis);
    return until('a path', () => peer.path && `${peer.path.kind} ${peer.path.protocol}`);
  });
}

/**
 * Nothing goes through in the middle of a stream, for so long that the page looks for another path.
 * @param {import('playwright-core').Page} page
 * @param {Cue} cue
 */
async function interrupted(page, cue) {
  await page.evaluate(async () => {
    const app = /** @type {any} */ (globalThis);
    const channel = app.peer.openChannel('sum after all');
    app.bytes = app.random(1 << 20);
    app.answer = app.readAll(channel);
    await channel.send(app.bytes.slice(0, 16384));
    Object.assign(app, { channel, before: app.peer.connection, ufrag: /a=ice-ufrag:(.*)/.exec(app.peer.connection.localDescription.sdp)?.[1] });
  });
  await cue('cut');
  await page.evaluate(() => {
    const { until, peer, before, ufrag } = /** @type {any} */ (globalThis);
    return until('the page to look for another path', () => peer.connection !== before || !peer.connection.localDescription.sdp.includes(ufrag));
  });
  await cue('mend');
  await page.evaluate(async () => {
    const { channel, bytes, answer, write, sum } = /** @type {any} */ (globalThis);
    await write(channel, bytes.slice(16384));
    const [want, got] = [await sum(bytes), await (await answer).text()];
    if (want !== got) throw new Error(`the program got bytes with the sum ${got}, not ${want}`);
  });
}

/**
 * A camera that is turned on before and during the connection does no harm, chat and data arrive, and a page that is loaded
 * again goes on.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 * @param {Cue} cue
 */
export async function programAndPage(stage, plan, step, cue) {
  const page = await stage.page(await stage.browser(plan.place), 'page');
  const { said } = await enter(page, plan);
  await page.evaluate(async () => {
    const app = /** @type {any} */ (globalThis);
    app.stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    await app.room.share(app.stream);
  });
  await cue('program');
  await said;
  await exchange(page, 1 << 20);
  step('streams beside a camera');
  const media = await page.evaluate(async () => {
    const { peer, room, stream, until, errors } = /** @type {any} */ (globalThis);
    const pc = peer.connection;
    await until('all to be settled', () => pc.signalingState === 'stable' && pc.getTransceivers().length === 2);
    await room.share({ camera: null });
    await room.share({ camera: stream.getVideoTracks()[0] });
    await until('all to be settled again', () => pc.signalingState === 'stable');
    const transceivers = pc.getTransceivers().map((/** @type {RTCRtpTransceiver} */ { currentDirection }) => currentDirection);
    return { transceivers, sources: Object.values(peer.sources), errors };
  });
  if (media.transceivers.join() !== 'inactive,inactive' || media.sources.includes(true) || media.errors.length > 0) {
    throw new Error(`a camera beside a program: ${JSON.stringify(media)}`);
  }
  step('the camera goes nowhere, and nothing is broken');
  const missed = await page.evaluate(async () => {
    const { room, until } = /** @type {any} */ (globalThis);
    const { missed } = await room.send({ move: 'e4' }, { topic: 'game' });
    room.sendMessage('hello program');
    await until('an answer', () => /** @type {any} */ (globalThis).data?.data?.heard === 'hello program');
    return missed.length;
  });
  if (missed !== 0) throw new Error('the program got no data');
  step('data and chat arrive, and an answer');

  await interrupted(page, cue);
  step('a stream goes on after an interruption');
  await page.reload();
  await (await enter(page, plan)).said;
  await exchange(page, 1 << 20);
  step('and all of it with the page loaded again');
  return { path: await pathIn(page) };
}


/**
 * The page shows a program as somebody without camera and microphone, to whom one can write.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 * @param {Cue} cue
 */
export async function programInPage(stage, plan, step, cue) {
  await cue('program');
  const [ann] = await homes(stage, plan, 'ann');
  await visit(ann.page, `${plan.url}/r/${plan.room}`);
  const room = new Room(ann.page);
  await room.others(1);
  const path = await room.path('direct', 'UDP');
  const tile = ann.page.locator('tp-tile:not([data-local])');
  const shown = await tile.evaluate((tile) => ['data-video', 'data-muted', 'data-away'].map((name) => tile.hasAttribute(name)).join());
  if (shown !== 'false,true,false') throw new Error(`the program's tile has a picture, sound, or is away: ${shown}`);
  await room.say('hello from the page');
  await cue('heard');
  await ann.page.screenshot({ path: `${plan.artifacts}/program.png` });
  step('ann sees the program, and it hears her');
  return { path };
}
