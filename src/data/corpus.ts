// A corpus on disk, opened for reading: sizes, keys and labels of all molecules, and any molecule by number.

import type { Molecule } from "../chem/molecule.js";
import { ConfigError, DatasetError } from "../errors.js";
import { type ColumnPlace, locateColumns } from "./arrow-columns.js";
import type { NumberArray } from "./column-buffer.js";
import { type Manifest, readManifest } from "./manifest.js";
import { INDEX_COLUMNS, LABEL_TYPE } from "./shard-format.js";
import { type MoleculeArrays, openShard, readArrays, readText, type Shard } from "./shard-reader.js";
import { FilePool, verifyFile } from "./stored-file.js";

interface Index {
  readonly path: string;
  readonly columns: Readonly<Record<string, ColumnPlace>>;
}

/**
 * Molecules in the order of the inputs they came from, numbered from 0. Memory: of what was asked for, sizes (2 bytes a
 * molecule), `has3d` (1) and labels (8 each); molecules are read from the files one by one.
 */
export class Corpus {
  private readonly loaded = new Map<string, NumberArray>();
  private readonly shardStarts: Uint32Array;
  private readonly shards: (Shard | undefined)[] = [];

  constructor(
    readonly dir: string,
    readonly manifest: Manifest,
    private readonly index: Index,
    private readonly files: FilePool,
  ) {
    this.shardStarts = new Uint32Array(manifest.shards.length + 1);
    for (const [at, shard] of manifest.shards.entries()) {
      this.shardStarts[at + 1] = this.shardStarts[at] + shard.rows;
    }
  }

  /** Number of molecules. */
  get size(): number {
    return this.manifest.counts.molecules;
  }

  /** Atoms of each molecule. [size] */
  get atomCounts(): Uint16Array {
    return this.column("atoms", (length) => new Uint16Array(length));
  }

  /** 1 where a molecule has coordinates. [size] */
  get has3d(): Uint8Array {
    return this.column("has3d", (length) => new Uint8Array(length));
  }

  /**
   * Structure key of each molecule as a number; conformers of one structure share it. [size] Read anew at every call:
   * the most that is known of a molecule here, it is asked for once, and is kept no longer than whoever asked keeps it.
   */
  readStructureKeys(): BigUint64Array<ArrayBuffer> {
    return this.readColumn("structureKey", new BigUint64Array(this.size));
  }

  get labelNames(): readonly string[] {
    return this.manifest.labels;
  }

  /** A label of every molecule, NaN where missing. [size] @throws ConfigError for a label the corpus does not have */
  labelColumn(name: string): Float64Array {
    if (this.labelNames.includes(name)) return this.column(name, (length) => new Float64Array(length));
    const known = this.labelNames.length > 0 ? this.labelNames.join(", ") : "no labels";
    throw new ConfigError(`label ${JSON.stringify(name)}: expected one of the corpus ${this.dir} (${known})`);
  }

  /**
   * Molecule by number; its arrays own their memory.
   * @param labels those it comes with; their columns are read as a whole
   * @throws RangeError outside the corpus
   * @throws DatasetError when its shard is missing or damaged
   */
  get(index: number, labels = this.labelNames): Molecule {
    const { shard, row } = this.find(index);
    return {
      name: readText(shard, "name", row, this.files),
      ...readArrays(shard, row, this.files),
      structureKey: readText(shard, "structureKey", row, this.files),
      labels: Object.fromEntries(labels.map((name) => [name, this.labelColumn(name)[index]])),
    };
  }

  /** What batches need of a molecule; throws as `get` does. */
  arrays(index: number): MoleculeArrays {
    const { shard, row } = this.find(index);
    return readArrays(shard, row, this.files);
  }

  /** Name of a molecule; throws as `get` does. */
  nameOf(index: number): string {
    const { shard, row } = this.find(index);
    return readText(shard, "name", row, this.files);
  }

  /** Reads and checks every shard. @throws DatasetError for the first that is missing or damaged */
  verify(): void {
    for (let at = 0; at < this.manifest.shards.length; at++) this.openedShard(at);
  }

  /** Closes its files; the corpus may be used again afterwards, and checks its shards anew. */
  close(): void {
    this.files.close();
    this.shards.length = 0;
  }

  private column<T extends NumberArray>(name: string, allocate: (length: number) => T): T {
    const known = this.loaded.get(name);
    if (known) return known as T;
    const values = this.readColumn(name, allocate(this.size));
    this.loaded.set(name, values);
    return values;
  }

  private readColumn<T extends NumberArray>(name: string, out: T): T {
    this.files.read(this.index.path, out, this.index.columns[name].values);
    return out;
  }

  private openedShard(at: number): Shard {
    this.shards[at] ??= openShard(this.dir, this.manifest.shards[at], this.files);
    return this.shards[at];
  }

  private find(index: number): { readonly shard: Shard; readonly row: number } {
    if (!(index >= 0 && index < this.size)) {
      throw new RangeError(`${this.dir}: expected a molecule number below ${this.size}, got ${index}`);
    }
    let low = 0;
    let high = this.shardStarts.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.shardStarts[middle] <= index) low = middle;
      else high = middle - 1;
    }
    return { shard: this.openedShard(low), row: index - this.shardStarts[low] };
  }
}

/**
 * Opens the corpus in a folder. Its index is checked now, each shard when a molecule of it is first read.
 * @throws DatasetError when the folder is no finished corpus, of another schema version, or damaged
 */
export async function openCorpus(dir: string): Promise<Corpus> {
  const manifest = readManifest(dir);
  const rows = manifest.shards.reduce((sum, shard) => sum + shard.rows, 0);
  if (rows !== manifest.counts.molecules) {
    throw new DatasetError(`${dir}: expected ${manifest.counts.molecules} molecules, got shards with ${rows}`);
  }
  const files = new FilePool();
  try {
    const path = verifyFile(dir, manifest.index, files);
    const labels = Object.fromEntries(manifest.labels.map((name) => [name, LABEL_TYPE]));
    const columns = locateColumns(path, files, rows, { ...INDEX_COLUMNS, ...labels });
    return new Corpus(dir, manifest, { path, columns }, files);
  } catch (error) {
    files.close();
    throw error;
  }
}
