// One block of bzip2: prefix codes → run lengths and moves to the front → inverse Burrows-Wheeler transform → run lengths → bytes.
import { BadBzip2, type BitReader, PrefixCode, readCodeLengths } from "./bzip2-bits.js";

/** Symbols between two choices of the code. */
const GROUP = 50;
/** Bytes handed out in one piece. */
const PIECE = 1 << 18;

/** CRC-32 with the most significant bit first (polynomial 0x04C11DB7). */
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit++) value = value < 0 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value;
});

/** The bytes that occur, ascending. */
function readAlphabet(bits: BitReader): Uint8Array {
  const groups = bits.read(16);
  const bytes: number[] = [];
  for (let high = 0; high < 16; high++) {
    if (!(groups & (0x8000 >>> high))) continue;
    const members = bits.read(16);
    for (let low = 0; low < 16; low++) if (members & (0x8000 >>> low)) bytes.push(16 * high + low);
  }
  if (bytes.length === 0) throw new BadBzip2("a block holds no byte at all");
  return Uint8Array.from(bytes);
}

function moveToFront(list: Uint8Array, index: number): number {
  const value = list[index];
  // Places are mostly near the front, where a call of copyWithin costs more than the move.
  for (let i = index; i > 0; i--) list[i] = list[i - 1];
  list[0] = value;
  return value;
}

/** Which code each group of symbols is written in. */
function readSelectors(bits: BitReader, codes: number): Uint8Array {
  const selectors = new Uint8Array(bits.read(15));
  const recent = Uint8Array.from({ length: codes }, (_, i) => i);
  for (let i = 0; i < selectors.length; i++) {
    let index = 0;
    while (bits.read(1) === 1) if (++index >= codes) throw new BadBzip2("it chooses a code that is not there");
    selectors[i] = moveToFront(recent, index);
  }
  return selectors;
}

/** Every symbol of the block, one after another; runs of the first byte are written in binary, digits 1 and 2. */
function readSymbols(bits: BitReader, alphabet: Uint8Array, table: Uint32Array): number {
  const codeCount = bits.read(3);
  if (codeCount < 2 || codeCount > 6) throw new BadBzip2(`a block has ${codeCount} codes, expected 2 to 6`);
  const selectors = readSelectors(bits, codeCount);
  const end = alphabet.length + 1;
  const codes = Array.from({ length: codeCount }, () => new PrefixCode(readCodeLengths(bits, end + 1)));
  const recent = alphabet.slice();
  let count = 0;
  let run = 0;
  let digit = 1;
  const tooLong = () => new BadBzip2("a block is longer than the file says");
  for (let at = 0; ; at++) {
    if (at >= GROUP * selectors.length) throw new BadBzip2("a block has no end");
    const symbol = codes[selectors[Math.floor(at / GROUP)]].read(bits);
    if (symbol < 2) {
      run += digit << symbol;
      digit <<= 1;
      if (run > table.length) throw tooLong();
      continue;
    }
    if (count + run > table.length) throw tooLong();
    table.fill(recent[0], count, count + run);
    count += run;
    run = 0;
    digit = 1;
    if (symbol === end) return count;
    if (count === table.length) throw tooLong();
    table[count++] = moveToFront(recent, symbol - 1);
  }
}

/** Puts the place of each byte's successor above the byte: following them gives the text. */
function linkSuccessors(table: Uint32Array, count: number): void {
  const starts = new Uint32Array(256);
  for (let i = 0; i < count; i++) starts[table[i]]++;
  for (let byte = 0, sum = 0; byte < 256; byte++) {
    const own = starts[byte];
    starts[byte] = sum;
    sum += own;
  }
  for (let i = 0; i < count; i++) table[starts[table[i] & 255]++] |= i << 8;
}

/** Four equal bytes are followed by how many more of them there are. */
function expandRuns(table: Uint32Array, count: number, origin: number): { pieces: Buffer[]; crc: number } {
  const pieces: Buffer[] = [];
  let piece = Buffer.allocUnsafe(Math.min(PIECE, count + 256));
  let length = 0;
  let crc = -1;
  let equal = 0;
  let last = -1;
  let place = table[origin] >>> 8;
  for (let i = 0; i < count; i++) {
    const entry = table[place];
    const byte = entry & 255;
    place = entry >>> 8;
    if (length + 256 > piece.length) {
      pieces.push(piece.subarray(0, length));
      piece = Buffer.allocUnsafe(PIECE);
      length = 0;
    }
    if (equal === 4) {
      for (let more = byte; more > 0; more--) {
        piece[length++] = last;
        crc = (crc << 8) ^ CRC_TABLE[(crc >>> 24) ^ last];
      }
      equal = 0;
      last = -1;
      continue;
    }
    equal = byte === last ? equal + 1 : 1;
    last = byte;
    piece[length++] = byte;
    crc = (crc << 8) ^ CRC_TABLE[(crc >>> 24) ^ byte];
  }
  pieces.push(piece.subarray(0, length));
  return { pieces, crc: ~crc >>> 0 };
}

/**
 * A block behind its magic number.
 * @param table room for as many bytes as a block of the file may have; what it holds is lost
 * @throws OutOfBytes; BadBzip2 for what cannot be, a wrong checksum included
 */
export function readBlock(
  bits: BitReader,
  table: Uint32Array,
): { readonly pieces: readonly Buffer[]; readonly crc: number } {
  const expected = bits.readWord();
  if (bits.read(1) === 1)
    throw new BadBzip2("it was written by bzip2 0.9.0 or older, whose shuffled blocks are not read");
  const origin = bits.read(24);
  const alphabet = readAlphabet(bits);
  const count = readSymbols(bits, alphabet, table);
  if (origin >= count) throw new BadBzip2(`a block of ${count} bytes begins at its byte ${origin}`);
  linkSuccessors(table, count);
  const { pieces, crc } = expandRuns(table, count, origin);
  if (crc !== expected) throw new BadBzip2(`expected CRC-32 ${hex(expected)}, got ${hex(crc)}`);
  return { pieces, crc };
}

export function hex(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}
