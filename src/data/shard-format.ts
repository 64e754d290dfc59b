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
import { ATOM_FEATURES, BOND_FEATURES } from "../chem/molecule.js";
import { ColumnBuffer, type NumberArray } from "./column-buffer.js";
import { CORPUS_FORMAT, CORPUS_VERSION } from "./manifest.js";
import { KEY_BYTES, type PackedMolecules } from "./packed-molecules.js";

/** Columns of every shard and their types; label columns follow. All but `positions` have no nulls. */
export const SHARD_COLUMNS = {
  name: "Utf8",
  structureKey: "Utf8",
  atomFeatures: "List<Uint8>",
  bonds: "List<Uint16>",
  bondFeatures: "List<Uint8>",
  positions: "List<Float32>",
} as const;
export type ShardColumn = keyof typeof SHARD_COLUMNS;
/** Columns of the index and their types; label columns follow. */
export const INDEX_COLUMNS = { atoms: "Uint16", structureKey: "Uint64", has3d: "Uint8" } as const;
export const LABEL_TYPE = "Float64";

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

  /**
   * Rows that lie one after another in `values`.
   * @param starts row i begins at starts[i] · width and ends at starts[i + 1] · width
   */
  append(values: T, starts: Int32Array, width: number, from: number, to: number): void {
    const shift = this.values.length - starts[from] * width;
    this.values.append(values.subarray(starts[from] * width, starts[to] * width));
    this.offsets.append(Int32Array.from({ length: to - from }, (_, row) => starts[from + row + 1] * width + shift));
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
  rows = 0;

  constructor(private readonly labelNames: readonly string[]) {
    this.labels = labelNames.map(() => new ColumnBuffer((length) => new Float64Array(length)));
  }

  /** Bytes held so far, roughly. */
  get bytes(): number {
    const lists = [this.name, this.structureKey, this.atomFeatures, this.bonds, this.bondFeatures, this.positions];
    return lists.reduce((sum, list) => sum + list.bytes, this.rows * 8 * this.labels.length);
  }

  /** Where the molecules of a packet that come next fill the shard to a limit, or its end. */
  fit(packed: PackedMolecules, from: number, limit: { readonly rows: number; readonly bytes: number }): number {
    const { nameStarts, atomStarts, bondStarts, positionStarts } = packed;
    const bytesBefore = (row: number) =>
      nameStarts[row] +
      row * (KEY_BYTES + 8 * this.labels.length) +
      atomStarts[row] * ATOM_FEATURES.length +
      bondStarts[row] * (4 + BOND_FEATURES.length) +
      positionStarts[row] * 4;
    const last = Math.min(atomStarts.length - 1, from + limit.rows - this.rows);
    const most = limit.bytes - this.bytes + bytesBefore(from);
    if (bytesBefore(last) < most) return last;
    let to = from + 1;
    while (to < last && bytesBefore(to) < most) to++;
    return to;
  }

  /** Takes in molecules `from` to `to` of a packet with labels of the same names. */
  append(packed: PackedMolecules, from: number, to: number): void {
    const { atomStarts, bondStarts } = packed;
    const keyStarts = Int32Array.from({ length: to + 1 }, (_, row) => row);
    this.name.append(packed.names, packed.nameStarts, 1, from, to);
    this.structureKey.append(packed.structureKeys, keyStarts, KEY_BYTES, from, to);
    this.atomFeatures.append(packed.atomFeatures, atomStarts, ATOM_FEATURES.length, from, to);
    this.bonds.append(packed.bondAtoms, bondStarts, 2, from, to);
    this.bondFeatures.append(packed.bondFeatures, bondStarts, BOND_FEATURES.length, from, to);
    this.positions.append(packed.positions, packed.positionStarts, 1, from, to);
    appendLabels(this.labels, packed, from, to);
    this.rows += to - from;
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

function appendLabels(
  columns: readonly ColumnBuffer<Float64Array<ArrayBuffer>>[],
  { labels }: PackedMolecules,
  from: number,
  to: number,
): void {
  for (const [k, column] of columns.entries()) {
    column.append(Float64Array.from({ length: to - from }, (_, row) => labels[(from + row) * columns.length + k]));
  }
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

/** Keys of 16 lower-case hex digits → numbers. */
function keyNumbers(digits: Uint8Array): BigUint64Array<ArrayBuffer> {
  const keys = new BigUint64Array(digits.length / KEY_BYTES);
  const view = new DataView(keys.buffer);
  for (let word = 0; word < 2 * keys.length; word++) {
    let value = 0;
    for (let k = 0; k < 8; k++) {
      const digit = digits[word * 8 + k];
      value = (value << 4) | (digit < 0x3a ? digit - 0x30 : digit - 0x57);
    }
    // The first word of a key is its high one.
    view.setInt32((word ^ 1) * 4, value, true);
  }
  return keys;
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

  append(packed: PackedMolecules, from: number, to: number): void {
    const { atomStarts, positionStarts } = packed;
    const has3d = Uint8Array.from({ length: to - from }, (_, i) =>
      positionStarts[from + i] < positionStarts[from + i + 1] ? 1 : 0,
    );
    this.atoms.append(
      Uint16Array.from({ length: to - from }, (_, i) => atomStarts[from + i + 1] - atomStarts[from + i]),
    );
    this.keys.append(keyNumbers(packed.structureKeys.subarray(from * KEY_BYTES, to * KEY_BYTES)));
    this.has3d.append(has3d);
    appendLabels(this.labels, packed, from, to);
    this.totalAtoms += atomStarts[to] - atomStarts[from];
    for (const flag of has3d) this.with3d += flag;
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
