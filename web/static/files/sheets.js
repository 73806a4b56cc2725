// @ts-check

/**
 * Where bytes are written before they are a file under their name: a file that the user has picked, one of the browser's own for
 * this page (OPFS), or memory.
 *
 * @typedef {object} Sheet
 * @property {(bytes: Uint8Array<ArrayBuffer>, at: number) => Promise<void>} write
 * @property {(size: number) => Promise<Blob | undefined>} close it is whole, and so long. Returns what the user must still save
 * @property {() => Promise<void>} discard nothing is left of it
 */

/** The folder of what the browser keeps for this page until it is saved. */
const FOLDER = 'turnpike-received';
/** A copy that has waited so long is of a tab that is gone. */
const OLD_MS = 24 * 3600 * 1000;

/**
 * A file that the user has picked. Until the end the browser writes into another one beside it.
 *
 * @param {FileSystemFileHandle} handle
 * @returns {Promise<Sheet>}
 */
export async function pickedSheet(handle) {
  const writable = await handle.createWritable();
  return {
    write: (data, position) => writable.write({ type: 'write', position, data }),
    close: async (size) => {
      await writable.truncate(size);
      await writable.close();
      return undefined;
    },
    discard: () => writable.abort().catch(() => {}),
  };
}

/**
 * A file of the browser's own, or memory where it has none.
 *
 * @param {number} size that is expected
 * @returns {Promise<Sheet>}
 * @throws {DOMException} QuotaExceededError
 */
export async function privateSheet(size) {
  const folder = await privateFolder();
  if (!folder) return memorySheet();
  const { quota, usage = 0 } = (await navigator.storage.estimate?.()) ?? {};
  if (quota !== undefined && usage + size > quota) throw new DOMException('There is too little space.', 'QuotaExceededError');
  const name = crypto.randomUUID();
  const handle = await folder.getFileHandle(name, { create: true });
  const remove = () => folder.removeEntry(name).catch(() => {});
  const sheet = await pickedSheet(handle).catch(async (error) => {
    await remove();
    throw error;
  });
  return {
    write: sheet.write,
    close: async (size) => {
      await sheet.close(size);
      return handle.getFile();
    },
    discard: async () => {
      await sheet.discard();
      await remove();
    },
  };
}

/** Bytes in memory, which browsers put on the disk when there are many. @returns {Sheet} */
function memorySheet() {
  /** @type {[at: number, part: Blob][]} in the order of their writing */
  let parts = [];
  return {
    write: async (bytes, at) => void parts.push([at, new Blob([bytes])]),
    close: async (size) => joined(parts, size),
    discard: async () => void (parts = []),
  };
}

/**
 * @param {[at: number, part: Blob][]} parts of which a later one may lie in earlier ones
 * @param {number} size
 */
function joined(parts, size) {
  let whole = new Blob();
  for (const [at, part] of parts) whole = at === whole.size ? new Blob([whole, part]) : new Blob([whole.slice(0, at), part, whole.slice(at + part.size)]);
  return whole.slice(0, size);
}

/** @returns {Promise<FileSystemDirectoryHandle | undefined>} undefined where the browser has none that can be written to */
async function privateFolder() {
  try {
    if (!('createWritable' in FileSystemFileHandle.prototype)) return undefined;
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle(FOLDER, { create: true });
    for await (const [name, handle] of entriesOf(folder)) {
      const modified = handle.kind === 'file' ? (await handle.getFile()).lastModified : 0;
      if (modified < Date.now() - OLD_MS) await folder.removeEntry(name).catch(() => {});
    }
    return folder;
  } catch {
    return undefined; // Private windows have none.
  }
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @returns {AsyncIterable<[string, FileSystemFileHandle & { kind: 'file' } | FileSystemDirectoryHandle & { kind: 'directory' }]>}
 */
function entriesOf(folder) {
  return /** @type {any} */ (folder).entries();
}
