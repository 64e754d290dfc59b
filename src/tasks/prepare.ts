// Files of molecules → corpus: reads records, featurizes them on all cores, and writes shards in input order.

import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { loadRdkit } from "../chem/rdkit.js";
import { CorpusWriter } from "../data/corpus-writer.js";
import { MANIFEST_FILE, type Manifest, REJECTS_FILE, type SourceFile } from "../data/manifest.js";
import { isReject, type ReaderOptions, type ReadItem, readRecords } from "../data/readers/index.js";
import { ConfigError, DatasetError } from "../errors.js";
import type { BatchResult } from "./featurize-batch.js";
import { openFeaturizer } from "./featurize-pool.js";
import { mapOrdered } from "./map-ordered.js";

export interface PrepareOptions {
  /** Columns or property tags to keep as labels. */
  readonly labels?: readonly string[];
  /** Keep hydrogens as atoms; off by default. */
  readonly hydrogens?: boolean;
  /** Molecules with more atoms are rejected; 256 by default (reference `max_node`). */
  readonly maxAtoms?: number;
  /** Featurizing threads; one a core by default, 0 to work in this thread. */
  readonly workers?: number;
  /** Molecules a shard. */
  readonly shardSize?: number;
  /** How the inputs are read. */
  readonly reader?: Omit<ReaderOptions, "onBytes">;
  readonly onProgress?: (progress: PrepareProgress) => void;
  /** Ends the job early; nothing is left behind. */
  readonly signal?: AbortSignal;
}

export interface PrepareProgress {
  readonly file: string;
  /** Bytes of the inputs read so far, as they lie on disk. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly molecules: number;
  readonly rejects: number;
}

export interface PrepareSummary {
  readonly outDir: string;
  readonly manifestPath: string;
  readonly rejectsPath: string;
  readonly records: number;
  readonly molecules: number;
  readonly with3d: number;
  readonly structures: number;
  readonly atoms: number;
  /** Rejects by code. */
  readonly rejects: Readonly<Record<string, number>>;
  /** Remarks on molecules that were kept, by kind. */
  readonly notes: Readonly<Record<string, number>>;
  readonly workers: number;
  readonly seconds: number;
  readonly moleculesPerSecond: number;
}

const DEFAULT_MAX_ATOMS = 256;
/** Records that travel to a thread together, and the characters of text at which a batch is full before that. */
const BATCH_RECORDS = 256;
const BATCH_CHARACTERS = 2 ** 20;
/** Records of a file after which a label that none of them has is taken for a mistake. */
const LABEL_PROBE = 1000;

/**
 * Makes a corpus of molecule files. Records that cannot be used go to the rejects file; the job goes on.
 *
 * @throws DatasetError when an input cannot be read, a label column does not exist, `outDir` holds other files, or
 *   no molecule is left
 * @throws ConfigError for impossible options
 */
export async function prepare(
  inputs: readonly string[],
  outDir: string,
  options: PrepareOptions = {},
): Promise<PrepareSummary> {
  const started = performance.now();
  const settings = {
    labels: options.labels ?? [],
    hydrogens: options.hydrogens ?? false,
    maxAtoms: options.maxAtoms ?? DEFAULT_MAX_ATOMS,
  };
  const workers = options.workers ?? availableParallelism();
  checkOptions(inputs, settings.maxAtoms, workers);
  const { shardSize } = options;
  const writer = new CorpusWriter(outDir, {
    labels: settings.labels,
    ...(shardSize === undefined ? {} : { shardSize }),
  });
  try {
    const reading = new InputReader(inputs, settings.labels, options);
    const tally = await featurizeAll(reading, writer, workers, settings, options);
    if (writer.size === 0) throw new DatasetError(nothingLeft(inputs, reading, tally));
    const { version } = await loadRdkit();
    const origin = { sources: reading.sources, rdkitVersion: version, options: { ...settings }, notes: tally.notes };
    const manifest = writer.finish(origin);
    return summarize(outDir, manifest, workers, (performance.now() - started) / 1000);
  } catch (error) {
    writer.abandon();
    throw error;
  }
}

function checkOptions(inputs: readonly string[], maxAtoms: number, workers: number): void {
  if (inputs.length === 0) throw new ConfigError("prepare: expected at least one input file, got none");
  if (!Number.isInteger(maxAtoms) || maxAtoms < 1) {
    throw new ConfigError(`maxAtoms: expected a positive integer, got ${maxAtoms}`);
  }
  if (!Number.isInteger(workers) || workers < 0) {
    throw new ConfigError(`workers: expected 0 or a positive integer, got ${workers}`);
  }
}

interface Tally {
  readonly notes: Record<string, number>;
  rejects: number;
  firstReject: string;
}

async function featurizeAll(
  reading: InputReader,
  writer: CorpusWriter,
  workers: number,
  settings: { labels: readonly string[]; hydrogens: boolean; maxAtoms: number },
  { onProgress, signal }: PrepareOptions,
): Promise<Tally> {
  const tally: Tally = { notes: {}, rejects: 0, firstReject: "" };
  const featurizer = await openFeaturizer(workers, settings);
  try {
    for await (const result of mapOrdered(reading.batches(), (items) => featurizer.run(items), featurizer.inFlight)) {
      signal?.throwIfAborted();
      store(result, writer, tally);
      onProgress?.({ ...reading.progress(), molecules: writer.size, rejects: tally.rejects });
    }
  } finally {
    await featurizer.close();
  }
  return tally;
}

function store(result: BatchResult, writer: CorpusWriter, tally: Tally): void {
  for (const molecule of result.molecules) writer.append(molecule);
  for (const reject of result.rejects) {
    writer.reject(reject);
    tally.firstReject ||= `${reject.file}:${reject.line}: ${reject.reason}`;
  }
  tally.rejects += result.rejects.length;
  for (const [kind, count] of Object.entries(result.notes)) tally.notes[kind] = (tally.notes[kind] ?? 0) + count;
}

/** Reads the inputs one after another in batches, and knows how far it is. */
class InputReader {
  readonly sources: SourceFile[] = [];
  private file = "";
  private fileBytes = 0;
  private finishedBytes = 0;
  private readonly totalBytes: number;

  constructor(
    private readonly inputs: readonly string[],
    private readonly labels: readonly string[],
    private readonly options: PrepareOptions,
  ) {
    this.totalBytes = inputs.reduce((sum, path) => sum + fileSize(path), 0);
  }

  get records(): number {
    return this.sources.reduce((sum, source) => sum + source.records, 0);
  }

  progress(): Pick<PrepareProgress, "file" | "bytes" | "totalBytes"> {
    return { file: this.file, bytes: this.finishedBytes + this.fileBytes, totalBytes: this.totalBytes };
  }

  async *batches(): AsyncGenerator<ReadItem[]> {
    for (const path of this.inputs) {
      this.file = path;
      this.fileBytes = 0;
      yield* this.batchesOf(path);
      this.finishedBytes += fileSize(path);
      this.fileBytes = 0;
    }
  }

  private async *batchesOf(path: string): AsyncGenerator<ReadItem[]> {
    const probe = new LabelProbe(path, this.labels);
    const onBytes = (read: number) => {
      this.fileBytes = read;
    };
    let items: ReadItem[] = [];
    let characters = 0;
    let records = 0;
    for await (const item of readRecords(path, { ...this.options.reader, onBytes })) {
      records++;
      if (isReject(item)) {
        items.push(item);
      } else {
        probe.see(item.properties);
        items.push({ ...item, properties: pick(item.properties, this.labels) });
        characters += item.text.length;
      }
      if (items.length >= BATCH_RECORDS || characters >= BATCH_CHARACTERS) {
        yield items;
        items = [];
        characters = 0;
      }
    }
    probe.end();
    this.sources.push({ path, bytes: fileSize(path), records });
    if (items.length > 0) yield items;
  }
}

/** Notices a label that a file does not have, before the whole file is read. */
class LabelProbe {
  private readonly missing: Set<string>;
  private readonly seen = new Set<string>();
  private records = 0;

  constructor(
    private readonly path: string,
    labels: readonly string[],
  ) {
    this.missing = new Set(labels);
  }

  /** @throws DatasetError once enough records have been seen without a label */
  see(properties: Readonly<Record<string, string>>): void {
    this.records++;
    if (this.missing.size === 0) return;
    for (const name of Object.keys(properties)) {
      this.seen.add(name);
      this.missing.delete(name);
    }
    if (this.records >= LABEL_PROBE) this.end();
  }

  /** @throws DatasetError when records were seen and none had some label */
  end(): void {
    if (this.missing.size === 0 || this.records === 0) return;
    const missing = [...this.missing].map((name) => JSON.stringify(name)).join(", ");
    const existing = this.seen.size > 0 ? [...this.seen].join(", ") : "none at all";
    const probed = this.records >= LABEL_PROBE ? ` in its first ${this.records} records` : "";
    throw new DatasetError(`${this.path}: label ${missing}: expected one of its columns, got${probed}: ${existing}`);
  }
}

function pick(properties: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) if (properties[name] !== undefined) picked[name] = properties[name];
  return picked;
}

/** 0 for what cannot be read: the reader says so in its own words. */
function fileSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function nothingLeft(inputs: readonly string[], reading: InputReader, tally: Tally): string {
  const first = tally.firstReject ? `; the first: ${tally.firstReject}` : "";
  return `${inputs.join(", ")}: expected molecules, got ${reading.records} records of which none can be used${first}`;
}

function summarize(outDir: string, manifest: Manifest, workers: number, seconds: number): PrepareSummary {
  const { molecules, with3d, structures, atoms } = manifest.counts;
  return {
    outDir,
    manifestPath: join(outDir, MANIFEST_FILE),
    rejectsPath: join(outDir, REJECTS_FILE),
    records: manifest.sources.reduce((sum, source) => sum + source.records, 0),
    molecules,
    with3d,
    structures,
    atoms,
    rejects: manifest.rejects,
    notes: manifest.notes,
    workers,
    seconds,
    moleculesPerSecond: molecules / seconds,
  };
}
