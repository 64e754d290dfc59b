// Reads zip archives, ZIP64 included, entry by entry; compressed ones only where the caller says how to unpack them.
import type { ByteSource } from "../random-access.js";
import { crc32 } from "./crc32.js";
import { type Fail, type FailureClass, failing } from "./failure.js";

export interface ZipEntry {
  readonly name: string;
  /** Bytes of the content. */
  readonly size: number;
  /** Bytes that it takes in the archive. */
  readonly packed: number;
  readonly deflated: boolean;
  readonly crc: number;
  /** First byte of its local header. */
  readonly header: number;
}

/** Raw deflate → exactly `size` bytes; throws where that is not what comes out. */
export type Inflate = (packed: Uint8Array, size: number) => Uint8Array;

export interface ZipArchive {
  readonly source: ByteSource;
  readonly entries: ReadonlyMap<string, ZipEntry>;
  readonly fail: Fail;
  readonly inflate: Inflate | undefined;
}

const END = 0x06054b50;
const END64_LOCATOR = 0x07064b50;
const END64 = 0x06064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const ZIP64_EXTRA = 1;
const UNKNOWN = 0xffffffff;
const STORED = 0;
const DEFLATED = 8;
const MAX_ENTRIES = 1_000_000;
const MAX_DIRECTORY = 2 ** 28;

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function long(data: DataView, at: number): number {
  return Number(data.getBigUint64(at, true));
}

interface Directory {
  readonly offset: number;
  readonly size: number;
  readonly count: number;
}

/** The end record, which lies before a comment of up to 65,535 bytes. */
function findDirectory(source: ByteSource, fail: Fail): Directory {
  const length = Math.min(source.byteLength, 22 + 0xffff);
  const start = source.byteLength - length;
  const tail = view(source.read(start, source.byteLength));
  let at = length - 22;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0) return fail("truncated: a zip archive without its directory at the end");
  const plain = {
    count: tail.getUint16(at + 10, true),
    size: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  };
  const locator = at - 20;
  if (locator < 0 || tail.getUint32(locator, true) !== END64_LOCATOR) return plain;
  const position = long(tail, locator + 8);
  if (position + 56 > source.byteLength) return fail("damaged: its ZIP64 directory lies outside of the file");
  const record = view(source.read(position, position + 56));
  if (record.getUint32(0, true) !== END64) return fail("damaged: no ZIP64 directory where one is announced");
  return { count: long(record, 32), size: long(record, 40), offset: long(record, 48) };
}

/** Sizes and offset that do not fit 32 bits stand in an extra field, in this order. */
function wideFields(extra: DataView, narrow: readonly number[], fail: Fail): readonly number[] {
  if (!narrow.includes(UNKNOWN)) return narrow;
  for (let at = 0; at + 4 <= extra.byteLength; at += 4 + extra.getUint16(at + 2, true)) {
    if (extra.getUint16(at, true) !== ZIP64_EXTRA) continue;
    let from = at + 4;
    return narrow.map((value) => {
      if (value !== UNKNOWN) return value;
      if (from + 8 > extra.byteLength) return fail("damaged: an incomplete ZIP64 field");
      from += 8;
      return long(extra, from - 8);
    });
  }
  return fail("damaged: an entry of 4 GiB or more without its ZIP64 field");
}

function checkName(name: string, fail: Fail): void {
  const parts = name.split("/");
  if (name.startsWith("/") || /[\\\0]|^[A-Za-z]:/.test(name) || parts.includes("..") || parts.includes(".")) {
    fail(`refused: the entry name ${JSON.stringify(name)} points outside of the archive`);
  }
}

/**
 * Reads the directory.
 * @param inflate without it, compressed entries are refused
 * @throws Failure if it is damaged, or holds encrypted, doubled or overlapping entries, or ones that lead out of it
 */
export function openZip(source: ByteSource, Failure: FailureClass, inflate?: Inflate): ZipArchive {
  const fail = failing(Failure, source.name);
  const { offset, size, count } = findDirectory(source, fail);
  if (!(offset + size <= source.byteLength)) fail("damaged: its zip directory lies outside of the file");
  if (count > MAX_ENTRIES || size > MAX_DIRECTORY) fail(`refused: a zip directory of ${count} entries, ${size} bytes`);
  const bytes = source.read(offset, offset + size);
  const data = view(bytes);
  const entries = new Map<string, ZipEntry>();
  for (let at = 0, i = 0; i < count; i++) {
    if (at + 46 > size || data.getUint32(at, true) !== CENTRAL)
      fail(`damaged: zip directory, entry ${i + 1} of ${count}`);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => data.getUint16(at + field, true));
    const end = at + 46 + nameLength + extraLength + commentLength;
    if (end > size) fail(`damaged: zip directory, entry ${i + 1} of ${count}`);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    checkName(name, fail);
    if (entries.has(name)) fail(`damaged or forged: two entries are named ${JSON.stringify(name)}`);
    if (data.getUint16(at + 8, true) & 1) fail(`the entry ${JSON.stringify(name)} is encrypted`);
    const extra = view(bytes.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength));
    const narrow = [24, 20, 42].map((field) => data.getUint32(at + field, true));
    const [full, packed, header] = wideFields(extra, narrow, fail);
    const method = data.getUint16(at + 10, true);
    if (!inflate && (method !== STORED || full !== packed)) {
      fail(`the entry ${JSON.stringify(name)} is compressed; expected stored entries, as torch.save writes them`);
    } else if (method === STORED ? full !== packed : method !== DEFLATED) {
      fail(`the entry ${JSON.stringify(name)} is compressed by method ${method}; expected deflate (8)`);
    }
    const crc = data.getUint32(at + 16, true);
    entries.set(name, { name, size: full, packed, deflated: method === DEFLATED, crc, header });
    at = end;
  }
  checkOverlap([...entries.values()], offset, fail);
  return { source, entries, fail, inflate };
}

function checkOverlap(entries: ZipEntry[], directory: number, fail: Fail): void {
  let position = 0;
  for (const { name, header, packed } of entries.sort((a, b) => a.header - b.header)) {
    if (header < position) fail(`damaged or forged: the entry ${JSON.stringify(name)} overlaps the one before it`);
    position = header + 30 + packed;
    if (position > directory) fail(`truncated or damaged: the entry ${JSON.stringify(name)} ends outside of the data`);
  }
}

/** First byte of an entry's content. */
function entryStart({ source, fail }: ZipArchive, { name, header, packed }: ZipEntry): number {
  const local = view(source.read(header, header + 30));
  const start = header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  const own = new TextDecoder().decode(source.read(header + 30, header + 30 + local.getUint16(26, true)));
  if (local.getUint32(0, true) !== LOCAL || own !== name || start + packed > source.byteLength) {
    fail(`damaged: no entry ${JSON.stringify(name)} where the directory says`);
  }
  return start;
}

function unpacked({ fail, inflate }: ZipArchive, { name, size }: ZipEntry, packed: Uint8Array): Uint8Array {
  if (!inflate) return fail(`the entry ${JSON.stringify(name)} is compressed`);
  try {
    return inflate(packed, size);
  } catch (error) {
    return fail(`damaged: entry ${JSON.stringify(name)} cannot be unpacked (${(error as Error).message})`);
  }
}

/**
 * The content of an entry, its checksum compared.
 * @throws the archive's error if there is no such entry or it is damaged
 */
export function readEntry(archive: ZipArchive, name: string): Uint8Array {
  const { source, fail } = archive;
  const entry = archive.entries.get(name);
  if (!entry) return fail(`damaged: no entry ${JSON.stringify(name)} in the archive`);
  const start = entryStart(archive, entry);
  const packed = source.read(start, start + entry.packed);
  const bytes = entry.deflated ? unpacked(archive, entry, packed) : packed;
  const crc = crc32(bytes);
  if (crc !== entry.crc) {
    const hex = (value: number) => value.toString(16).padStart(8, "0");
    fail(`damaged: entry ${JSON.stringify(name)}: expected CRC-32 ${hex(entry.crc)}, got ${hex(crc)}`);
  }
  return bytes;
}
