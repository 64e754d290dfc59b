// How molecules lie in an Arrow file: column names and types, and building one record batch of them.

import {
  type Data,
  type DataType,
  Field,
  Float32,
  Float64,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableToIPC,
  Uint8,
  Uint16,
  Uint64,
  Utf8,
} from "apache-arrow";
import { ATOM_FEATURES, type Molecule } from "../chem/molecule.js";
import { ColumnBuffer, type NumberArray } from "./column-buffer.js";
import { CORPUS_FORMAT, CORPUS_VERSION } from "./manifest.js";

/** Columns of every shard; label columns follow. All but `positions` have no nulls. */
export const SHARD_COLUMNS = ["name", "structureKey", "atomFeatures", "bonds", "bondFeatures", "positions"] as const;
export type ShardColumn = (typeof SHARD_COLUMNS)[number];
/** Columns of the index; label columns follow. */
export const INDEX_COLUMNS = ["atoms", "structureKey", "has3d"] as const;

interface NamedData {
  readonly name: string;
  readonly data: Data;
  readonly nullable?: boolean;
}

/** Bytes of an Arrow IPC file with one record batch. */
function encodeFile(columns: readonly NamedData[], rows: number): Uint8Array {
  const fields = columns.map(({ name, data, nullable = false }) => new Field(name, data.type as DataType, nullable));
  const schema = new Schema(fields, new Map([[CORPUS_FORMAT, String(CORPUS_VERSION)]]));
  const children = columns.map(({ data }) => data);
  const struct = makeData({ type: new Struct(schema.fields), length: rows, nullCount: 0, children });
  return tableToIPC(new Table([new RecordBatch(schema, struct)]), "file");
}

/** Values of a list column and where each row ends. */
class ListBuffer<T extends NumberArray> {
  readonly values: ColumnBuffer<T>;
  readonly offsets = new ColumnBuffer((length) => new Int32Array(length));

  constructor(allocate: (length: number) => T) {
    this.values = new ColumnBuffer(allocate);
    this.offsets.append([0]);
  }

  append(values: ArrayLike<number>): void {
    this.values.append(values);
    this.offsets.append([this.values.length]);
  }

  clear(): void {
    this.values.clear();
    this.offsets.clear();
    this.offsets.append([0]);
  }

  get bytes(): number {
    return this.values.length * this.values.view().BYTES_PER_ELEMENT;
  }
}

function bytesList() {
  return new ListBuffer((length) => new Uint8Array(length));
}

/** Collects molecules until they are encoded as one shard. Labels are float64, NaN where missing. */
export class ShardBuilder {
  private readonly name = bytesList();
  private readonly structureKey = bytesList();
  private readonly atomFeatures = bytesList();
  private readonly bonds = new ListBuffer((length) => new Uint16Array(length));
  private readonly bondFeatures = bytesList();
  private readonly positions = new ListBuffer((length) => new Float32Array(length));
  private readonly labels: readonly ColumnBuffer<Float64Array<ArrayBuffer>>[];
  private readonly text = new TextEncoder();
  rows = 0;

  constructor(private readonly labelNames: readonly string[]) {
    this.labels = labelNames.map(() => new ColumnBuffer((length) => new Float64Array(length)));
  }

  /** Bytes held so far, roughly. */
  get bytes(): number {
    const lists = [this.name, this.structureKey, this.atomFeatures, this.bonds, this.bondFeatures, this.positions];
    return lists.reduce((sum, list) => sum + list.bytes, this.rows * 8 * this.labels.length);
  }

  append(molecule: Molecule): void {
    this.name.append(this.text.encode(molecule.name));
    this.structureKey.append(this.text.encode(molecule.structureKey));
    this.atomFeatures.append(molecule.atomFeatures);
    this.bonds.append(molecule.bonds);
    this.bondFeatures.append(molecule.bondFeatures);
    this.positions.append(molecule.positions ?? []);
    for (const [at, label] of this.labelNames.entries()) {
      this.labels[at].append([molecule.labels[label] ?? Number.NaN]);
    }
    this.rows++;
  }

  encode(): Uint8Array {
    const { rows } = this;
    const columns: NamedData[] = [
      { name: "name", data: utf8Data(this.name, rows) },
      { name: "structureKey", data: utf8Data(this.structureKey, rows) },
      { name: "atomFeatures", data: listData(new Uint8(), this.atomFeatures, rows) },
      { name: "bonds", data: listData(new Uint16(), this.bonds, rows) },
      { name: "bondFeatures", data: listData(new Uint8(), this.bondFeatures, rows) },
      { name: "positions", data: listData(new Float32(), this.positions, rows, true), nullable: true },
      ...labelColumns(this.labelNames, this.labels, rows),
    ];
    return encodeFile(columns, rows);
  }

  clear(): void {
    const lists = [this.name, this.structureKey, this.atomFeatures, this.bonds, this.bondFeatures, this.positions];
    for (const list of lists) list.clear();
    for (const label of this.labels) label.clear();
    this.rows = 0;
  }
}

function utf8Data(list: ListBuffer<Uint8Array<ArrayBuffer>>, rows: number): Data {
  const type = new Utf8();
  return makeData({
    type,
    length: rows,
    nullCount: 0,
    valueOffsets: list.offsets.view(),
    data: list.values.view(),
  });
}

/** With `emptyIsNull`, rows without values are null. */
function listData<T extends NumberArray>(
  type: Uint8 | Uint16 | Float32,
  list: ListBuffer<T>,
  rows: number,
  emptyIsNull = false,
): Data {
  const offsets = list.offsets.view();
  const nullBitmap = new Uint8Array(Math.ceil(rows / 8));
  let nullCount = 0;
  for (let row = 0; row < rows; row++) {
    if (emptyIsNull && offsets[row] === offsets[row + 1]) nullCount++;
    else nullBitmap[row >> 3] |= 1 << (row & 7);
  }
  // The types are correct in each call; the union only hides it from the compiler.
  const data = list.values.view() as Uint8Array;
  const child = makeData({ type: type as Uint8, length: list.values.length, nullCount: 0, data });
  return makeData({
    type: new List(new Field("item", type as Uint8, false)),
    length: rows,
    nullCount,
    nullBitmap: nullCount > 0 ? nullBitmap : null,
    valueOffsets: offsets,
    child,
  });
}

function labelColumns(
  names: readonly string[],
  labels: readonly ColumnBuffer<Float64Array<ArrayBuffer>>[],
  rows: number,
): NamedData[] {
  return names.map((name, at) => ({
    name,
    data: makeData({ type: new Float64(), length: rows, nullCount: 0, data: labels[at].view() }),
  }));
}

/** Collects what is known of every molecule of a corpus without opening its shard: 11 bytes each and 8 a label. */
export class IndexBuilder {
  private readonly atoms = new ColumnBuffer((length) => new Uint16Array(length));
  private readonly keys = new ColumnBuffer((length) => new BigUint64Array(length));
  private readonly has3d = new ColumnBuffer((length) => new Uint8Array(length));
  private readonly labels: readonly ColumnBuffer<Float64Array<ArrayBuffer>>[];
  totalAtoms = 0;
  with3d = 0;

  constructor(private readonly labelNames: readonly string[]) {
    this.labels = labelNames.map(() => new ColumnBuffer((length) => new Float64Array(length)));
  }

  get rows(): number {
    return this.atoms.length;
  }

  append(molecule: Molecule): void {
    const atoms = molecule.atomFeatures.length / ATOM_FEATURES.length;
    this.atoms.append([atoms]);
    this.keys.append([BigInt(`0x${molecule.structureKey}`)]);
    this.has3d.append([molecule.positions ? 1 : 0]);
    for (const [at, label] of this.labelNames.entries()) {
      this.labels[at].append([molecule.labels[label] ?? Number.NaN]);
    }
    this.totalAtoms += atoms;
    if (molecule.positions) this.with3d++;
  }

  /** Number of distinct structure keys. */
  countStructures(): number {
    const sorted = this.keys.view().slice().sort();
    let distinct = 0;
    for (let row = 0; row < sorted.length; row++) if (row === 0 || sorted[row] !== sorted[row - 1]) distinct++;
    return distinct;
  }

  encode(): Uint8Array {
    const { rows } = this;
    const columns: NamedData[] = [
      { name: "atoms", data: makeData({ type: new Uint16(), length: rows, nullCount: 0, data: this.atoms.view() }) },
      {
        name: "structureKey",
        data: makeData({ type: new Uint64(), length: rows, nullCount: 0, data: this.keys.view() }),
      },
      { name: "has3d", data: makeData({ type: new Uint8(), length: rows, nullCount: 0, data: this.has3d.view() }) },
      ...labelColumns(this.labelNames, this.labels, rows),
    ];
    return encodeFile(columns, rows);
  }
}
