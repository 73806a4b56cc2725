// @ts-check
// Apps of another origin that have the SDK from the npm package, made by a bundler, with and without a framework.

import { spawn } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import ts from 'typescript';
import { appPage, seesAndHears } from './apppage.mjs';
import { snippet } from './snippets.mjs';

/**
 * @typedef {import('./browser.mjs').Stage} Stage
 * @typedef {(what: string) => void} Step
 * @typedef {{ place: import('./browser.mjs').Place, url: string, app: string, folder: string }} Plan `app` is the origin of
 * the app's page, and `folder` has the npm package in its node_modules
 */

/** Where React and Vue are. */
const tools = fileURLToPath(new URL('../../node_modules', import.meta.url));

/**
 * @param {Plan} plan
 * @param {string} code
 * @param {Record<string, string>} [files] that the code imports, by name
 * @returns {Promise<string>} the module for browsers
 */
async function bundle(plan, code, files = {}) {
  const result = await build({
    stdin: { contents: code, resolveDir: plan.folder, loader: 'jsx' }, bundle: true, format: 'esm', write: false, minify: true, jsx: 'automatic',
    nodePaths: [tools], define: { 'process.env.NODE_ENV': '"development"', __VUE_OPTIONS_API__: 'true', __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false' },
    plugins: [{
      name: 'files',
      setup(b) {
        b.onResolve({ filter: /^\.\// }, ({ path, importer }) => (path.slice(2) in files && !importer.includes('node_modules') ? { path: path.slice(2), namespace: 'files' } : undefined));
        b.onLoad({ filter: /.*/, namespace: 'files' }, ({ path }) => ({ contents: files[path], loader: 'jsx', resolveDir: plan.folder }));
      },
    }],
  });
  if (result.warnings.length > 0) throw new Error(`the bundler complains: ${JSON.stringify(result.warnings)}`);
  return result.outputFiles[0].text;
}

/**
 * Two people have the app's page open, and see and hear each other. Then one leaves.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 * @param {string} module
 */
async function meetIn(stage, plan, step, module) {
  const browser = await stage.browser(plan.place);
  const first = await appPage(stage, browser, plan, 'first', module);
  const second = await appPage(stage, browser, plan, 'second', module);
  await Promise.all([first, second].map(seesAndHears));
  step('both see and hear each other');
  for (const page of [first, second]) {
    const people = await page.locator('video').count();
    if (people !== 1) throw new Error(`somebody sees ${people} people in the place of one`);
  }
  await second.close();
  await first.waitForFunction(() => !document.querySelector('video'));
  step('the first one sees that the second is gone');
  return first;
}

/** Keeps the tracks of cameras and microphones where a test finds them. */
const watchTracks = `
  const { mediaDevices } = navigator, getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
  globalThis.tracks = [];
  mediaDevices.getUserMedia = async (wanted) => {
    const stream = await getUserMedia(wanted);
    globalThis.tracks.push(...stream.getTracks());
    return stream;
  };`;

/**
 * A component that goes leaves no camera on and no connection open.
 * @param {import('playwright-core').Page} page
 * @param {Step} step
 */
async function goes(page, step) {
  await page.evaluate('unmount()');
  await page.waitForFunction('tracks.length > 0 && tracks.every(({ readyState }) => readyState === "ended") && made.every(({ connectionState }) => connectionState === "closed")');
  step('the component goes, and with it camera and connections');
}

/**
 * The compiler finds the package's types, and has apps say which server they mean.
 * @param {Plan} plan
 */
async function checkTypes(plan) {
  const head = "import { connect, getTicket, type Client, type Room } from '@turnpike/client';\n";
  const apps = {
    'right.mts': `${head}const client: Client = await connect({ url: '${plan.url}', getTicket });\nexport const room: Room = await client.join('standup');`,
    'wrong.mts': `${head}export const client: Client = await connect({ getTicket });`,
  };
  for (const [name, code] of Object.entries(apps)) await writeFile(join(plan.folder, name), code);
  const program = ts.createProgram(Object.keys(apps).map((name) => join(plan.folder, name)), {
    strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'], types: [],
  });
  const found = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
  if (found.length !== 1 || !found[0]?.includes("wrong.mts: Argument of type") || !found[0].includes("'url' is missing")) throw new Error(`the compiler finds ${found}`);
}

/**
 * The package takes a server's address in every form that the server's own file takes, but cannot do without.
 * @param {Plan} plan
 */
async function checkAddresses(plan) {
  const { serverUrl } = await import(pathToFileURL(join(plan.folder, 'node_modules/@turnpike/client/server/address.js')).href);
  if (serverUrl('ws://localhost:8080/signal').href !== 'http://localhost:8080/') throw new Error('the address of a WebSocket names another server');
  try {
    serverUrl(undefined);
  } catch (error) {
    if (/** @type {any} */ (error).code === 'bad-url') return;
    throw error;
  }
  throw new Error('the package knows a server without being told');
}

/** @param {Stage} stage @param {Plan} plan @param {Step} step */
export async function bundled(stage, plan, step) {
  const code = `${await snippet('package', plan.url)}
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    const room = await client.join('standup', { create: true });
    room.eachPeer((peer, gone) => {
      const video = Object.assign(document.createElement('video'), { autoplay: true, playsInline: true, srcObject: peer.stream });
      document.body.append(video);
      gone.addEventListener('abort', () => video.remove());
    });
    await room.share(stream);`;
  await checkTypes(plan);
  step('the types are right');
  await checkAddresses(plan);
  step('the address of the server may be given in any form, and must be given');
  const module = await bundle(plan, code);
  step(`the bundle has ${module.length} bytes`);
  await meetIn(stage, plan, step, module);
  return {};
}

/** The example for React, in StrictMode, which mounts everything twice. @param {Stage} stage @param {Plan} plan @param {Step} step */
export async function react(stage, plan, step) {
  const main = `
    import { StrictMode } from 'react';
    import { createRoot } from 'react-dom/client';
    import { Meeting } from './meeting.jsx';
    ${watchTracks}
    const root = createRoot(document.body.appendChild(document.createElement('main')));
    root.render(<StrictMode><Meeting url=${JSON.stringify(plan.url)} id="standup" /></StrictMode>);
    globalThis.unmount = () => root.unmount();`;
  await goes(await meetIn(stage, plan, step, await bundle(plan, main, { 'meeting.jsx': await snippet('react', plan.url) })), step);
  return {};
}

/** The example for snapshots: a list of people follows what becomes of them. @param {Stage} stage @param {Plan} plan @param {Step} step */
export async function people(stage, plan, step) {
  const main = `
    import { StrictMode } from 'react';
    import { createRoot } from 'react-dom/client';
    import { connect, getTicket } from '@turnpike/client';
    import { People } from './people.jsx';
    globalThis.client = await connect({ url: ${JSON.stringify(plan.url)}, getTicket });
    globalThis.room = await client.join('standup', { create: true });
    createRoot(document.body.appendChild(document.createElement('main'))).render(<StrictMode><People room={room} /></StrictMode>);`;
  const module = await bundle(plan, main, { 'people.jsx': await snippet('people', plan.url) });
  const browser = await stage.browser(plan.place);
  const first = await appPage(stage, browser, plan, 'first', module);
  const second = await appPage(stage, browser, plan, 'second', module);
  await first.locator('li').filter({ hasText: /: connected$/ }).waitFor();
  step('somebody came, and is connected');
  await second.evaluate("client.rename('Countess')");
  await first.locator('li').filter({ hasText: 'Countess: connected' }).waitFor();
  step('she has another name');
  await first.evaluate('room.lock()');
  await second.locator('ul.locked').waitFor({ state: 'attached' });
  step('the room is locked');
  await second.evaluate('room.leave()');
  await first.locator('li').waitFor({ state: 'detached' });
  step('she is gone');
  return {};
}

/** The example for Vue. @param {Stage} stage @param {Plan} plan @param {Step} step */
export async function vue(stage, plan, step) {
  const main = `
    import { createApp, h } from 'vue';
    import { useMeeting } from './meeting.js';
    ${watchTracks}
    const app = createApp({
      setup() {
        const { peers } = useMeeting(${JSON.stringify(plan.url)}, 'standup');
        return () => peers.value.map((peer) => h('video', { key: peer.id, autoplay: true, playsinline: true, srcObject: peer.stream }));
      },
    });
    app.mount(document.body.appendChild(document.createElement('main')));
    globalThis.unmount = () => app.unmount();`;
  await goes(await meetIn(stage, plan, step, await bundle(plan, main, { 'meeting.js': await snippet('vue', plan.url) })), step);
  return {};
}

/**
 * The example for Node, with a WebRTC of its own, in a room with a browser.
 * @param {Stage} stage
 * @param {Plan} plan
 * @param {Step} step
 */
export async function node(stage, plan, step) {
  for (const name of ['@roamhq/wrtc', 'ws']) {
    const link = join(plan.folder, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(tools, name), link);
  }
  await writeFile(join(plan.folder, 'bot.mjs'), await snippet('node', plan.url));
  const bot = spawn('ip', ['netns', 'exec', plan.place.netns, process.execPath, 'bot.mjs'], { cwd: plan.folder, stdio: ['ignore', 'inherit', 'pipe'] });
  let complaints = '';
  bot.stderr.on('data', (text) => { complaints += text; });
  const ended = new Promise((resolve) => { bot.on('exit', (code, signal) => resolve(code ?? signal)); });
  try {
    const page = await appPage(stage, await stage.browser(plan.place), plan, 'person', `${await snippet('quickstart', plan.url)}
      room.on('message', ({ peer, text }) => { document.title = peer.name + ': ' + text; });
      if (room.peers.size === 0) await room.once('peer-joined');
      room.sendMessage('hello');`);
    await Promise.race([
      page.waitForFunction(() => document.title === 'Echo: You said: hello'),
      ended.then((code) => { throw new Error(`the bot ended with ${code}: ${complaints}`); }),
    ]);
    step('the bot answers');
    bot.kill('SIGTERM');
    await page.waitForFunction(() => !document.querySelector('video'));
    const code = await ended;
    if (code !== 0 || complaints) throw new Error(`the bot ended with ${code}: ${complaints}`);
    step('the bot is gone for good');
  } finally {
    bot.kill('SIGKILL');
  }
  return {};
}
