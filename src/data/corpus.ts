// A corpus on disk, opened for reading: sizes, keys and labels of all molecules, and any molecule by number.

import { join } from "node:path";
import type { RecordBatch } from "apache-arrow";
import type { Molecule } from "../chem/molecule.js";
import { ConfigError, DatasetError } from "../errors.js";
import { type Manifest, readManifest } from "./manifest.js";
import { INDEX_COLUMNS } from "./shard-format.js";
import { decodeTable, FilePool, openShard, readMolecule, readVerified, type Shard } from "./shard-reader.js";

export interface OpenCorpusOptions {
  /**
   * Bytes of shards that may stay in memory; 256 MiB by default. Shards beyond it are read molecule by molecule from
   * their files, so that shuffled access neither fills the memory nor reads whole shards again and again.
   */
  readonly memoryBudget?: number;
}

const DEFAULT_MEMORY_BUDGET = 256 * 2 ** 20;

/** Molecules in the order of the inputs they came from, numbered from 0. */
export class Corpus {
  /** Atoms of each molecule. [size] */
  readonly atomCounts: Uint16Array;
  /** Structure key of each molecule as a number; conformers of one structure share it. [size] */
  readonly structureKeys: BigUint64Array;
  /** 1 where a molecule has coordinates. [size] */
  readonly has3d: Uint8Array;
  private readonly labelColumns: ReadonlyMap<string, Float64Array>;
  private readonly shardStarts: Uint32Array;
  private readonly shards: (Shard | undefined)[] = [];
  private readonly files = new FilePool();
  private freeMemory: number;

  constructor(
    readonly dir: string,
    readonly manifest: Manifest,
    index: RecordBatch,
    memoryBudget: number,
  ) {
    // Copies, so that the index file is not kept alive as a whole and every column is aligned.
    const column = (name: string) => index.getChild(name)?.toArray();
    this.atomCounts = Uint16Array.from(column("atoms") as Uint16Array);
    this.structureKeys = BigUint64Array.from(column("structureKey") as BigUint64Array);
    this.has3d = Uint8Array.from(column("has3d") as Uint8Array);
    this.labelColumns = new Map(
      manifest.labels.map((name) => [name, Float64Array.from(column(name) as Float64Array)] as const),
    );
    this.shardStarts = new Uint32Array(manifest.shards.length + 1);
    for (const [at, shard] of manifest.shards.entries()) {
      this.shardStarts[at + 1] = this.shardStarts[at] + shard.rows;
    }
    this.freeMemory = memoryBudget;
  }

  /** Number of molecules. */
  get size(): number {
    return this.atomCounts.length;
  }

  get labelNames(): readonly string[] {
    return this.manifest.labels;
  }

  /** A label of every molecule, NaN where missing. [size] @throws ConfigError for a label the corpus does not have */
  labelColumn(name: string): Float64Array {
    const column = this.labelColumns.get(name);
    if (column) return column;
    const known = this.labelNames.length > 0 ? this.labelNames.join(", ") : "no labels";
    throw new ConfigError(`label ${JSON.stringify(name)}: expected one of the corpus ${this.dir} (${known})`);
  }

  /**
   * Molecule by number; its arrays own their memory.
   * @throws RangeError outside the corpus
   * @throws DatasetError when its shard is missing or damaged
   */
  get(index: number): Molecule {
    if (!(index >= 0 && index < this.size)) {
      throw new RangeError(`${this.dir}: expected a molecule number below ${this.size}, got ${index}`);
    }
    const at = this.shardOf(index);
    this.shards[at] ??= this.load(at);
    const labels: Record<string, number> = {};
    for (const [name, column] of this.labelColumns) labels[name] = column[index];
    return readMolecule(this.shards[at], index - this.shardStarts[at], labels, this.files);
  }

  /** Reads and checks every shard. @throws DatasetError for the first that is missing or damaged */
  verify(): void {
    for (let at = 0; at < this.manifest.shards.length; at++) this.shards[at] ??= this.load(at);
  }

  /** Closes files and frees shards; the corpus may be used again afterwards. */
  close(): void {
    this.files.close();
    for (const shard of this.shards) this.freeMemory += shard?.resident?.length ?? 0;
    this.shards.length = 0;
  }

  private load(at: number): Shard {
    const stored = this.manifest.shards[at];
    const resident = stored.bytes <= this.freeMemory;
    const shard = openShard(this.dir, stored, resident);
    if (resident) this.freeMemory -= stored.bytes;
    return shard;
  }

  private shardOf(index: number): number {
    let low = 0;
    let high = this.shardStarts.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.shardStarts[middle] <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/**
 * Opens the corpus in a folder. Its index is checked now, each shard when a molecule of it is first read.
 * @throws DatasetError when the folder is no finished corpus, of another schema version, or damaged
 */
export async function openCorpus(dir: string, options: OpenCorpusOptions = {}): Promise<Corpus> {
  const manifest = readManifest(dir);
  const path = join(dir, manifest.index.file);
  const bytes = readVerified(dir, manifest.index);
  const index = decodeTable(path, bytes, manifest.counts.molecules, [...INDEX_COLUMNS, ...manifest.labels]);
  const rows = manifest.shards.reduce((sum, shard) => sum + shard.rows, 0);
  if (rows !== manifest.counts.molecules) {
    throw new DatasetError(`${dir}: expected ${manifest.counts.molecules} molecules, got shards with ${rows}`);
  }
  return new Corpus(dir, manifest, index, options.memoryBudget ?? DEFAULT_MEMORY_BUDGET);
}
