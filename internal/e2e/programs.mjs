// @ts-check
// A page and a program of the Go library in one room: streams both ways, what else the SDK says, and a page that is loaded again.
/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {(name: string) => Promise<unknown>} Cue */
/** @typedef {{ place: import('./browser.mjs').Place, url: string, invite?: string, size: number, room: string }} Plan */

/**
 * Opens a page of the server's origin that is in the room, and has the functions of docs/peer-protocol.md for streams.
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
    app.write = async (/** @type {any} */ channel, /** @type {Uint8Array} */ bytes) => {
      for (let at = 0; at < bytes.length; at += 16384) await channel.send(bytes.slice(at, at + 16384));
      await channel.send('end');
    };
    app.readAll = (/** @type {any} */ channel) => new Promise((resolve, reject) => {
      /** @type {ArrayBuffer[]} */
      const parts = [];
      channel.on('message', (/** @type {any} */ data) => {
        if (typeof data !== 'string') return parts.push(data);
        if (data !== 'end') return;
        channel.send('read');
        new Blob(parts).arrayBuffer().then(resolve, reject);
      });
      channel.on('closed', () => reject(new Error(`the channel ${channel.label} was closed before its end`)));
    });
    app.sum = async (/** @type {BufferSource} */ bytes) => {
      return [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    };
    app.random = (/** @type {number} */ size) => {
      const bytes = new Uint8Array(size);
      for (let at = 0; at < size; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
      return bytes;
    };
    const name = 'page';
    app.client = await connect({ name, storage: sessionStorage, getTicket: (/** @type {any} */ request) => getTicket({ ...request, name, ...(invite && { invite }) }) });
    app.room = await app.client.join(room, { create: true, size: 8 });
    app.errors = [];
    app.answers = [];
    app.room.eachPeer((/** @type {any} */ peer) => {
      app.peer = peer;
      peer.on('error', (/** @type {unknown} */ error) => app.errors.push(String(error)));
      peer.on('data', (/** @type {any} */ data) => app.data = data);
      peer.on('channel', async (/** @type {any} */ { channel }) => {
        const sum = await app.sum(await app.readAll(channel));
        await app.write(channel, new TextEncoder().encode(sum));
        app.answers.push(channel.label);
      });
    });
  }, { invite, room });
}

/** @param {import('playwright-core').Page} page @param {number} size */
async function exchange(page, size) {
  await page.evaluate(async (size) => {
    const app = /** @type {any} */ (globalThis);
    const { write, readAll, sum, random, until } = app;
    await until('a connection', () => app.peer?.state === 'connected');
    const { peer } = app;
    const up = peer.openChannel('sum');
    const bytes = random(size);
    const answer = readAll(up);
    await write(up, bytes);
    const [want, got] = [await sum(bytes), new TextDecoder().decode(await answer)];
    if (want !== got) throw new Error(`the program got bytes with the sum ${got}, not ${want}`);
    up.close();
    const down = peer.openChannel('bulk');
    const all = readAll(down);
    await write(down, new TextEncoder().encode(String(size)));
    const received = await all;
    if (received.byteLength !== size) throw new Error(`${received.byteLength} bytes came, not ${size}`);
    if (new Uint8Array(received).some((byte, at) => byte !== (at * 7) % 251)) throw new Error('other bytes came than were sent');
    down.close();
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
  await enter(page, plan);
  await cue('program');
  await exchange(page, plan.size);
  step('the page sends and gets bytes, and each answer comes after its end');
  await cue('open');
  await page.evaluate(() => {
    const { answers, until } = /** @type {any} */ (globalThis);
    return until('an answer to the stream of the program', () => answers.includes('from the program'));
  });
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
    const channel = app.peer.openChannel('sum');
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
    const [want, got] = [await sum(bytes), new TextDecoder().decode(await answer)];
    if (want !== got) throw new Error(`the program got bytes with the sum ${got}, not ${want}`);
    channel.close();
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
  await enter(page, plan);
  await page.evaluate(async () => {
    const app = /** @type {any} */ (globalThis);
    app.stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    await app.room.share(app.stream);
  });
  await cue('program');
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
  await enter(page, plan);
  await exchange(page, 1 << 20);
  step('and all of it with the page loaded again');
  return { path: await pathIn(page) };
}

