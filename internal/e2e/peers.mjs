// @ts-check
// Two people of the SDK in one page, with no page of ours around them: what only real connections can show.

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/**
 * Opens a page of the server's origin in which two clients are in one room: `window.ann` and `window.ben` have their client,
 * their room and their peer. `until` waits for a condition.
 *
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {{ media?: boolean }} [options] media: both share a camera and a microphone
 */
async function pair(stage, plan, { media = true } = {}) {
  const page = await stage.page(await stage.browser(plan.place), 'pair');
  await page.goto(`${plan.url}/healthz`);
  await page.evaluate(async ({ media }) => {
    const page = /** @type {any} */ (globalThis);
    const load = (/** @type {string} */ path) => import(path); // The compiler cannot look up what the server has.
    page.sdk = await load('/sdk/turnpike.js');
    page.inside = await load('/sdk/peer/peer.js');
    page.until = async (/** @type {string} */ what, /** @type {() => unknown} */ ask, ms = 30_000) => {
      for (const deadline = performance.now() + ms; performance.now() < deadline;) {
        const answer = await ask();
        if (answer) return answer;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`waited in vain for: ${what}`);
    };
    const { connect, getTicket } = page.sdk;
    /** @type {unknown[]} */
    page.errors = [];
    for (const name of ['ann', 'ben']) {
      const client = await connect({ name, storage: null, getTicket: () => getTicket({ name }) });
      const room = await client.join('pair', { create: true });
      page[name] = { client, room };
    }
    for (const [self, other] of [['ann', 'ben'], ['ben', 'ann']]) {
      const peer = await page.until(`${other} with ${self}`, () => [...page[self].room.peers.values()][0]);
      peer.on('error', (/** @type {unknown} */ error) => page.errors.push(`${self}: ${error}`));
      page[self].peer = peer;
      if (!media) continue;
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
      await page[self].room.share({ audio: stream.getAudioTracks()[0], video: stream.getVideoTracks()[0] });
    }
    await page.until('both connected', () => page.ann.peer.isConnected && page.ben.peer.isConnected);
  }, { media });
  return page;
}

/**
 * Both ends make a new connection at the same moment. They agree on one, which has no transceiver and no picture twice.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function glare(stage, plan, step) {
  const page = await pair(stage, plan);
  step('both are connected');
  const report = await page.evaluate(async () => {
    const { ann, ben, until, errors } = /** @type {any} */ (globalThis);
    const former = [ann.peer.connection, ben.peer.connection];
    for (const { peer } of [ann, ben]) peer.reconnect();
    await until('another connection', () => [ann, ben].every(({ peer }, i) => peer.connection !== former[i] && peer.isConnected));
    const sides = [];
    for (const { peer } of [ann, ben]) {
      const pc = peer.connection;
      /** @returns {Promise<any[]>} */
      const outbound = async () => [...(await pc.getStats()).values()].filter(({ type }) => type === 'outbound-rtp');
      await until('sound and picture', async () => (await outbound()).filter(({ bytesSent }) => bytesSent > 0).length >= 2);
      await until('a stable connection', () => pc.signalingState === 'stable');
      sides.push({ transceivers: pc.getTransceivers().length, sent: (await outbound()).map(({ kind }) => kind).sort() });
    }
    return { sides, errors };
  });
  for (const { transceivers, sent } of report.sides) {
    if (transceivers !== 2 || String(sent) !== 'audio,video') throw new Error(`left over: ${JSON.stringify(report)}`);
  }
  if (report.errors.length > 0) throw new Error(report.errors.join('\n'));
  step('one connection, and nothing twice');
  return report;
}
