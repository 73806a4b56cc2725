// @ts-check
// Two people of the SDK in one page, with no page of ours around them: what only real connections can show.

import { patience } from './browser.mjs';
import { Home, Room } from './pages.mjs';
import { place } from './sdkpage.mjs';

/** @typedef {import('./browser.mjs').Stage} Stage */
/** @typedef {(what: string) => void} Step */
/** @typedef {{ place: import('./browser.mjs').Place, url: string }} Plan */

/**
 * Ann and ben are in a page, each with the other as `peer`.
 *
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {{ media?: boolean }} [options] media: both share a camera and a microphone
 */
async function pair(stage, plan, { media = true } = {}) {
  const page = await place(stage, plan);
  await page.evaluate(async ({ media }) => {
    const page = /** @type {any} */ (globalThis);
    await page.join('ann');
    await page.join('ben');
    for (const [self, other] of [['ann', 'ben'], ['ben', 'ann']]) {
      const peer = await page.until(`${other} with ${self}`, () => [...page[self].room.peers.values()][0]);
      page[self].peer = peer;
      if (!media) continue;
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
      await page[self].room.share(stream);
    }
    await page.until('both connected', () => [page.ann, page.ben].every(({ peer }) => page.insideOf(peer).isConnected));
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
    const { ann, ben, insideOf, until, errors } = /** @type {any} */ (globalThis);
    const former = [ann.peer.connection, ben.peer.connection];
    for (const { peer } of [ann, ben]) insideOf(peer).reconnect();
    await until('another connection', () => [ann, ben].every(({ peer }, i) => peer.connection !== former[i] && insideOf(peer).isConnected));
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

/**
 * Camera, microphone, screen and the screen's sound each have their place, come and go alone, and follow their tracks. A new
 * connection has them all.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function sources(stage, plan, step) {
  const page = await pair(stage, plan);
  step('both are connected');
  const on = await page.evaluate(async (browser) => {
    const { ann, ben, insideOf, until, errors } = /** @type {any} */ (globalThis);
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: 800, height: 600 });
    const context = canvas.getContext('2d');
    setInterval(() => context?.fillRect(Math.random() * 800, 0, 10, 600), 50);
    const audio = new AudioContext();
    const sound = audio.createMediaStreamDestination();
    const tone = audio.createOscillator();
    tone.connect(sound);
    tone.start();
    const screen = canvas.captureStream(20).getVideoTracks()[0];
    const screenAudio = sound.stream.getAudioTracks()[0];

    /** @param {MediaStream} stream whose picture must move */
    const moves = async (stream) => {
      const video = document.createElement('video');
      Object.assign(video, { muted: true, srcObject: new MediaStream(stream.getVideoTracks()) });
      await video.play();
      const first = video.currentTime;
      await until('a moving picture', () => video.videoWidth > 0 && video.currentTime > first + 0.2);
      return [video.videoWidth, video.videoHeight];
    };
    const names = () => Object.entries(ben.peer.sources).filter(([, isOn]) => isOn).map(([name]) => name).sort().join(' ');
    const told = async (/** @type {string} */ want) => until(`ben to see ${want}, not ${names()}`, () => names() === want);

    await told('camera microphone');
    const camera = ann.room.sources.camera;
    await ann.room.share({ screen, screenAudio });
    await told('camera microphone screen screenAudio');
    if (ann.room.sources.camera !== camera) throw new Error('the camera was not kept');
    await moves(ben.peer.stream);
    const shape = await moves(ben.peer.screen);
    if (shape[0] / shape[1] < 1.3 || shape[0] / shape[1] > 1.36) throw new Error(`the screen has the shape ${shape}`);
    const tracks = [ben.peer.stream, ben.peer.screen].map((stream) => stream.getTracks().map((/** @type {any} */ { kind }) => kind).sort().join());
    if (tracks.join() !== 'audio,video,audio,video') throw new Error(tracks.join('; '));

    for (const { peer } of [ann, ben]) insideOf(peer).reconnect();
    const former = ben.peer.connection;
    await until('another connection', () => ben.peer.connection !== former && insideOf(ben.peer).isConnected);
    await until('the screen', () => ben.peer.screen.getVideoTracks().length === 1);
    await moves(ben.peer.screen);
    await moves(ben.peer.stream);

    /** @type {string[]} */
    const reasons = [];
    ann.room.on('sources', (/** @type {any} */ { source, reason }) => reasons.push(`${source} ${reason}`));
    ann.room.mute('microphone');
    await told('camera screen screenAudio');
    ann.room.mute('microphone', false);
    await told('camera microphone screen screenAudio');
    await ann.room.share({ camera: null });
    await told('microphone screen screenAudio');
    screen.stop();
    // The event comes if the user ends it in the browser's own bar. Firefox does not let the script of a test make it up.
    if (browser === 'firefox') await ann.room.share({ screen: null });
    else screen.dispatchEvent(new Event('ended'));
    await told('microphone screenAudio');
    if (ann.room.sources.screen) throw new Error('a track that has ended is still shared');
    await ann.room.share({ screen: canvas.captureStream(20).getVideoTracks()[0], camera });
    await told('camera microphone screen screenAudio');
    await moves(ben.peer.screen);
    if (errors.length > 0) throw new Error(errors.join('\n'));
    return { reasons, transceivers: ben.peer.connection.getTransceivers().length };
  }, plan.place.browser);
  step('each source came and went alone');
  if (on.transceivers !== 4) throw new Error(`${on.transceivers} transceivers`);
  return on;
}

/**
 * What each connection gets becomes less as more people come, and more as they go.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function limits(stage, plan, step) {
  const page = await pair(stage, plan);
  step('two are connected');
  return page.evaluate(async () => {
    const { ann, until, join } = /** @type {any} */ (globalThis);
    const encoding = () => ann.peer.connection.getSenders().find((/** @type {any} */ { track }) => track?.kind === 'video').getParameters().encodings[0];
    const shape = async () => {
      /** @type {any[]} */
      const reports = [...(await ann.peer.connection.getStats()).values()];
      const { frameWidth = 0, frameHeight = 0 } = reports.find(({ type, kind }) => type === 'outbound-rtp' && kind === 'video') ?? {};
      return Math.min(frameWidth, frameHeight);
    };
    await until('the limit of two', () => encoding().maxBitrate === 1_500_000);
    await until('a big picture', async () => await shape() > 360);
    for (const name of ['cy', 'dan', 'eve']) await join(name);
    await until('the limit of five', () => encoding().maxBitrate === 300_000 && encoding().maxFramerate === 20);
    await until('a small picture', async () => await shape() > 0 && await shape() <= 360);
    for (const name of ['cy', 'dan', 'eve']) await /** @type {any} */ (globalThis)[name].room.leave();
    await until('the limit of two again', () => encoding().maxBitrate === 1_500_000 && encoding().scaleResolutionDownBy === 1);
    return { lines: await shape() };
  });
}

/**
 * Data arrives once and in order while connections come and go, a channel outlives them, and a sender who is faster waits.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function data(stage, plan, step) {
  const page = await pair(stage, plan, { media: false });
  step('both are connected');
  return page.evaluate(async () => {
    const { ann, ben, insideOf, until } = /** @type {any} */ (globalThis);
    /** @type {any[]} */
    const got = [];
    ben.room.on('data', (/** @type {any} */ { peer, data, topic }) => got.push({ name: peer.name, data, topic }));
    const renew = async () => {
      const former = ben.peer.connection;
      insideOf(ann.peer).reconnect();
      await until('another connection', () => ben.peer.connection !== former && [ann, ben].every(({ peer }) => insideOf(peer).isConnected));
    };

    const { missed } = await ann.room.send({ x: 1, deep: [null, 'é'] }, { topic: 'move' });
    await ann.room.send(new Uint8Array([0, 255, 128]), { to: ann.peer });
    await until('both', () => got.length === 2);
    if (missed.length > 0 || JSON.stringify(got[0]) !== '{"name":"ann","data":{"x":1,"deep":[null,"é"]},"topic":"move"}') throw new Error(JSON.stringify(got));
    if (!(got[1].data instanceof Uint8Array) || got[1].data.join() !== '0,255,128') throw new Error('no bytes');

    got.length = 0;
    const filler = 'x'.repeat(4000);
    let sent = 0;
    const sending = (async () => {
      for (; sent < 1500; sent++) await ann.room.send({ n: sent, filler });
    })();
    await until('some', () => got.length > 100);
    await renew();
    await sending;
    await until('all', () => got.length >= 1500);
    for (const [n, { data }] of got.entries()) if (data.n !== n) throw new Error(`${data.n} came as number ${n}`);

    await until('a message that may be lost', async () => {
      await ann.room.send('quick', { reliable: false, topic: 'position' });
      return got.some(({ data, topic }) => data === 'quick' && topic === 'position');
    });

    /** @type {any} */
    let theirs;
    ben.peer.on('channel', (/** @type {any} */ { channel }) => {
      theirs = channel;
      channel.on('message', (/** @type {any} */ text) => channel.send(`${text}, said ann`));
    });
    const ours = ann.peer.openChannel('game', { ordered: false });
    /** @type {unknown[]} */
    const answers = [];
    ours.on('message', (/** @type {unknown} */ text) => answers.push(text));
    await ours.send('one');
    await until('an answer', () => answers.length === 1);
    await renew();
    await ours.send('two');
    await until('an answer over another connection', () => answers.length === 2);
    if (answers.join('; ') !== 'one, said ann; two, said ann') throw new Error(answers.join('; '));
    theirs.close();
    await until('the end of the channel', () => ours.state === 'closed');
    const refused = await ours.send('three').catch((/** @type {any} */ { code }) => code);
    return { sent, refused };
  });
}

/**
 * Two people who share nothing and say nothing stay connected: the checks that keep their path open are signs of life.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function quiet(stage, plan, step) {
  const page = await pair(stage, plan, { media: false });
  step('both are connected');
  const report = await page.evaluate(async () => {
    const { ann, ben, signsOfLife, until } = /** @type {any} */ (globalThis);
    const former = [ann.peer.connection, ben.peer.connection];
    const look = async () => {
      /** @type {RTCStatsReport} */
      const stats = await former[0].getStats();
      return { signs: signsOfLife(stats), at: Math.max(...[...stats.values()].map(({ timestamp }) => timestamp)) };
    };
    const isKept = () => [ann, ben].every(({ peer }, i) => peer.connection === former[i]);
    const first = await look();
    let [last, longest] = [first, 0];
    await until('16 s of silence but for those checks', async () => {
      const now = await look();
      longest = Math.max(longest, now.at - last.at);
      if (now.signs !== last.signs) last = now;
      return !isKept() || now.at - first.at >= 16_000;
    });
    return { same: isKept(), longestSilenceMs: Math.round(longest) };
  });
  if (!report.same) throw new Error('a connection on which nothing was wrong was given up');
  return report;
}

/**
 * A client that knows signal/PROTOCOL.md and nothing of the SDK, in a room with the page: each sees and hears the other.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function foreign(stage, plan, step) {
  const browser = await stage.browser(plan.place);
  const home = new Home(await stage.page(browser, 'ann'));
  await home.open(plan.url, 'ann');
  const id = await home.create({ size: 4 });
  const ann = new Room(home.page);
  const page = await stage.page(browser, 'foreign');
  await page.goto(`${plan.url}/healthz`);
  await page.evaluate(foreignClient, { room: id, saysWhatItSends: true });
  await ann.others(1);
  step('both are in the room');
  await ann.watch();
  const tile = home.page.locator('[data-testid=tile]:not([data-local])');
  await tile.and(home.page.locator('[data-video]')).waitFor();
  await tile.and(home.page.locator(':not([data-muted])')).waitFor();
  step('the page shows that it sends picture and sound');
  await ann.hear('from afar');
  await ann.say('so near');
  await page.waitForFunction(() => /** @type {any} */ (globalThis).heard.includes('so near'), null, { timeout: patience });
  step('chat goes both ways');
  await page.waitForFunction(() => /** @type {any} */ (globalThis).received().then((/** @type {any} */ { audio, video }) => audio > 0 && video > 0), null, { timeout: patience });
  step('and so do sound and picture');
  await page.close();
  await ann.others(0);
  const silent = await stage.page(browser, 'silent');
  await silent.goto(`${plan.url}/healthz`);
  await silent.evaluate(foreignClient, { room: id, saysWhatItSends: false });
  await tile.and(home.page.locator('[data-video]:not([data-muted])')).waitFor();
  await ann.watch();
  step('one that does not say what it sends is seen, too');
  return {};
}

/** Runs in a page. Everything that it does is in signal/PROTOCOL.md. @param {{ room: string, saysWhatItSends: boolean }} options */
async function foreignClient({ room, saysWhatItSends }) {
  const answer = await fetch('/api/v1/tickets', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: `bare ${saysWhatItSends}` }) });
  const { ticket } = await answer.json();
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  const socket = new WebSocket(`ws://${location.host}/signal`, 'turnpike.v1');
  const send = (/** @type {object} */ message) => socket.send(JSON.stringify(message));
  /** @type {string[]} */
  const heard = [];
  /** @type {RTCPeerConnection} */
  let pc;
  /** @type {string} */
  let peer;
  /** @type {RTCIceServer[]} */
  let iceServers = [];

  const offer = async () => {
    pc = new RTCPeerConnection({ iceServers });
    for (const kind of ['audio', 'video']) {
      pc.addTransceiver(stream.getTracks().find((track) => track.kind === kind) ?? kind, { direction: 'sendrecv', streams: [stream] });
    }
    const channel = pc.createDataChannel('chat', { negotiated: true, id: 0 });
    const say = (/** @type {object} */ message) => channel.send(JSON.stringify(message));
    channel.onopen = () => {
      if (saysWhatItSends) say({ type: 'media', audio: true, video: true });
      say({ type: 'chat', line: 'a line', n: 1, text: 'from afar', at: new Date().toISOString() });
    };
    channel.onmessage = ({ data }) => {
      const { type, line, n, text } = JSON.parse(data);
      if (type !== 'chat') return;
      heard.push(text);
      say({ type: 'chat-ack', line, n });
    };
    pc.onicecandidate = ({ candidate }) => send({ type: 'signal', room, to: peer, candidate });
    await pc.setLocalDescription();
    const { type, sdp } = /** @type {RTCSessionDescription} */ (pc.localDescription);
    send({ type: 'signal', room, to: peer, description: { type, sdp } });
  };

  socket.onopen = () => send({ type: 'hello', id: '1', ticket });
  socket.onmessage = async ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === 'welcome') {
      iceServers = message.iceServers;
      send({ type: 'join', id: '2', room });
    } else if (message.type === 'joined') {
      peer = message.peers[0].session;
      await offer();
    } else if (message.type === 'signal') {
      if (message.description) await pc.setRemoteDescription(message.description);
      for (const candidate of message.candidates ?? []) await pc.addIceCandidate(candidate);
    }
  };
  Object.assign(globalThis, {
    heard,
    received: async () => {
      /** @type {Record<string, number>} */
      const bytes = {};
      for (const report of (await pc.getStats()).values()) if (report.type === 'inbound-rtp') bytes[report.kind] = report.bytesReceived;
      return bytes;
    },
  });
}
