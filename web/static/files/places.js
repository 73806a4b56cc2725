// @ts-check
import { copyOf, portable, saveable } from './names.js';
import { pickedSheet, privateSheet } from './sheets.js';
import { ZipWriter } from './zip.js';

/**
 * @import { Entry } from './names.js'
 * @import { Place } from './receiving.js'
 * @import { Sheet } from './sheets.js'
 *
 * What the user must still save.
 * @typedef {{ name: string, blob: Blob }} Unsaved
 *
 * @typedef {Place & { name: string, isFolder?: boolean, unsaved: () => Unsaved | undefined, discard: () => Promise<void> }} SavingPlace
 */

/** The permission bits for execution. */
const EXECUTE = 0o111;

/** @returns {boolean} whether the user can pick a file before it comes */
export function canPickFile() {
  return 'showSaveFilePicker' in globalThis;
}

/** @returns {boolean} whether the user can pick a folder before files come */
export function canPickFolder() {
  return 'showDirectoryPicker' in globalThis;
}

/**
 * @param {readonly Entry[]} entries
 * @returns {string} the name of the file that is saved: the only one, or a zip file of all
 */
export function nameFor(entries) {
  const [first, ...more] = entries;
  if (!first) return 'files.zip';
  if (more.length === 0 && !first.folder) return saveable(first.path);
  const [top = ''] = first.path.split('/');
  return saveable(entries.every(({ path }) => path === top || path.startsWith(`${top}/`)) ? `${top}.zip` : 'files.zip');
}

/** @param {readonly Entry[]} entries */
export function isOneFile(entries) {
  return entries.length === 1 && !entries[0]?.folder;
}

/**
 * Asks for the file, and puts all into it. Call it in the handler of a click.
 *
 * @param {readonly Entry[]} entries
 * @returns {Promise<SavingPlace>}
 * @throws {DOMException} AbortError: the user has thought better of it
 */
export async function pickFile(entries) {
  const { showSaveFilePicker } = /** @type {any} */ (globalThis);
  const handle = await showSaveFilePicker({ suggestedName: nameFor(entries) });
  return placeOn(entries, await pickedSheet(handle));
}

/**
 * Puts all into a file that the user saves when it is there.
 *
 * @param {readonly Entry[]} entries
 */
export async function keepForLater(entries) {
  return placeOn(entries, await privateSheet(entries.reduce((sum, { size = 0 }) => sum + size, 0)));
}

/**
 * @param {readonly Entry[]} entries
 * @param {Sheet} sheet
 * @returns {SavingPlace}
 */
function placeOn(entries, sheet) {
  return isOneFile(entries) ? new OneFile(nameFor(entries), sheet) : new OneZip(nameFor(entries), sheet);
}

/** The only file. @implements {SavingPlace} */
class OneFile {
  #sheet;
  #at = 0;
  /** @type {Unsaved | undefined} */
  #unsaved;

  /**
   * @param {string} name
   * @param {Sheet} sheet
   */
  constructor(name, sheet) {
    this.name = name;
    this.#sheet = sheet;
  }

  async begin() {
    this.#at = 0;
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  async write(bytes) {
    await this.#sheet.write(bytes, this.#at);
    this.#at += bytes.length;
  }

  async end() {
    const blob = await this.#sheet.close(this.#at);
    if (blob) this.#unsaved = { name: this.name, blob };
  }

  abandon() {
    return this.discard();
  }

  async close() {}

  unsaved() {
    return this.#unsaved;
  }

  async discard() {
    if (this.#unsaved) return;
    await this.#sheet.discard();
  }
}

/** All files in a zip file. @implements {SavingPlace} */
class OneZip {
  #sheet;
  #zip;
  /** @type {Map<string, string>} by the sender's path */
  #names = new Map();
  /** @type {Set<string>} in lower case, since some systems do not tell it from upper case */
  #used = new Set();
  /** @type {Map<string, number>} how many have a name, in lower case: the next one need not try their copies again */
  #copies = new Map();
  /** @type {Unsaved | undefined} */
  #unsaved;

  /**
   * @param {string} name
   * @param {Sheet} sheet
   */
  constructor(name, sheet) {
    this.name = name;
    this.#sheet = sheet;
    this.#zip = new ZipWriter(sheet);
  }

  /** @param {Entry} entry */
  async begin({ path, folder, size, mode = 0, modified }) {
    const name = this.#nameOf(path);
    await this.#zip.begin({ path: folder ? `${name}/` : name, size, executable: (mode & EXECUTE) !== 0, ...(modified !== undefined && { modified }) });
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  write(bytes) {
    return this.#zip.write(bytes);
  }

  end() {
    return this.#zip.end();
  }

  /** A path for every system, and for one file alone. @param {string} path */
  #nameOf(path) {
    const cut = path.lastIndexOf('/');
    const parent = this.#names.get(path.slice(0, Math.max(0, cut)));
    const folder = parent === undefined ? '' : `${parent}/`;
    const own = portable(path.slice(cut + 1));
    const key = (folder + own).toLowerCase();
    let copy = (this.#copies.get(key) ?? 0) + 1;
    let name = folder + copyOf(own, copy);
    for (; this.#used.has(name.toLowerCase()); copy++) name = folder + copyOf(own, copy + 1);
    this.#copies.set(key, copy);
    this.#used.add(name.toLowerCase());
    this.#names.set(path, name);
    return name;
  }

  async abandon() {
    this.#zip.abandon();
  }

  async close() {
    const blob = await this.#sheet.close(await this.#zip.close());
    if (blob) this.#unsaved = { name: this.name, blob };
  }

  unsaved() {
    return this.#unsaved;
  }

  async discard() {
    if (this.#unsaved) return;
    await this.#sheet.discard();
  }
}

/**
 * Asks for a folder, and puts all into it. Call it in the handler of a click.
 *
 * @returns {Promise<SavingPlace>}
 * @throws {DOMException} AbortError: the user has thought better of it
 */
export async function pickFolder() {
  const { showDirectoryPicker } = /** @type {any} */ (globalThis);
  return new Folder(await showDirectoryPicker({ mode: 'readwrite' }));
}

/** A folder that the user has picked. Nothing that is in it is written over. @implements {SavingPlace} */
class Folder {
  isFolder = true;
  /** @type {Map<string, FileSystemDirectoryHandle>} by path */
  #folders = new Map();
  /** @type {Map<string, number>} the copy of a path's name that was free last, as in OneZip */
  #copies = new Map();
  /** @type {{ sheet: Sheet, folder: FileSystemDirectoryHandle, name: string, at: number } | undefined} the file that is written */
  #current;

  /** @param {FileSystemDirectoryHandle} root */
  constructor(root) {
    this.name = root.name;
    this.#folders.set('', root);
  }

  /** @param {Entry} entry */
  async begin({ path, folder: isFolder }) {
    const cut = path.lastIndexOf('/');
    const folder = this.#folders.get(path.slice(0, Math.max(0, cut)));
    if (!folder) throw new Error(`The folder of ${path} is missing.`); // The list of entries was checked for that.
    const own = portable(path.slice(cut + 1));
    const key = `${path.slice(0, cut + 1)}${own}`.toLowerCase();
    const { name, copy } = await freeName(folder, own, (this.#copies.get(key) ?? 0) + 1);
    this.#copies.set(key, copy);
    if (isFolder) {
      this.#folders.set(path, await folder.getDirectoryHandle(name, { create: true }));
      return;
    }
    const handle = await folder.getFileHandle(name, { create: true }); // Empty, so that the name is ours, until the end.
    this.#current = { sheet: await pickedSheet(handle), folder, name, at: 0 };
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  async write(bytes) {
    const current = this.#current;
    await current?.sheet.write(bytes, current.at);
    if (current) current.at += bytes.length;
  }

  async end() {
    await this.#current?.sheet.close(this.#current.at);
    this.#current = undefined;
  }

  async abandon() {
    const current = this.#current;
    this.#current = undefined;
    await current?.sheet.discard();
    await current?.folder.removeEntry(current.name).catch(() => {});
  }

  async close() {}

  unsaved() {
    return undefined;
  }

  /** Files that are whole stay. */
  discard() {
    return this.abandon();
  }
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 * @param {number} first copy that may be free
 * @returns {Promise<{ name: string, copy: number }>} the name, or another one if something has it, or the browser allows no such name
 */
async function freeName(folder, name, first) {
  for (let copy = first; ; copy++) {
    const tried = copyOf(name, copy);
    const problem = await folder.getFileHandle(tried).then(() => 'TypeMismatchError', (error) => error.name);
    if (problem === 'NotFoundError') return { name: tried, copy };
    if (problem === 'TypeError' && !name.startsWith('_')) return freeName(folder, `_${saveable(name)}_`, first);
    if (problem !== 'TypeMismatchError') throw new DOMException(`The name ${tried} cannot be used.`, problem);
  }
}
