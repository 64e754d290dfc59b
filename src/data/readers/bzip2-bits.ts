// Bits of a bzip2 file, most significant first, and the prefix codes that they spell.

/** The bytes at hand end before what is to be read. */
export class OutOfBytes extends Error {}

/** What the bytes say cannot be. */
export class BadBzip2 extends Error {}

/** Longest prefix code of the format. */
const LONGEST = 20;
/** Codes up to here are looked up in one step. */
const SHORT = 10;

export class BitReader {
  #next: number;
  #buffer = 0;
  /** Bits in the buffer, zeros beyond the end included. */
  #count = 0;
  #beyond = 0;

  /** @param position in bits */
  constructor(
    private readonly bytes: Uint8Array,
    position: number,
  ) {
    this.#next = position >>> 3;
    this.read(position & 7);
  }

  /** Bits that were read, from the beginning of the bytes. */
  get position(): number {
    return 8 * this.#next + this.#beyond - this.#count;
  }

  /** The next bits, up to 24, which are not consumed; zeros beyond the end. */
  peek(count: number): number {
    while (this.#count < count) {
      const inside = this.#next < this.bytes.length;
      this.#buffer = (this.#buffer << 8) | (inside ? this.bytes[this.#next] : 0);
      this.#count += 8;
      if (inside) this.#next++;
      else this.#beyond += 8;
    }
    return (this.#buffer >>> (this.#count - count)) & ((1 << count) - 1);
  }

  /** @throws OutOfBytes */
  skip(count: number): void {
    this.#count -= count;
    if (this.#count < this.#beyond) throw new OutOfBytes();
  }

  /** Up to 24 bits. @throws OutOfBytes */
  read(count: number): number {
    const bits = this.peek(count);
    this.skip(count);
    return bits;
  }

  /** 32 bits as an unsigned number. @throws OutOfBytes */
  readWord(): number {
    return this.read(16) * 0x10000 + this.read(16);
  }
}

/** Canonical prefix codes: shorter ones first, by symbol among those of one length. */
export class PrefixCode {
  /** By the next SHORT bits: symbol · 32 + length, 0 where the code is longer. */
  readonly #short = new Uint16Array(1 << SHORT);
  /** By length: the first code, the number of codes, and the place of their symbols. */
  readonly #first = new Int32Array(LONGEST + 1);
  readonly #counts = new Int32Array(LONGEST + 1);
  readonly #places = new Int32Array(LONGEST + 1);
  readonly #symbols: Uint16Array;

  /** @throws BadBzip2 where there are more codes than such lengths allow */
  constructor(lengths: Uint8Array) {
    this.#symbols = new Uint16Array(lengths.length);
    let code = 0;
    let place = 0;
    for (let length = 1; length <= LONGEST; length++) {
      code <<= 1;
      this.#first[length] = code;
      this.#places[length] = place;
      for (let symbol = 0; symbol < lengths.length; symbol++) {
        if (lengths[symbol] !== length) continue;
        this.#symbols[place++] = symbol;
        this.#counts[length]++;
        if (length <= SHORT) {
          const from = code << (SHORT - length);
          this.#short.fill(symbol * 32 + length, from, from + (1 << (SHORT - length)));
        }
        code++;
      }
      if (code > 1 << length) throw new BadBzip2("its code lengths contradict each other");
    }
  }

  /** @throws OutOfBytes, BadBzip2 */
  read(bits: BitReader): number {
    const short = this.#short[bits.peek(SHORT)];
    if (short > 0) {
      bits.skip(short & 31);
      return short >>> 5;
    }
    const next = bits.peek(LONGEST);
    for (let length = SHORT + 1; length <= LONGEST; length++) {
      const index = (next >>> (LONGEST - length)) - this.#first[length];
      if (index >= this.#counts[length]) continue;
      bits.skip(length);
      return this.#symbols[this.#places[length] + index];
    }
    // What looks like no code may only be cut off.
    bits.skip(LONGEST);
    throw new BadBzip2("it holds a code that stands for nothing");
  }
}

/** Length of the code of each symbol, written as differences. @throws OutOfBytes, BadBzip2 */
export function readCodeLengths(bits: BitReader, symbols: number): Uint8Array {
  const lengths = new Uint8Array(symbols);
  let length = bits.read(5);
  for (let symbol = 0; symbol < symbols; symbol++) {
    while (bits.read(1) === 1) length += bits.read(1) === 1 ? -1 : 1;
    if (length < 1 || length > LONGEST) throw new BadBzip2(`it has a code of ${length} bits`);
    lengths[symbol] = length;
  }
  return lengths;
}
