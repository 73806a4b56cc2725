// @ts-check
import { wordsLoaded } from './language.js';
import { TurnpikeError } from './sdk/error.js';

/** @type {Map<string, Promise<void>>} by name */
const parts = new Map();

/**
 * Loads a part of the page: its templates and style sheets in parts/NAME.html, the module that uses them, and the words of both.
 *
 * @template T
 * @param {string} name
 * @param {Promise<T>} module that `import()` loads
 * @returns {Promise<T>}
 */
export async function loadPart(name, module) {
  try {
    const [loaded] = await Promise.all([module, loadTemplates(name)]);
    await wordsLoaded();
    return loaded;
  } catch (error) {
    throw new TurnpikeError('not-loaded', `the part ${name}: ${error}`, { cause: error });
  }
}

/**
 * Loads the templates once. The server has put those of the view that it was asked for into the page itself. What failed to
 * load is loaded again when it is needed again.
 *
 * @param {string} name
 * @returns {Promise<void>}
 */
function loadTemplates(name) {
  const known = parts.get(name);
  if (known) return known;
  const loading = document.querySelector(`link[data-part="${name}"]`) ? Promise.resolve() : load(name);
  parts.set(name, loading);
  loading.catch(() => parts.delete(name));
  return loading;
}

/** @param {string} name */
async function load(name) {
  const part = await request(new URL(`../parts/${name}.html`, addressOfStyles()).href);
  const links = [...part.querySelectorAll('link')].map((link) => document.importNode(link));
  const styled = links.map((link) => new Promise((resolve, reject) => {
    link.addEventListener('load', resolve);
    link.addEventListener('error', () => reject(new Error(`${link.href} did not load`)));
  }));
  document.head.append(...links);
  try {
    await Promise.all(styled);
  } catch (error) {
    for (const link of links) link.remove();
    throw error;
  }
  for (const template of part.querySelectorAll('template')) document.body.append(document.importNode(template, true));
}

/** Where the style sheets are of the version of the server that this page is of. */
function addressOfStyles() {
  const link = document.querySelector('link[rel=stylesheet]');
  if (!(link instanceof HTMLLinkElement)) throw new Error('the page has no style sheet');
  return link.href;
}

/**
 * Trusted Types leave a document that was asked for alone, as they do the page itself: none of its scripts runs.
 *
 * @param {string} address
 * @returns {Promise<Document>}
 */
function request(address) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.responseType = 'document';
    request.addEventListener('loadend', () => {
      if (request.status === 200 && request.responseXML) resolve(request.responseXML);
      else reject(new Error(`${address} did not load`));
    });
    request.open('GET', address);
    request.send();
  });
}
