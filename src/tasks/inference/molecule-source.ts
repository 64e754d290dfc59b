// Molecules one after another from files, standard input or a corpus, in input order, with those that cannot be used set apart.
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { atomCount, type Molecule, type RawRecord, type Reject } from "../../chem/molecule.js";
import { openCorpus } from "../../data/corpus.js";
import { isCorpus } from "../../data/manifest.js";
import type { ReaderOptions, ReadItem } from "../../data/readers/index.js";
import { ConfigError } from "../../errors.js";
import type { BatchResult, FeaturizeSettings } from "../featurize-batch.js";
import { openFeaturizer } from "../featurize-pool.js";
import { InputReader } from "../input-reader.js";
import { mapOrdered } from "../map-ordered.js";

/** A molecule on its way through a model, and where it came from. */
export interface SourceMolecule {
  readonly file: string;
  /** Number of its record in the file, from 1; of its row in a corpus. */
  readonly record: number;
  readonly name: string;
  readonly atoms: number;
  /** The molecule, or its row in the corpus of the source. */
  readonly content: Molecule | number;
}

export interface SourceOptions {
  readonly hydrogens: boolean;
  readonly maxAtoms: number;
  /** Molecules without coordinates are refused. */
  readonly geometry: boolean;
  readonly reader?: ReaderOptions;
  /** Threads that featurize; one a core by default, 0 for this one. */
  readonly workers?: number;
  readonly onReject?: (reject: Reject) => void;
}

export interface MoleculeSource {
  /** Corpus that rows belong to; null where molecules come whole. */
  readonly corpusDir: string | null;
  /** In input order, some at a time. */
  chunks(): AsyncGenerator<readonly SourceMolecule[]>;
  close(): Promise<void>;
}

const CORPUS_CHUNK = 1024;
const NO_GEOMETRY = "the model takes coordinates (3d mode) and the record has none";

/** @param inputs one corpus folder, or files; "-" is standard input */
export async function openSource(inputs: readonly string[], options: SourceOptions): Promise<MoleculeSource> {
  if (inputs.length === 0) throw new ConfigError('expected files of molecules, "-" or a corpus, got none');
  if (inputs.length === 1 && isCorpus(inputs[0])) return corpusSource(inputs[0], options);
  const spooled = inputs.includes("-") ? await spoolStandardInput() : null;
  const paths = inputs.map((input) => (input === "-" && spooled ? spooled.path : input));
  const name = (file: string) => (spooled && file.startsWith(spooled.path) ? file.replace(spooled.path, "-") : file);
  return {
    corpusDir: null,
    chunks: () => fileChunks(paths, options, name),
    close: async () => spooled?.remove(),
  };
}

/** Standard input as a file: readers look at the beginning of a file to tell its format. */
async function spoolStandardInput(): Promise<{ readonly path: string; remove(): void }> {
  const folder = mkdtempSync(join(tmpdir(), "moleblend-stdin-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const path = join(folder, "stdin");
    await pipeline(process.stdin, createWriteStream(path));
    return { path, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function corpusSource(dir: string, { geometry, onReject }: SourceOptions): Promise<MoleculeSource> {
  const corpus = await openCorpus(dir);
  async function* chunks(): AsyncGenerator<readonly SourceMolecule[]> {
    for (let start = 0; start < corpus.size; start += CORPUS_CHUNK) {
      const chunk: SourceMolecule[] = [];
      for (let row = start; row < Math.min(corpus.size, start + CORPUS_CHUNK); row++) {
        const name = corpus.nameOf(row);
        if (!geometry || corpus.has3d[row]) {
          chunk.push({ file: dir, record: row + 1, name, atoms: corpus.atomCounts[row], content: row });
        } else {
          onReject?.({ file: dir, line: row + 1, record: row + 1, name, code: "no-geometry", reason: NO_GEOMETRY });
        }
      }
      yield chunk;
    }
  }
  return { corpusDir: dir, chunks, close: async () => corpus.close() };
}

async function* fileChunks(
  paths: readonly string[],
  options: SourceOptions,
  nameOf: (file: string) => string,
): AsyncGenerator<readonly SourceMolecule[]> {
  const { hydrogens, maxAtoms, geometry, reader = {}, onReject } = options;
  const settings: FeaturizeSettings = { hydrogens, maxAtoms, labels: [] };
  const reading = new InputReader(paths, { labels: [], reader });
  const featurizer = await openFeaturizer(options.workers ?? availableParallelism(), settings);
  const featurize = async (items: readonly ReadItem[]) => ({ items, result: await featurizer.run(items) });
  try {
    for await (const { items, result } of mapOrdered(reading.batches(), featurize, featurizer.inFlight)) {
      const chunk: SourceMolecule[] = [];
      for (const { record, molecule } of pairUp(items, result)) {
        const { line, record: number, name } = record;
        const file = nameOf(record.file);
        const refused = geometry && !molecule.positions;
        if (refused) onReject?.({ file, line, record: number, name, code: "no-geometry", reason: NO_GEOMETRY });
        else chunk.push({ file, record: number, name: molecule.name, atoms: atomCount(molecule), content: molecule });
      }
      for (const reject of result.rejects) onReject?.({ ...reject, file: nameOf(reject.file) });
      yield chunk;
    }
  } finally {
    await featurizer.close();
  }
}

/** The records that became molecules, beside them: both lists are in input order. */
function pairUp(
  items: readonly ReadItem[],
  { molecules, rejects }: BatchResult,
): { readonly record: RawRecord; readonly molecule: Molecule }[] {
  const key = ({ file, line, record }: { file: string; line: number; record: number }) => `${file}\n${line}\n${record}`;
  const rejected = new Set(rejects.map(key));
  const records = items.filter((item): item is RawRecord => "text" in item && !rejected.has(key(item)));
  return molecules.map((molecule, i) => ({ record: records[i], molecule }));
}
