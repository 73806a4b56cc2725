// @ts-check

/** Eight tables of 256, so that eight bytes are looked up at once. */
const TABLES = makeTables();

function makeTables() {
  const tables = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    tables[byte] = crc;
  }
  for (let place = 256; place < tables.length; place++) {
    const before = tables[place - 256] ?? 0;
    tables[place] = (before >>> 8) ^ (tables[before & 255] ?? 0);
  }
  return tables;
}

/**
 * The check sum of zip files (ISO 3309).
 *
 * @param {Uint8Array} bytes
 * @param {number} [crc] of what stands before them
 */
export function crc32(bytes, crc = 0) {
  const t = /** @type {any} */ (TABLES); // Its places are all there, and this loop is a hot one.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const even = bytes.length - (bytes.length % 8);
  crc = ~crc;
  let at = 0;
  for (; at < even; at += 8) {
    /** @type {number} */
    const low = view.getUint32(at, true) ^ crc;
    const high = view.getUint32(at + 4, true);
    crc = t[1792 + (low & 255)] ^ t[1536 + ((low >>> 8) & 255)] ^ t[1280 + ((low >>> 16) & 255)] ^ t[1024 + (low >>> 24)]
      ^ t[768 + (high & 255)] ^ t[512 + ((high >>> 8) & 255)] ^ t[256 + ((high >>> 16) & 255)] ^ t[high >>> 24];
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t[(crc ^ view.getUint8(at)) & 255];
  return ~crc >>> 0;
}
