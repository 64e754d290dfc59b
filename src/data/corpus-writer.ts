// Writes a corpus shard by shard into a temporary folder that takes its real name only when everything is there.

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Molecule, Reject } from "../chem/molecule.js";
import { ConfigError, DatasetError } from "../errors.js";
import {
  CORPUS_FORMAT,
  CORPUS_VERSION,
  INDEX_FILE,
  isCorpus,
  MANIFEST_FILE,
  type Manifest,
  partialPrefix,
  REJECTS_FILE,
  type StoredFile,
  sha256,
} from "./manifest.js";
import { type PackedMolecules, packedCount, packMolecules } from "./packed-molecules.js";
import { INDEX_COLUMNS, IndexBuilder, SHARD_COLUMNS, ShardBuilder } from "./shard-format.js";

export interface CorpusWriterOptions {
  readonly labels?: readonly string[];
  /** Molecules a shard; fewer when it would become larger than 64 MiB. */
  readonly shardSize?: number;
}

/** What the manifest says besides what the writer counts itself. */
export type CorpusOrigin = Pick<Manifest, "sources" | "rdkitVersion" | "options" | "notes">;

const DEFAULT_SHARD_SIZE = 16384;
const MAX_SHARD_BYTES = 64 * 2 ** 20;
const REJECT_BUFFER = 512;
/** Ends the name of an older corpus while the new one takes its place. */
const REPLACED = "-replaced";

/** One corpus being written. Memory: one shard, and 11 bytes a molecule (and 8 a label) for the index. */
export class CorpusWriter {
  private readonly dir: string;
  private readonly partial: string;
  private readonly labels: readonly string[];
  private readonly shardSize: number;
  private readonly builder: ShardBuilder;
  private readonly index: IndexBuilder;
  private readonly shards: StoredFile[] = [];
  private readonly rejectCounts: Record<string, number> = {};
  private readonly rejectFile: number;
  private rejectLines: string[] = [];
  private open = true;

  /**
   * @throws DatasetError when `dir` exists and is neither empty nor a corpus
   * @throws ConfigError for impossible options
   */
  constructor(dir: string, options: CorpusWriterOptions = {}) {
    this.dir = resolve(dir);
    this.labels = options.labels ?? [];
    this.shardSize = options.shardSize ?? DEFAULT_SHARD_SIZE;
    checkOptions(this.labels, this.shardSize);
    refuseForeignFolder(this.dir);
    removeAbandoned(this.dir);
    this.partial = join(dirname(this.dir), `${partialPrefix(this.dir)}${hostname()}-${process.pid}`);
    if (existsSync(this.partial)) throw new DatasetError(`${this.dir}: this process is writing it already`);
    mkdirSync(this.partial, { recursive: true });
    this.builder = new ShardBuilder(this.labels);
    this.index = new IndexBuilder(this.labels);
    this.rejectFile = openSync(join(this.partial, REJECTS_FILE), "w");
  }

  /** Molecules appended so far. */
  get size(): number {
    return this.index.rows;
  }

  /** @throws ShapeError for a molecule whose arrays do not fit each other */
  append(molecule: Molecule): void {
    this.requireOpen();
    this.appendPacked(packMolecules([molecule], this.labels));
  }

  /** Many at once; shards end where they would if the molecules came one by one. */
  appendPacked(packed: PackedMolecules): void {
    this.requireOpen();
    const count = packedCount(packed);
    for (let from = 0; from < count; ) {
      const to = this.builder.fit(packed, from, { rows: this.shardSize, bytes: MAX_SHARD_BYTES });
      this.builder.append(packed, from, to);
      this.index.append(packed, from, to);
      if (this.builder.rows >= this.shardSize || this.builder.bytes >= MAX_SHARD_BYTES) this.flushShard();
      from = to;
    }
  }

  reject(reject: Reject): void {
    this.requireOpen();
    this.rejectCounts[reject.code] = (this.rejectCounts[reject.code] ?? 0) + 1;
    this.rejectLines.push(`${JSON.stringify(reject)}\n`);
    if (this.rejectLines.length >= REJECT_BUFFER) this.flushRejects();
  }

  /** Writes what is left and the manifest, and gives the folder its name; an older corpus of that name is replaced. */
  finish(origin: CorpusOrigin): Manifest {
    this.requireOpen();
    if (this.builder.rows > 0) this.flushShard();
    this.flushRejects();
    fsyncSync(this.rejectFile);
    const manifest: Manifest = {
      format: CORPUS_FORMAT,
      version: CORPUS_VERSION,
      counts: {
        molecules: this.index.rows,
        with3d: this.index.with3d,
        atoms: this.index.totalAtoms,
        structures: this.index.countStructures(),
        rejects: Object.values(this.rejectCounts).reduce((sum, count) => sum + count, 0),
      },
      rejects: this.rejectCounts,
      notes: origin.notes,
      labels: this.labels,
      shards: this.shards,
      index: this.store(INDEX_FILE, this.index.encode(), this.index.rows),
      sources: origin.sources,
      rdkitVersion: origin.rdkitVersion,
      options: origin.options,
    };
    this.store(MANIFEST_FILE, new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`), 0);
    this.closeFiles();
    this.takeName();
    return manifest;
  }

  /** Gives up and removes what was written. Does nothing after `finish`. */
  abandon(): void {
    if (!this.open) return;
    this.closeFiles();
    rmSync(this.partial, { recursive: true, force: true });
  }

  private requireOpen(): void {
    if (!this.open) throw new DatasetError(`${this.dir}: the writer of this corpus was closed`);
  }

  private closeFiles(): void {
    closeSync(this.rejectFile);
    this.open = false;
  }

  private flushShard(): void {
    const file = `shard-${String(this.shards.length).padStart(5, "0")}.arrow`;
    this.shards.push(this.store(file, this.builder.encode(), this.builder.rows));
    this.builder.clear();
  }

  private flushRejects(): void {
    writeSync(this.rejectFile, this.rejectLines.join(""));
    this.rejectLines = [];
  }

  /** Writes a file and waits until the disk has it, so that the rename never makes an empty file look whole. */
  private store(file: string, bytes: Uint8Array, rows: number): StoredFile {
    const descriptor = openSync(join(this.partial, file), "w");
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    return { file, rows, bytes: bytes.length, sha256: sha256(bytes) };
  }

  private takeName(): void {
    refuseForeignFolder(this.dir);
    const replaced = existsSync(this.dir) ? `${this.partial}${REPLACED}` : undefined;
    if (replaced) renameSync(this.dir, replaced);
    renameSync(this.partial, this.dir);
    if (replaced) rmSync(replaced, { recursive: true, force: true });
  }
}

function checkOptions(labels: readonly string[], shardSize: number): void {
  if (!Number.isInteger(shardSize) || shardSize < 1) {
    throw new ConfigError(`shardSize: expected a positive integer, got ${shardSize}`);
  }
  const taken = new Set([...Object.keys(SHARD_COLUMNS), ...Object.keys(INDEX_COLUMNS)]);
  for (const label of labels) {
    if (taken.has(label)) {
      throw new ConfigError(`label ${JSON.stringify(label)}: expected a name that is neither repeated nor a column`);
    }
    taken.add(label);
  }
}

function refuseForeignFolder(dir: string): void {
  if (!existsSync(dir) || isCorpus(dir)) return;
  if (!statSync(dir).isDirectory()) throw new DatasetError(`${dir}: expected a folder for the corpus, got a file`);
  if (readdirSync(dir).length > 0) {
    throw new DatasetError(`${dir}: expected a corpus or an empty folder, got other files; nothing was overwritten`);
  }
}

/** Clears up after crashed jobs of this machine beside `dir`; what a running job writes stays. */
function removeAbandoned(dir: string): void {
  const parent = dirname(dir);
  if (!existsSync(parent)) return;
  const prefix = `${partialPrefix(dir)}${hostname()}-`;
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(prefix) || isRunning(Number.parseInt(name.slice(prefix.length), 10))) continue;
    // A job that died between its two renames had put the older corpus aside: it gets its name back.
    if (name.endsWith(REPLACED) && !existsSync(dir)) renameSync(join(parent, name), dir);
    else rmSync(join(parent, name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
