// Reads and writes the safetensors format: named tensors, each read only when it is asked for.

import { halfToFloat } from "../data/half-float.js";
import type { ByteSource } from "../data/random-access.js";
import { CheckpointError } from "../errors.js";

/** Element types; F16 is held as its raw 16 bits. */
const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

export type DType = keyof typeof ARRAYS;
export type TensorData = InstanceType<(typeof ARRAYS)[DType]>;

/** One tensor in C order. */
export interface NamedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** What the header says about a tensor. `dtype` may be one that this package does not read (BF16, …). */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes from the start of the data. */
  readonly begin: number;
  readonly end: number;
}

/** An opened file: the header is known, the tensors are read one by one. */
export interface Safetensors {
  readonly source: ByteSource;
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly dataStart: number;
}

/** The format's own limit. */
const MAX_HEADER = 100_000_000;

/**
 * Reads and checks the header.
 * @throws CheckpointError if the file is truncated, not safetensors, or if tensors overlap, leave gaps or lie outside.
 */
export function openSafetensors(source: ByteSource): Safetensors {
  const fail = (reason: string): never => {
    throw new CheckpointError(`${source.name}: ${reason}`);
  };
  if (source.byteLength < 8) fail(`not a safetensors file: expected at least 8 bytes, got ${source.byteLength}`);
  const prefix = source.read(0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (length > MAX_HEADER) fail(`not a safetensors file: it claims a header of ${length} bytes`);
  const dataStart = 8 + length;
  if (dataStart > source.byteLength) {
    fail(`truncated: expected a header of ${length} bytes, got ${source.byteLength - 8}`);
  }
  const header = parseHeader(source.read(8, dataStart), fail);
  const entries = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") entries.set(name, parseEntry(name, value, fail));
  }
  checkLayout([...entries.values()], source.byteLength - dataStart, fail);
  const metadata = (header["__metadata__"] ?? {}) as Record<string, string>;
  if (Object.values(metadata).some((value) => typeof value !== "string"))
    fail("its __metadata__ is not a map of strings");
  return { source, entries, metadata, dataStart };
}

function parseHeader(bytes: Uint8Array, fail: (reason: string) => never): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    fail(`not a safetensors file: its header is not JSON (${(error as Error).message})`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    return fail("not a safetensors file: its header is not a JSON object");
  }
  return header as Record<string, unknown>;
}

function parseEntry(name: string, value: unknown, fail: (reason: string) => never): TensorEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  const naturals = (x: unknown): x is number[] => Array.isArray(x) && x.every((n) => Number.isSafeInteger(n) && n >= 0);
  if (typeof dtype !== "string" || !naturals(shape) || !naturals(offsets) || offsets.length !== 2) {
    return fail(`tensor "${name}": expected dtype, shape and data_offsets, got ${JSON.stringify(value)}`);
  }
  const [begin, end] = offsets;
  if (isDType(dtype)) {
    const expected = elementCount(shape) * ARRAYS[dtype].BYTES_PER_ELEMENT;
    if (end - begin !== expected) {
      fail(`tensor "${name}": expected ${expected} bytes for ${dtype} [${shape}], got ${end - begin}`);
    }
  }
  if (end < begin) fail(`tensor "${name}": it ends (${end}) before it begins (${begin})`);
  return { name, dtype, shape, begin, end };
}

/** The format wants the tensors to cover the data exactly: no overlap, no gap, nothing after the last. */
function checkLayout(entries: TensorEntry[], dataLength: number, fail: (reason: string) => never): void {
  let position = 0;
  let previous = "the header";
  for (const entry of entries.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    const { name, begin, end } = entry;
    if (end > dataLength)
      fail(`truncated: tensor "${name}" ends at byte ${end} of the data, the file has ${dataLength}`);
    if (begin < position) fail(`tensor "${name}" (from byte ${begin}) overlaps ${previous} (to byte ${position})`);
    if (begin > position)
      fail(`${begin - position} bytes between ${previous} and tensor "${name}" belong to no tensor`);
    position = end;
    previous = `tensor "${name}"`;
  }
  if (position < dataLength) fail(`${dataLength - position} bytes after ${previous} belong to no tensor`);
}

function isDType(dtype: string): dtype is DType {
  return Object.hasOwn(ARRAYS, dtype);
}

function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * One tensor, copied out of the file. The host is taken to be little-endian, as all that Node and browsers run on are.
 * @throws CheckpointError if there is no such tensor, or none of a readable type.
 */
export function readTensor(file: Safetensors, name: string): NamedTensor {
  const entry = file.entries.get(name);
  if (!entry) throw new CheckpointError(`${file.source.name}: no tensor "${name}" among its ${file.entries.size}`);
  const { dtype, shape, begin, end } = entry;
  if (!isDType(dtype)) {
    const known = Object.keys(ARRAYS).join(", ");
    throw new CheckpointError(`${file.source.name}: tensor "${name}": expected one of ${known}, got ${dtype}`);
  }
  // A copy, because the data of a tensor need not be aligned to its element size.
  const bytes = file.source.read(file.dataStart + begin, file.dataStart + end).slice();
  return { name, dtype, shape, data: new ARRAYS[dtype](bytes.buffer) };
}

/**
 * A floating-point tensor of the given shape. One that is stored row-sparse, as `NAME#rows` (I32 [k]) and
 * `NAME#values` ([k, …]), is expanded over `base`, or over zeros.
 * @returns Float64Array for F64, else Float32Array.
 * @throws CheckpointError if it is missing, has another shape, or is not floating-point.
 */
export function readDense(
  file: Safetensors,
  name: string,
  shape: readonly number[],
  base?: ArrayLike<number>,
): Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer> {
  const sparse = !file.entries.has(name) && file.entries.has(`${name}#rows`);
  const stored = readTensor(file, sparse ? `${name}#values` : name);
  const values = toFloats(file, stored);
  if (!sparse) {
    if (stored.shape.join() !== shape.join()) {
      throw new CheckpointError(`${file.source.name}: "${name}": expected shape [${shape}], got [${stored.shape}]`);
    }
    return values;
  }
  const rows = readTensor(file, `${name}#rows`).data;
  const width = elementCount(shape.slice(1));
  if (values.length !== rows.length * width || stored.shape.slice(1).join() !== shape.slice(1).join()) {
    throw new CheckpointError(
      `${file.source.name}: "${name}#values": expected [${[rows.length, ...shape.slice(1)]}], got [${stored.shape}]`,
    );
  }
  const dense =
    values instanceof Float64Array ? new Float64Array(elementCount(shape)) : new Float32Array(elementCount(shape));
  if (base) dense.set(base);
  for (let k = 0; k < rows.length; k++) {
    const row = Number(rows[k]);
    if (row < 0 || row >= shape[0]) {
      throw new CheckpointError(`${file.source.name}: "${name}#rows": expected rows below ${shape[0]}, got ${row}`);
    }
    dense.set(values.subarray(k * width, (k + 1) * width), row * width);
  }
  return dense;
}

function toFloats(file: Safetensors, tensor: NamedTensor): Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer> {
  const { name, dtype, data } = tensor;
  if (dtype === "F16") return Float32Array.from(data as Uint16Array, halfToFloat);
  if (dtype === "F32") return data as Float32Array<ArrayBuffer>;
  if (dtype === "F64") return data as Float64Array<ArrayBuffer>;
  throw new CheckpointError(`${file.source.name}: "${name}": expected a floating-point tensor, got ${dtype}`);
}

/**
 * The file as parts to be written one after the other: its header, then the tensors' own bytes, not copied.
 * Tensors of wide elements come first, so that each is aligned.
 * @throws CheckpointError if a name occurs twice or data and shape or type disagree.
 */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length) header.set("__metadata__", metadata);
  const sorted = [...tensors].sort((a, b) => ARRAYS[b.dtype].BYTES_PER_ELEMENT - ARRAYS[a.dtype].BYTES_PER_ELEMENT);
  let position = 0;
  for (const { name, dtype, shape, data } of sorted) {
    if (header.has(name) || name === "__metadata__")
      throw new CheckpointError(`safetensors: the name "${name}" is taken`);
    if (!(data instanceof ARRAYS[dtype]) || data.length !== elementCount(shape)) {
      const got = `${data.constructor.name} of ${data.length}`;
      throw new CheckpointError(`safetensors: "${name}": expected ${dtype} [${shape}], got ${got}`);
    }
    header.set(name, { dtype, shape, data_offsets: [position, position + data.byteLength] });
    position += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const start = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(start.length - 8), true);
  start.set(json, 8);
  return [start, ...sorted.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))];
}
