// @ts-check
// Makes the npm package of the SDK: node web/npm/build.mjs VERSION DIR leaves a tarball in DIR, and prints its path.
// The package has the modules as they stand in web/static/sdk, but for the one that knows the server they came from.
// Two builds of one version are the same.

import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTypes } from './types.mjs';

const here = fileURLToPath(new URL('./', import.meta.url));
const sdk = fileURLToPath(new URL('../static/sdk/', import.meta.url));
const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * @param {string} version such as v1.2.3
 * @param {string} dir
 */
async function build(version, dir) {
  const work = await mkdtemp(join(tmpdir(), 'turnpike-npm-'));
  try {
    await cp(sdk, work, { recursive: true });
    await cp(join(here, 'home.js'), join(work, 'server/home.js'));
    await cp(join(here, 'README.md'), join(work, 'README.md'));
    await cp(join(root, 'LICENSE'), join(work, 'LICENSE'));
    await writeFile(join(work, 'turnpike.d.ts'), withMandatoryUrl(await makeTypes()));
    const manifest = JSON.parse(await readFile(join(here, 'package.json'), 'utf8'));
    await writeFile(join(work, 'package.json'), `${JSON.stringify({ ...manifest, version: version.replace(/^v/, '') }, null, 2)}\n`);
    await mkdir(dir, { recursive: true });
    const [{ filename }] = JSON.parse(execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', resolve(dir)], { cwd: work, encoding: 'utf8' }));
    return join(dir, filename);
  } finally {
    await rm(work, { recursive: true });
  }
}

/**
 * A package cannot know the server, so its types do not let anybody leave it out.
 * @param {string} types
 */
function withMandatoryUrl(types) {
  let found = 0;
  const changed = types.replace(/\burl(\?)?: string \| URL \| undefined;/g, (_, optional) => {
    if (optional) found++;
    return 'url: string | URL;';
  });
  if (found !== 2) throw new Error(`the address of the server is in ${found} types, not in the options of connect and of getTicket`);
  return changed.replace(/; default: the server that this file came from/g, '');
}

const [version, dir] = process.argv.slice(2);
if (!version || !dir) throw new Error('usage: node web/npm/build.mjs VERSION DIR');
console.log(await build(version, dir));
