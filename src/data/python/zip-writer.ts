// Writes zip archives as torch does: stored entries whose content begins at multiples of 64 bytes; ZIP64 where needed.
import { crc32 } from "./crc32.js";

export interface ZipContent {
  readonly name: string;
  readonly read: () => Uint8Array;
}

const ALIGNMENT = 64;
/** Torch's own extra field, which holds nothing but padding. */
const PADDING_EXTRA = 0x4246;
const ZIP64_EXTRA = 1;
const UTF8 = 0x0800;
/** 1 January 1980, the zip epoch: the same checkpoint gives the same bytes. */
const DATE = 0x0021;
const VERSION = 20;
const VERSION64 = 45;
const LIMIT = 0xffffffff;

interface Written {
  readonly name: Uint8Array;
  readonly crc: number;
  readonly size: number;
  readonly offset: number;
}

/** Little-endian fields: [bytes, value]. */
function record(...fields: readonly (readonly [size: 2 | 4 | 8, value: number])[]): Uint8Array {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else if (size === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += size;
  }
  return bytes;
}

function localHeader({ name, crc, size, offset }: Written, limit: number): Uint8Array[] {
  const wide = size >= limit;
  const zip64 = wide ? record([2, ZIP64_EXTRA], [2, 16], [8, size], [8, size]) : new Uint8Array(0);
  const start = offset + 30 + name.length + zip64.length + 4;
  const padding = (ALIGNMENT - (start % ALIGNMENT)) % ALIGNMENT;
  const shown = wide ? LIMIT : size;
  return [
    record([4, 0x04034b50], [2, wide ? VERSION64 : VERSION], [2, UTF8], [2, 0], [2, 0], [2, DATE], [4, crc]),
    record([4, shown], [4, shown], [2, name.length], [2, zip64.length + 4 + padding]),
    name,
    zip64,
    record([2, PADDING_EXTRA], [2, padding]),
    new Uint8Array(padding).fill(0x5a),
  ];
}

function centralHeader({ name, crc, size, offset }: Written, limit: number): Uint8Array[] {
  const wideSize = size >= limit;
  const wideOffset = offset >= limit;
  const fields: (readonly [8, number])[] = [];
  if (wideSize) fields.push([8, size], [8, size]);
  if (wideOffset) fields.push([8, offset]);
  const extra = fields.length > 0 ? record([2, ZIP64_EXTRA], [2, 8 * fields.length], ...fields) : new Uint8Array(0);
  const version = fields.length > 0 ? VERSION64 : VERSION;
  const shown = wideSize ? LIMIT : size;
  return [
    record([4, 0x02014b50], [2, version], [2, version], [2, UTF8], [2, 0], [2, 0], [2, DATE], [4, crc]),
    record([4, shown], [4, shown], [2, name.length], [2, extra.length], [2, 0], [2, 0], [2, 0], [4, 0]),
    record([4, wideOffset ? LIMIT : offset]),
    name,
    extra,
  ];
}

function endRecords(count: number, size: number, offset: number, limit: number): Uint8Array[] {
  const wide = count >= 0xffff || size >= limit || offset >= limit;
  const zip64 = wide
    ? [
        record([4, 0x06064b50], [8, 44], [2, VERSION64], [2, VERSION64], [4, 0], [4, 0]),
        record([8, count], [8, count], [8, size], [8, offset]),
        record([4, 0x07064b50], [4, 0], [8, offset + size], [4, 1]),
      ]
    : [];
  const shown = Math.min(count, 0xffff);
  const end = record([4, 0x06054b50], [2, 0], [2, 0], [2, wide ? 0xffff : shown], [2, wide ? 0xffff : shown]);
  return [...zip64, end, record([4, wide ? LIMIT : size], [4, wide ? LIMIT : offset], [2, 0])];
}

/**
 * The archive as parts to be written one after the other; contents are read one at a time.
 * @param limit sizes and offsets from which ZIP64 fields are used
 */
export function* encodeZip(contents: Iterable<ZipContent>, limit = LIMIT): Generator<Uint8Array> {
  let position = 0;
  const written: Written[] = [];
  for (const content of contents) {
    const bytes = content.read();
    const entry = {
      name: new TextEncoder().encode(content.name),
      crc: crc32(bytes),
      size: bytes.length,
      offset: position,
    };
    for (const part of [...localHeader(entry, limit), bytes]) {
      position += part.length;
      yield part;
    }
    written.push(entry);
  }
  const directory = written.flatMap((entry) => centralHeader(entry, limit));
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  yield* directory;
  yield* endRecords(written.length, size, position, limit);
}
