// Reads single molecules out of an Arrow shard, straight from the file: the system keeps in memory what is read often.

import type { Molecule } from "../chem/molecule.js";
import { type ColumnPlace, locateColumns } from "./arrow-columns.js";
import type { StoredFile } from "./manifest.js";
import { SHARD_COLUMNS, type ShardColumn } from "./shard-format.js";
import { type FilePool, verifyFile } from "./stored-file.js";

/** A shard whose checksum was verified. */
export interface Shard {
  readonly path: string;
  readonly columns: Readonly<Record<ShardColumn, ColumnPlace>>;
}

/** The arrays of a molecule: all that batches are made of. */
export type MoleculeArrays = Pick<Molecule, "atomFeatures" | "bonds" | "bondFeatures" | "positions">;

/** Checks a shard and finds its columns. @throws DatasetError when it is missing or damaged */
export function openShard(dir: string, stored: StoredFile, files: FilePool): Shard {
  const path = verifyFile(dir, stored, files);
  return { path, columns: locateColumns(path, files, stored.rows, SHARD_COLUMNS) };
}

type ListValues = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

const ends = new Int32Array(new ArrayBuffer(8));

/** The values of one row of a list column, in memory of their own. */
function readList<T extends ListValues>(
  { path, columns }: Shard,
  column: ShardColumn,
  row: number,
  files: FilePool,
  allocate: (length: number) => T,
): T {
  const { offsets, values } = columns[column];
  files.read(path, ends, offsets + row * ends.BYTES_PER_ELEMENT);
  const [begin, end] = ends;
  const out = allocate(end - begin);
  files.read(path, out, values + begin * out.BYTES_PER_ELEMENT);
  return out;
}

const bytes = (length: number) => new Uint8Array(length);
const text = new TextDecoder("utf-8", { ignoreBOM: true });

/** Arrays of row `row`; they own their memory, so they may be transferred. */
export function readArrays(shard: Shard, row: number, files: FilePool): MoleculeArrays {
  const positions = readList(shard, "positions", row, files, (length) => new Float32Array(length));
  return {
    atomFeatures: readList(shard, "atomFeatures", row, files, bytes),
    bonds: readList(shard, "bonds", row, files, (length) => new Uint16Array(length)),
    bondFeatures: readList(shard, "bondFeatures", row, files, bytes),
    positions: positions.length > 0 ? positions : null,
  };
}

/** Name or structure key of row `row`. */
export function readText(shard: Shard, column: "name" | "structureKey", row: number, files: FilePool): string {
  return text.decode(readList(shard, column, row, files, bytes));
}
