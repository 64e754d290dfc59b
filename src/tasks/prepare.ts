// Files of molecules → corpus: reads records, featurizes them on all cores, and writes shards in input order.

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { RDKIT_VERSION } from "../chem/rdkit.js";
import { connectivityKey } from "../chem/structure-key.js";
import { CorpusWriter } from "../data/corpus-writer.js";
import { MANIFEST_FILE, type Manifest, REJECTS_FILE } from "../data/manifest.js";
import { unpackMolecules } from "../data/packed-molecules.js";
import type { ReaderOptions, ReadItem } from "../data/readers/index.js";
import { ConfigError, DatasetError } from "../errors.js";
import { completeConformers, describeConformers } from "./conformer-source.js";
import type { FeaturizeSettings, PackedBatchResult } from "./featurize-batch.js";
import { openFeaturizer } from "./featurize-pool.js";
import { InputReader } from "./input-reader.js";
import { mapOrdered } from "./map-ordered.js";
import { resolveInputs } from "./resolve-inputs.js";

export interface PrepareOptions {
  /** Columns or property tags to keep as labels; those of `dataset` by default. */
  readonly labels?: readonly string[];
  /** Name of a data set that is known (see `LABELLED_SETS`): says which columns hold SMILES and labels. */
  readonly dataset?: string;
  /** File that lists molecules to leave out (see `readExclusions`); they are counted as rejects. */
  readonly exclude?: string;
  /** Files of molecules whose structures, stereochemistry aside, are left out; such records are counted as rejects. */
  readonly excludeStructures?: readonly string[];
  /** Guess the bonds of XYZ records that give none from the distances of their atoms (see `perceiveBonds`). */
  readonly perceiveBonds?: boolean;
  /** Keep hydrogens as atoms; off by default. */
  readonly hydrogens?: boolean;
  /** Molecules with more atoms are rejected; 256 by default (reference `max_node`). */
  readonly maxAtoms?: number;
  /** Generate geometries for records that have none. */
  readonly conformers?: PrepareConformers;
  /** Featurizing threads; one a core by default, 0 to work in this thread. */
  readonly workers?: number;
  /** Molecules a shard. */
  readonly shardSize?: number;
  /** How the inputs are read. */
  readonly reader?: Omit<ReaderOptions, "onBytes" | "onColumns" | "properties">;
  readonly onProgress?: (progress: PrepareProgress) => void;
  /** Ends the job early; nothing is left behind. */
  readonly signal?: AbortSignal;
}

export interface PrepareConformers {
  /** Geometries of each structure; each becomes a molecule of the corpus, by rising energy. */
  readonly count: number;
  /** 0 by default. */
  readonly seed?: number;
  /** Seconds a molecule; 10 by default. */
  readonly timeout?: number;
  /** Folder that keeps geometries from run to run; none by default. */
  readonly cacheDir?: string;
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
  /** Inputs that could be read in part only, and why; what came before is in the corpus. */
  readonly damaged: readonly { readonly path: string; readonly reason: string }[];
  readonly workers: number;
  readonly seconds: number;
  readonly moleculesPerSecond: number;
}

const DEFAULT_MAX_ATOMS = 256;
/** Records of a batch when each takes a thousand times as long as without generating geometries. */
const CONFORMER_BATCH = 8;

/**
 * Makes a corpus of molecule files. Records that cannot be used go to the rejects file; the job goes on. An input that
 * breaks off (damaged gzip, for instance) gives what was readable, and is listed as `damaged`.
 *
 * @throws DatasetError when an input cannot be read at all, holds no structure though it says what to leave out, a label column does not exist, `outDir` holds other files, or
 *   no molecule is left
 * @throws ConfigError for impossible options
 */
export async function prepare(
  inputs: readonly string[],
  outDir: string,
  options: PrepareOptions = {},
): Promise<PrepareSummary> {
  const started = performance.now();
  const workers = options.workers ?? availableParallelism();
  const maxAtoms = options.maxAtoms ?? DEFAULT_MAX_ATOMS;
  checkOptions(inputs, maxAtoms, workers);
  const { labels, reader } = await resolveInputs(inputs, options);
  const { hydrogens = false, perceiveBonds = false } = options;
  const conformers = options.conformers && completeConformers(options.conformers);
  const excluded = await structuresOf(options.excludeStructures ?? [], workers, hydrogens, options.signal);
  const settings = { labels, hydrogens, maxAtoms, perceiveBonds, ...(conformers && { conformers }) };
  const { shardSize } = options;
  const writer = new CorpusWriter(outDir, {
    labels,
    ...(shardSize === undefined ? {} : { shardSize }),
  });
  try {
    const reading = new InputReader(inputs, {
      labels,
      reader,
      exclude: options.exclude,
      ...(conformers && { batchRecords: CONFORMER_BATCH }),
    });
    const tally = await featurizeAll(reading, writer, workers, { ...settings, ...(excluded && { excluded }) }, options);
    if (writer.size === 0) throw new DatasetError(nothingLeft(inputs, reading, tally));
    const origin = {
      sources: reading.sources,
      rdkitVersion: RDKIT_VERSION,
      options: {
        ...settings,
        ...(conformers && { conformers: describeConformers(conformers) }),
        ...(excluded && { excludedStructures: excluded.size }),
      },
      notes: tally.notes,
    };
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

/** What becomes of each batch of records, in their order. */
async function* featurized(
  reading: InputReader,
  workers: number,
  settings: FeaturizeSettings,
  signal: AbortSignal | undefined,
): AsyncGenerator<PackedBatchResult> {
  const featurizer = await openFeaturizer(workers, settings);
  try {
    const run = (items: readonly ReadItem[]) => featurizer.runPacked(items);
    for await (const result of mapOrdered(reading.batches(), run, featurizer.inFlight)) {
      signal?.throwIfAborted();
      yield result;
    }
  } finally {
    await featurizer.close();
  }
}

async function featurizeAll(
  reading: InputReader,
  writer: CorpusWriter,
  workers: number,
  settings: FeaturizeSettings,
  { onProgress, signal }: PrepareOptions,
): Promise<Tally> {
  const tally: Tally = { notes: {}, rejects: 0, firstReject: "" };
  for await (const result of featurized(reading, workers, settings, signal)) {
    store(result, writer, tally);
    onProgress?.({ ...reading.progress(), molecules: writer.size, rejects: tally.rejects });
  }
  return tally;
}

/** Keys of all structures of these files; records without a structure cannot be in a corpus either. Null without files. */
async function structuresOf(
  files: readonly string[],
  workers: number,
  hydrogens: boolean,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<string> | null> {
  if (files.length === 0) return null;
  const keys = new Set<string>();
  const settings = { labels: [], hydrogens, maxAtoms: Number.MAX_SAFE_INTEGER };
  for await (const { molecules } of featurized(
    new InputReader(files, { labels: [], reader: {} }),
    workers,
    settings,
    signal,
  )) {
    for (const { atomFeatures, bonds, bondFeatures } of unpackMolecules(molecules))
      keys.add(connectivityKey(atomFeatures, bonds, bondFeatures));
  }
  if (keys.size === 0)
    throw new DatasetError(`${files.join(", ")}: expected structures to leave out, got none that can be read`);
  return keys;
}

function store(result: PackedBatchResult, writer: CorpusWriter, tally: Tally): void {
  writer.appendPacked(result.molecules);
  for (const reject of result.rejects) {
    writer.reject(reject);
    tally.firstReject ||= `${reject.file}:${reject.line}: ${reject.reason}`;
  }
  tally.rejects += result.rejects.length;
  for (const [kind, count] of Object.entries(result.notes)) tally.notes[kind] = (tally.notes[kind] ?? 0) + count;
}

function nothingLeft(inputs: readonly string[], reading: InputReader, tally: Tally): string {
  const damage = reading.sources.find((source) => source.damage !== undefined)?.damage;
  const first = [damage && `; ${damage}`, tally.firstReject && `; the first: ${tally.firstReject}`].join("");
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
    damaged: manifest.sources.flatMap(({ path, damage }) => (damage === undefined ? [] : [{ path, reason: damage }])),
    workers,
    seconds,
    moleculesPerSecond: molecules / seconds,
  };
}
