// @ts-check
import { MAX_ENTRIES } from './lines.js';
import { problemOf } from './names.js';

/** @import { Sent } from './sending.js' */

/**
 * What somebody has chosen, in the order in which it is sent: folders before what is in them, and each path once.
 */
export class Choice {
  /** @type {Map<string, Sent>} by path */
  #sent = new Map();
  /** Files whose names cannot be sent. @type {string[]} */
  refused = [];

  /** @returns {Sent[]} */
  get entries() {
    return [...this.#sent.values()];
  }

  /** The files and folders that were chosen themselves, and not by a folder around them. */
  get tops() {
    /** @type {Map<string, { path: string, isFolder: boolean, files: number, bytes: number }>} */
    const tops = new Map();
    for (const { path, file } of this.entries) {
      const [name = ''] = path.split('/');
      const top = tops.get(name) ?? { path: name, isFolder: !file, files: 0, bytes: 0 };
      tops.set(name, { ...top, files: top.files + (file ? 1 : 0), bytes: top.bytes + (file?.size ?? 0) });
    }
    return [...tops.values()];
  }

  get bytes() {
    return this.entries.reduce((sum, { file }) => sum + (file?.size ?? 0), 0);
  }

  /** Whether receivers would refuse the list. */
  get isTooLong() {
    return this.#sent.size > MAX_ENTRIES;
  }

  get files() {
    return this.entries.filter(({ file }) => file).length;
  }

  /**
   * @param {string} path
   * @param {File} [file] undefined for a folder
   */
  add(path, file) {
    if (problemOf(path)) return void this.refused.push(path);
    const parts = path.split('/').slice(0, -1);
    const folders = parts.map((_, place) => parts.slice(0, place + 1).join('/'));
    const isTaken = folders.some((folder) => this.#sent.get(folder)?.file) || (file && this.#sent.has(path) && !this.#sent.get(path)?.file);
    if (isTaken) return void this.refused.push(path);
    for (const folder of folders) if (!this.#sent.has(folder)) this.#sent.set(folder, { path: folder });
    if (file || !this.#sent.has(path)) this.#sent.set(path, { path, ...(file && { file }) });
  }

  /** Takes a file or folder back, with all that is in it. @param {string} top */
  remove(top) {
    for (const path of [...this.#sent.keys()]) if (path === top || path.startsWith(`${top}/`)) this.#sent.delete(path);
  }

  /** @param {Iterable<File>} files of an `<input>` */
  addFiles(files) {
    for (const file of files) this.add(file.webkitRelativePath || file.name, file);
  }

  /** @param {DataTransfer} transfer what was dropped; it is gone once the event is over */
  async addDropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    if (entries.length === 0) return this.addFiles(transfer.files);
    for (const entry of entries) await this.#addEntry(entry);
  }

  /** @param {FileSystemEntry} entry */
  async #addEntry(entry) {
    const path = entry.fullPath.replace(/^\//, '');
    if (isFile(entry)) {
      /** @type {File} */
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      return this.add(path, file);
    }
    if (!isFolder(entry)) return;
    this.add(path);
    const reader = entry.createReader();
    for (;;) {
      /** @type {FileSystemEntry[]} */
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) return;
      for (const one of some) await this.#addEntry(one);
    }
  }
}

/** @param {FileSystemEntry} entry @returns {entry is FileSystemFileEntry} */
function isFile(entry) {
  return entry.isFile;
}

/** @param {FileSystemEntry} entry @returns {entry is FileSystemDirectoryEntry} */
function isFolder(entry) {
  return entry.isDirectory;
}
