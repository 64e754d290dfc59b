// Rows of binary features, stored as the features that are on: a fingerprint has about 50 of 1,024.
import { ShapeError } from "../../errors.js";

export interface BinaryFeatures {
  readonly rows: number;
  readonly columns: number;
  /** Where each row begins in `on`. [rows + 1] */
  readonly start: Int32Array;
  /** Features that are on, row by row. */
  readonly on: Uint16Array;
}

/** @param bytes packed bits, the lowest first. [rows * columns / 8] */
export function unpackFingerprints(bytes: Uint8Array, columns: number): BinaryFeatures {
  const width = columns / 8;
  const rows = bytes.length / width;
  if (!Number.isInteger(width) || !Number.isInteger(rows))
    throw new ShapeError(`fingerprints: expected rows of ${columns} bits, got ${bytes.length} bytes`);
  const start = new Int32Array(rows + 1);
  const on: number[] = [];
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) {
      for (let byte = bytes[row * width + i], bit = 0; byte !== 0; byte >>>= 1, bit++)
        if (byte & 1) on.push(8 * i + bit);
    }
    start[row + 1] = on.length;
  }
  return { rows, columns, start, on: Uint16Array.from(on) };
}
