// Reads single molecules out of an Arrow shard, from memory or straight from the file.

import { closeSync, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { type RecordBatch, type Table, tableFromIPC } from "apache-arrow";
import type { Molecule } from "../chem/molecule.js";
import { DatasetError } from "../errors.js";
import { type StoredFile, sha256 } from "./manifest.js";
import { SHARD_COLUMNS, type ShardColumn } from "./shard-format.js";

/** Where the values of a list column lie in the file, and where each row begins among them (in elements). */
interface ColumnPlace {
  readonly begin: number;
  readonly offsets: Int32Array;
}

/** A shard whose checksum was verified. Without `resident` bytes its molecules are read from the file one by one. */
export interface Shard {
  readonly path: string;
  readonly rows: number;
  readonly columns: Readonly<Record<ShardColumn, ColumnPlace>>;
  readonly resident: Uint8Array | null;
}

/** The whole file, checked against the manifest. @throws DatasetError naming the file if it is missing or damaged */
export function readVerified(dir: string, stored: StoredFile): Uint8Array {
  const path = join(dir, stored.file);
  if (!existsSync(path)) throw new DatasetError(`${path}: expected a file of the corpus, got none`);
  const bytes = readFileSync(path);
  if (bytes.length !== stored.bytes) {
    throw new DatasetError(`${path}: expected ${stored.bytes} bytes, got ${bytes.length}: the file is damaged`);
  }
  const checksum = sha256(bytes);
  if (checksum !== stored.sha256) {
    throw new DatasetError(`${path}: expected sha256 ${stored.sha256}, got ${checksum}: the file is damaged`);
  }
  return bytes;
}

/** The table in verified bytes. @throws DatasetError when its rows or columns are not those of a corpus */
export function decodeTable(path: string, bytes: Uint8Array, rows: number, columns: readonly string[]): RecordBatch {
  const table: Table = tableFromIPC(bytes);
  const names = table.schema.fields.map((field) => field.name);
  const missing = columns.filter((column) => !names.includes(column));
  if (missing.length > 0) {
    throw new DatasetError(`${path}: expected columns ${columns.join(", ")}, got no ${missing.join(", ")}`);
  }
  if (table.numRows !== rows || table.batches.length !== 1) {
    throw new DatasetError(
      `${path}: expected ${rows} rows in 1 record batch, got ${table.numRows} in ${table.batches.length}`,
    );
  }
  return table.batches[0];
}

/** Opens a shard; `resident` keeps its bytes in memory. @throws DatasetError when it is missing or damaged */
export function openShard(dir: string, stored: StoredFile, resident: boolean): Shard {
  const path = join(dir, stored.file);
  const bytes = readVerified(dir, stored);
  const batch = decodeTable(path, bytes, stored.rows, SHARD_COLUMNS);
  const place = (column: ShardColumn): ColumnPlace => {
    const data = batch.getChild(column)?.data[0];
    const values = data?.type.children?.length ? data.children[0].values : data?.values;
    // Arrow gives a column without values an array of its own.
    if (data && !values?.length) return { begin: 0, offsets: Int32Array.from(data.valueOffsets) };
    if (!data || values?.buffer !== bytes.buffer) {
      throw new DatasetError(`${path}: column ${column} is compressed or not laid out as this package writes it`);
    }
    // A copy, so that the offsets do not keep the whole file alive.
    return { begin: values.byteOffset - bytes.byteOffset, offsets: Int32Array.from(data.valueOffsets) };
  };
  const columns = Object.fromEntries(SHARD_COLUMNS.map((column) => [column, place(column)]));
  return {
    path,
    rows: stored.rows,
    columns: columns as Record<ShardColumn, ColumnPlace>,
    resident: resident ? bytes : null,
  };
}

/** Files kept open at a time: below the usual limit of 1024 a process. */
const OPEN_FILES = 128;

/** Descriptors of shard files, the longest open closed first. */
export class FilePool {
  private readonly descriptors = new Map<string, number>();

  get(path: string): number {
    const known = this.descriptors.get(path);
    if (known !== undefined) return known;
    if (this.descriptors.size >= OPEN_FILES) {
      const [oldest, descriptor] = this.descriptors.entries().next().value as [string, number];
      closeSync(descriptor);
      this.descriptors.delete(oldest);
    }
    const descriptor = openSync(path, "r");
    this.descriptors.set(path, descriptor);
    return descriptor;
  }

  close(): void {
    for (const descriptor of this.descriptors.values()) closeSync(descriptor);
    this.descriptors.clear();
  }
}

const text = new TextDecoder("utf-8", { ignoreBOM: true });

/** Row `row` of a shard; its arrays own their memory, so they may be transferred. */
export function readMolecule(
  shard: Shard,
  row: number,
  labels: Readonly<Record<string, number>>,
  files: FilePool,
): Molecule {
  const bytes = (column: ShardColumn, elementBytes: number): Uint8Array<ArrayBuffer> => {
    const { begin, offsets } = shard.columns[column];
    const from = begin + offsets[row] * elementBytes;
    const to = begin + offsets[row + 1] * elementBytes;
    const out = new Uint8Array(to - from);
    if (shard.resident) out.set(shard.resident.subarray(from, to));
    else readExactly(files.get(shard.path), out, from, shard.path);
    return out;
  };
  const positions = bytes("positions", 4);
  return {
    name: text.decode(bytes("name", 1)),
    atomFeatures: bytes("atomFeatures", 1),
    bonds: new Uint16Array(bytes("bonds", 2).buffer),
    bondFeatures: bytes("bondFeatures", 1),
    positions: positions.length > 0 ? new Float32Array(positions.buffer) : null,
    structureKey: text.decode(bytes("structureKey", 1)),
    labels,
  };
}

function readExactly(descriptor: number, out: Uint8Array, position: number, path: string): void {
  let done = 0;
  while (done < out.length) {
    const got = readSync(descriptor, out, done, out.length - done, position + done);
    if (got === 0) throw new DatasetError(`${path}: expected ${out.length} bytes at ${position}, got ${done}`);
    done += got;
  }
}
