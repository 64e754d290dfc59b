// Reads a pickle from a file piece by piece: no more is held than a window, whatever lengths the file claims.
import type { ByteSource } from "../random-access.js";
import { type Fail, type FailureClass, failing } from "./failure.js";

const WINDOW = 1 << 18;
/** A line of protocol 0, and a single string or array: far above anything that is read here. */
const MAX_LINE = 1 << 16;
const MAX_STRING = 1 << 26;

export class ByteReader {
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;

  readonly fail: Fail;

  /**
   * @param end where the source is taken to end
   * @param Failure what every method throws where the bytes are not what they should be
   */
  constructor(
    readonly source: ByteSource,
    public position: number,
    readonly end: number,
    Failure: FailureClass,
  ) {
    this.fail = failing(Failure, source.name);
  }

  /** A view of the next `count` bytes, valid until the next call. */
  bytes(count: number): Uint8Array {
    const begin = this.position;
    if (count > this.end - begin) {
      this.fail(`truncated or damaged: ${count} bytes expected at byte ${begin}, ${this.end - begin} are left`);
    }
    if (count > MAX_STRING) this.fail(`a single value of ${count} bytes at byte ${begin}; refused`);
    if (begin < this.#windowStart || begin + count > this.#windowStart + this.#window.length) {
      this.#windowStart = begin;
      this.#window = this.source.read(begin, Math.min(this.end, begin + Math.max(count, WINDOW)));
    }
    this.position += count;
    return this.#window.subarray(begin - this.#windowStart, begin - this.#windowStart + count);
  }

  view(count: number): DataView {
    const bytes = this.bytes(count);
    return new DataView(bytes.buffer, bytes.byteOffset, count);
  }

  byte(): number {
    return this.bytes(1)[0];
  }

  /** A length of 8 bytes. */
  length8(): number {
    const length = this.view(8).getBigUint64(0, true);
    if (length > BigInt(Number.MAX_SAFE_INTEGER)) this.fail(`a length of ${length} bytes at byte ${this.position - 8}`);
    return Number(length);
  }

  text(count: number): string {
    const bytes = this.bytes(count);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.fail(`damaged: a string before byte ${this.position} is not UTF-8`);
    }
  }

  /** Up to a line feed, which is read and left out. */
  line(): string {
    const characters: number[] = [];
    for (let byte = this.byte(); byte !== 0x0a; byte = this.byte()) {
      if (characters.push(byte) > MAX_LINE) this.fail(`damaged: a line of more than ${MAX_LINE} bytes`);
    }
    return String.fromCharCode(...characters);
  }
}
