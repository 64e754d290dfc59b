// The bytes of a pickle, read from front to back: numbers, runs of bytes and lines of text.
import { DatasetError } from "../errors.js";

/** @throws DatasetError from every method where the pickle ends too early */
export class PickleBytes {
  readonly view: DataView;
  at: number;

  constructor(
    private readonly bytes: Uint8Array,
    start: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
  }

  byte(): number {
    return this.bytes[this.skip(1)];
  }

  size(width: 4 | 8): number {
    const at = this.skip(width);
    return width === 4 ? this.view.getUint32(at, true) : Number(this.view.getBigUint64(at, true));
  }

  take(count: number): Uint8Array {
    const start = this.skip(count);
    return this.bytes.subarray(start, start + count);
  }

  skip(count: number): number {
    const start = this.at;
    if (start + count > this.bytes.length) throw new DatasetError("pickle: it ends too early");
    this.at = start + count;
    return start;
  }

  textLine(): string {
    const end = this.bytes.indexOf(10, this.at);
    if (end < 0) throw new DatasetError("pickle: it ends too early");
    const text = Buffer.from(this.bytes.subarray(this.at, end)).toString("utf8");
    this.at = end + 1;
    return text;
  }
}

/** Little-endian two's complement of any length. */
export function longFromBytes(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  return bytes.length > 0 && bytes[bytes.length - 1] & 0x80 ? value - (1n << BigInt(8 * bytes.length)) : value;
}

/** A number where it is exact. */
export function small(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
