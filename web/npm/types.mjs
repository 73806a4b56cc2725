// @ts-check
// Makes the SDK's type declarations, one file, of the JSDoc of its modules: node web/npm/types.mjs
// writes web/npm/turnpike.d.ts, which the server hands out and the npm package has.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rollup } from 'rollup';
import { dts } from 'rollup-plugin-dts';
import ts from 'typescript';

const sdk = fileURLToPath(new URL('../static/sdk/', import.meta.url));

/** Where the declarations are. */
export const declarations = fileURLToPath(new URL('turnpike.d.ts', import.meta.url));

/** @returns {Promise<string>} the declarations of what turnpike.js exports, and of all that this rests on */
export async function makeTypes() {
  const dir = await mkdtemp(join(tmpdir(), 'turnpike-types-'));
  try {
    declare(dir);
    const bundle = await rollup({ input: join(dir, 'turnpike.d.ts'), plugins: [dts()], onwarn: (warning) => { throw new Error(warning.message); } });
    const { output: [{ code }] } = await bundle.generate({ format: 'es' });
    return `// The types of the turnpike SDK. \`make types\` makes this file of the SDK's sources.\n\n${withNames(withoutRepeats(code))}`;
  } finally {
    await rm(dir, { recursive: true });
  }
}

/**
 * Has the compiler write a declaration for each module.
 * @param {string} dir
 */
function declare(dir) {
  const program = ts.createProgram([join(sdk, 'turnpike.js')], {
    allowJs: true, checkJs: true, strict: true, declaration: true, emitDeclarationOnly: true, outDir: dir, rootDir: sdk,
    target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022, moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'], types: [],
  });
  const emitted = program.emit(undefined, (name, text) => ts.sys.writeFile(name, withoutInternals(text)));
  const problems = [...ts.getPreEmitDiagnostics(program), ...emitted.diagnostics];
  if (problems.length > 0) {
    throw new Error(ts.formatDiagnostics(problems, { getCanonicalFileName: (name) => name, getCurrentDirectory: () => sdk, getNewLine: () => '\n' }));
  }
}

/**
 * Takes out the members whose comment says @internal, which the compiler does for TypeScript only. An app cannot make an
 * object whose constructor is one.
 * @param {string} text
 */
function withoutInternals(text) {
  return text.replace(/^ *\/\*\*(?:(?!\*\/)[^])*?@internal\b(?:(?!\*\/)[^])*\*\/\n( *)([^]*?);\n/gm, (_, space, member) => (
    member.startsWith('constructor(') ? `${space}private constructor();\n` : ''
  ));
}

/**
 * The compiler puts the comment of several types that stand together before each of them. The first is enough.
 * @param {string} code
 */
function withoutRepeats(code) {
  const seen = new Set();
  return code.replace(/^\/\*\*\n(?: \*.*\n)+(?=type )/gm, (comment) => {
    if (seen.has(comment)) return '';
    seen.add(comment);
    return comment;
  });
}

/**
 * Apps can name every type that they meet.
 * @param {string} code
 */
function withNames(code) {
  const names = [...code.matchAll(/^type (\w+)/gm)].map((match) => match[1]).sort();
  return `${code}export type { ${names.join(', ')} };\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(declarations, await makeTypes());
