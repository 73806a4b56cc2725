// @ts-check
// A page exchanges a code with a program of the Go library, and takes nobody else for that program afterwards.

import { bundled } from './apppage.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {(name: string) => Promise<unknown>} Cue */
/** @typedef {{ place: import('./browser.mjs').Place, url: string, room: string, words: string, want: string }} Plan */

const INSIDE = `
  import { connect, getTicket } from './sdk/turnpike.js';
  import { makePinning } from './code/pinning.js';
  import { receiveCode } from './code/exchange.js';
  Object.assign(globalThis, { connect, getTicket, makePinning, receiveCode });
`;

/**
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 * @param {Cue} cue
 */
export async function codeExchange(stage, plan, step, cue) {
  const page = await stage.page(await stage.browser(plan.place), 'receiver');
  await page.goto(`${plan.url}/healthz`);
  await page.evaluate(await bundled(INSIDE, 'iife'));
  await page.evaluate(async (name) => {
    const app = /** @type {any} */ (globalThis);
    app.until = async (/** @type {string} */ what, /** @type {() => unknown} */ ask, ms = 40_000) => {
      for (const deadline = performance.now() + ms; performance.now() < deadline;) {
        const answer = await ask();
        if (answer) return answer;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(`waited in vain for: ${what}`);
    };
    app.pinning = await app.makePinning();
    const getTicket = () => app.getTicket({ name: 'receiver', url: location.origin });
    app.client = await app.connect({ name: 'receiver', storage: null, getTicket, url: location.origin, rtc: app.pinning.rtc });
    app.room = await app.client.join(name, { create: true, size: 8 });
    app.room.eachPeer((/** @type {any} */ peer) => app.peer = peer);
  }, plan.room);
  await cue('sender');
  const outcome = await page.evaluate(exchange, plan.words);
  if (outcome !== plan.want) throw new Error(`the page ends with ${outcome}, not ${plan.want}`);
  step(`the page ends with ${outcome}`);
  await cue('ended');
  if (outcome !== 'confirmed') return { outcome };
  await page.evaluate(staysTheSame);
  step('ICE was restarted on the connection, and it has the same binding');
  await page.evaluate(takesNoOther);
  step('the page takes no other certificate for that of the sender');
  return { outcome };
}

/** Runs in the page. @param {string} words */
async function exchange(words) {
  const app = /** @type {any} */ (globalThis);
  const { until, pinning, receiveCode } = app;
  await until('a connection', () => app.peer?.state === 'connected');
  const { peer } = app;
  const binding = await pinning.bind(peer);
  const channel = peer.openChannel('code');
  /** @type {number[]} */
  const came = [];
  let isOver = false;
  let wake = () => {};
  channel.on('message', (/** @type {unknown} */ data) => {
    if (data instanceof ArrayBuffer) came.push(...new Uint8Array(data));
    wake();
  });
  for (const name of ['closed', 'interrupted']) channel.on(name, () => {
    isOver = true;
    wake();
  });
  const read = async (/** @type {number} */ length) => {
    while (came.length < length) {
      if (isOver) throw new Error('the stream has ended');
      await new Promise((resolve) => (wake = () => resolve(undefined)));
    }
    return new Uint8Array(came.splice(0, length));
  };
  const ok = new TextDecoder().decode(await read(3));
  if (ok !== 'ok\n') throw new Error(`the first line is ${ok}`);
  const began = performance.now();
  try {
    await receiveCode({ words, binding, read, write: (/** @type {Uint8Array<ArrayBuffer>} */ bytes) => channel.send(bytes) });
    console.log(`the exchange took ${Math.round(performance.now() - began)} ms`);
    return 'confirmed';
  } catch (error) {
    return error instanceof Error ? error.name : 'nothing';
  }
}

/** Runs in the page. */
async function staysTheSame() {
  const { until, pinning, peer } = /** @type {any} */ (globalThis);
  const { connection } = peer;
  const binding = String(await pinning.bind(peer));
  const before = connection.currentRemoteDescription.sdp;
  connection.restartIce();
  await until('another description', () => connection.currentRemoteDescription.sdp !== before && connection.signalingState === 'stable');
  if (String(await pinning.bind(peer)) !== binding || peer.connection !== connection) throw new Error('the binding is another one');
}

/** Runs in the page. */
async function takesNoOther() {
  const { pinning, peer } = /** @type {any} */ (globalThis);
  const stranger = new RTCPeerConnection();
  stranger.createDataChannel('files');
  const offer = await stranger.createOffer();
  const next = new pinning.rtc.RTCPeerConnection();
  pinning.rtc.onConnection(next, peer);
  const refused = await next.setRemoteDescription(offer).then(() => '', String);
  next.close();
  stranger.close();
  if (!/another certificate/.test(refused)) throw new Error(`a stranger's offer: ${refused || 'taken'}`);
}
