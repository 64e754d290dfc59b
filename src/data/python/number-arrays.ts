// Arrays of numbers as Python's files hold them: bytes and numpy's name of their type.
import { halfToFloat } from "../half-float.js";
import type { Fail } from "./failure.js";
import type { TorchType } from "./python-values.js";
import { gatherElements } from "./strided.js";

/** An array of numbers in C order; integers of 64 bits are bigints. */
export interface NumberArray {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number | bigint>;
}

/** numpy's description of an element. */
export interface ElementType {
  /** As in `numpy.dtype.str` without the byte order: `f4`, `i8`. */
  readonly code: string;
  readonly bigEndian: boolean;
}

interface Reader {
  readonly width: number;
  /** From a buffer of its own, in the order of this machine: little-endian, as all that Node runs on are. */
  readonly read: (buffer: ArrayBuffer) => ArrayLike<number | bigint>;
}

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ["f2", { width: 2, read: (buffer) => Float32Array.from(new Uint16Array(buffer), halfToFloat) }],
  ["f4", { width: 4, read: (buffer) => new Float32Array(buffer) }],
  ["f8", { width: 8, read: (buffer) => new Float64Array(buffer) }],
  ["i1", { width: 1, read: (buffer) => new Int8Array(buffer) }],
  ["i2", { width: 2, read: (buffer) => new Int16Array(buffer) }],
  ["i4", { width: 4, read: (buffer) => new Int32Array(buffer) }],
  ["i8", { width: 8, read: (buffer) => new BigInt64Array(buffer) }],
  ["u1", { width: 1, read: (buffer) => new Uint8Array(buffer) }],
  ["u2", { width: 2, read: (buffer) => new Uint16Array(buffer) }],
  ["u4", { width: 4, read: (buffer) => new Uint32Array(buffer) }],
  ["u8", { width: 8, read: (buffer) => new BigUint64Array(buffer) }],
  ["b1", { width: 1, read: (buffer) => new Uint8Array(buffer) }],
]);

/** numpy's names of torch's types; it has none for bfloat16. */
const TORCH_CODES: Readonly<Partial<Record<TorchType, string>>> = {
  float64: "f8",
  float32: "f4",
  float16: "f2",
  int64: "i8",
  int32: "i4",
  int16: "i2",
  int8: "i1",
  uint8: "u1",
  bool: "b1",
};

export function torchElement(type: TorchType, fail: Fail): ElementType {
  const code = TORCH_CODES[type];
  return code === undefined
    ? fail(`expected a tensor of numbers that numpy has, got ${type}`)
    : { code, bigEndian: false };
}

/** @param order as elements lie in `content`: C (rows first) or F (columns first) */
export function numberArray(
  content: Uint8Array,
  { code, bigEndian }: ElementType,
  shape: readonly number[],
  order: "C" | "F",
  fail: Fail,
): NumberArray {
  const reader = READERS.get(code);
  if (!reader) return fail(`expected an array of numbers, got numpy's dtype ${JSON.stringify(code)}`);
  const { width, read } = reader;
  const expected = shape.reduce((product, size) => product * size, width);
  if (content.length !== expected) {
    return fail(`damaged: expected ${expected} bytes for an array of shape [${shape}], got ${content.length}`);
  }
  const bytes =
    order === "F" ? gatherElements(content, width, 0, shape, columnStrides(shape)) : new Uint8Array(content);
  if (bigEndian) for (let at = 0; at < bytes.length; at += width) bytes.subarray(at, at + width).reverse();
  return { shape, values: read(bytes.buffer) };
}

function columnStrides(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (const size of shape) {
    strides.push(stride);
    stride *= size;
  }
  return strides;
}
