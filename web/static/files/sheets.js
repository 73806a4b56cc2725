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
  /** @type {Piece[]} in the order of their places, without gaps */
  let pieces = [];
  return {
    write: async (bytes, at) => put(pieces, at, new Blob([bytes])),
    close: async (size) => new Blob(pieces.map(({ blob }) => blob)).slice(0, size),
    discard: async () => void (pieces = []),
  };
}

/** @typedef {{ at: number, blob: Blob }} Piece */

/**
 * Puts a blob in the place of what is there. Nearly all go behind the last one, and a few into a piece near the end: the check sum of a file
 * in its header.
 *
 * @param {Piece[]} pieces
 * @param {number} at
 * @param {Blob} blob
 */
function put(pieces, at, blob) {
  const end = at + blob.size;
  let first = pieces.length;
  while (first > 0 && endOf(pieces[first - 1]) > at) first--;
  let next = first;
  while (next < pieces.length && (pieces[next]?.at ?? end) < end) next++;
  const [head, tail] = [pieces[first], pieces[next - 1]];
  const before = next > first && head && head.at < at ? [{ at: head.at, blob: head.blob.slice(0, at - head.at) }] : [];
  const after = next > first && tail && endOf(tail) > end ? [{ at: end, blob: tail.blob.slice(end - tail.at) }] : [];
  pieces.splice(first, next - first, ...before, { at, blob }, ...after);
}

/** @param {Piece | undefined} piece */
const endOf = (piece) => (piece ? piece.at + piece.blob.size : 0);

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
