// @ts-check
// The examples of docs/sdk.md, as they stand there.

import { readFile } from 'node:fs/promises';

/** The server that the page's examples name. */
const example = 'https://turn.example.org';

/** @returns {Promise<Map<string, string>>} the blocks of code that have a name, such as ```js name=quickstart */
async function blocks() {
  const page = await readFile(new URL('../../docs/sdk.md', import.meta.url), 'utf8');
  const found = new Map();
  for (const [, language, name, code] of page.matchAll(/^```(\w+)(?: name=(\w+))?\n([^]*?)^```$/gm)) {
    if (name) {
      if (found.has(name)) throw new Error(`docs/sdk.md has two examples ${name}`);
      found.set(name, code);
    } else if (language !== 'sh' && language !== 'console') {
      throw new Error(`docs/sdk.md has an example in ${language} with no name, which no test would run:\n${code}`);
    }
  }
  return found;
}

/** The names of all examples. */
export async function snippetNames() {
  return [...(await blocks()).keys()];
}

/**
 * An example, for another server than the one that it names.
 * @param {string} name
 * @param {string} url
 */
export async function snippet(name, url) {
  const code = (await blocks()).get(name);
  if (!code) throw new Error(`docs/sdk.md has no example ${name}`);
  return code.replaceAll(example, url);
}
