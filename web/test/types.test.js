// @ts-check
// What an app's compiler makes of the SDK's published types.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import ts from 'typescript';
import { declarations, makeTypes } from '../npm/types.mjs';

const app = fileURLToPath(new URL('app.ts', import.meta.url));

/**
 * @param {string} code of an app that imports the SDK by its address on a server
 * @returns {Map<number | string, string>} what the compiler finds wrong, by the number of the line, or by the name of another file
 */
function problems(code) {
  /** @type {ts.CompilerOptions} */
  const options = {
    strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022, moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'], types: [], paths: { 'https://turn.example.org/sdk/v1/turnpike.js': [declarations] },
    skipDefaultLibCheck: true,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === app || fileExists(name);
  host.getSourceFile = (name, ...rest) => (name === app ? ts.createSourceFile(name, code, options.target ?? 0) : getSourceFile(name, ...rest));
  return new Map(ts.getPreEmitDiagnostics(ts.createProgram([app], options, host)).map(({ file, start = 0, messageText }) => [
    file?.fileName === app ? file.getLineAndCharacterOfPosition(start).line : file?.fileName ?? '', ts.flattenDiagnosticMessageText(messageText, ' '),
  ]));
}

const right = `import { connect, getTicket, TurnpikeError, type Client, type ClientOptions, type ErrorCode, type Peer, type Room, type User } from 'https://turn.example.org/sdk/v1/turnpike.js';
const options: ClientOptions = { getTicket };
const client: Client = await connect(options);
const room: Room = await client.join('standup', { create: true });
const off: () => void = room.on('peer-joined', ({ peer }) => { const name: string = peer.name; const stream: MediaStream = peer.stream; });
room.eachPeer((peer: Peer, gone: AbortSignal) => {});
try { await client.call('app:u1'); } catch (error) { if (error instanceof TurnpikeError && error.code === 'busy') { const code: ErrorCode = error.code; } }
const people: User[] = [...client.online.values()];
off();
`;

/** Each has one slip. */
const wrong = [
  "room.on('peerJoined', () => {});",
  "room.on('peer-joined', ({ person }) => {});",
  "const code: ErrorCode = 'fulll';",
  "connect({ getTicket, nmae: 'Ada' });",
  "if (client.status === 'offline') client.close();",
];

test('the compiler takes a right app, and finds every slip', () => {
  const found = problems(right + wrong.join('\n'));
  const first = right.split('\n').length - 1;
  for (const [i, line] of wrong.entries()) assert.ok(found.delete(first + i), `not found: ${line}`);
  assert.deepEqual([...found], []);
});

test('the published types are those of the sources, and show nothing that is the SDK\'s own', async () => {
  const types = await makeTypes();
  assert.ok(await readFile(declarations, 'utf8') === types, 'web/npm/turnpike.d.ts is not what the sources say: run `make types`');
  for (const inner of ['ClientMessage', 'ServerMessage', 'RoomClient', 'Roster', 'LinkOptions']) assert.doesNotMatch(types, new RegExp(`\\b${inner}\\b`));
});
