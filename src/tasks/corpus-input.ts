// What a user names as training data → an open corpus: a prepared folder, or molecule files that are prepared first.
import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { type Corpus, openCorpus } from "../data/corpus.js";
import { isCorpus } from "../data/manifest.js";
import { ConfigError, DatasetError } from "../errors.js";
import { completeConformers, describeConformers } from "./conformer-source.js";
import { type PrepareOptions, type PrepareSummary, prepare } from "./prepare.js";

/** Part of the cache key: files prepared by code that makes other corpora must be prepared anew. */
const CACHE_VERSION = 2;

export interface CorpusInput {
  readonly corpus: Corpus;
  /** What preparing did; null where the corpus was there already. */
  readonly prepared: PrepareSummary | null;
}

/**
 * Opens a corpus folder, or prepares files into `cacheDir` (once: the same files with the same options are found again).
 * @throws DatasetError when the input is neither
 * @throws ConfigError when a corpus is to be read with options that were settled when it was prepared
 */
export async function corpusFromInput(
  inputs: readonly string[],
  cacheDir: string,
  options: PrepareOptions = {},
): Promise<CorpusInput> {
  if (inputs.length === 1 && isCorpus(inputs[0])) {
    refuseReading(inputs[0], options);
    return { corpus: await openCorpus(inputs[0]), prepared: null };
  }
  for (const input of inputs) {
    if (!existsSync(input)) throw new DatasetError(`${input}: no such file or corpus folder`);
    if (statSync(input).isDirectory()) {
      throw new DatasetError(
        `${input}: expected a prepared corpus or a file of molecules, got a folder without a manifest`,
      );
    }
  }
  const { labels = [], hydrogens = false, maxAtoms = 256, reader = {} } = options;
  const conformers = options.conformers && describeConformers(completeConformers(options.conformers));
  const { dataset = null, exclude, excludeStructures = [], perceiveBonds = false } = options;
  const parts = [
    CACHE_VERSION,
    labels,
    hydrogens,
    maxAtoms,
    reader,
    dataset,
    perceiveBonds,
    conformers ?? null,
    excludeStructures,
  ];
  const key = createHash("sha256").update(JSON.stringify(parts));
  const besides = [reader.propertiesTable, exclude, ...excludeStructures].filter((path) => path !== undefined);
  for (const input of [...inputs, ...besides]) {
    const { size, mtimeMs } = statSync(input);
    key.update(JSON.stringify([resolve(input), size, mtimeMs]));
  }
  const name = basename(inputs[0]).replace(/\..*$/, "");
  const dir = join(cacheDir, `${name}-${key.digest("hex").slice(0, 12)}`);
  if (isCorpus(dir)) return { corpus: await openCorpus(dir), prepared: null };
  const prepared = await prepare(inputs, dir, options);
  return { corpus: await openCorpus(dir), prepared };
}

function refuseReading(dir: string, { labels, hydrogens, maxAtoms, reader, conformers }: PrepareOptions): void {
  const given = Object.entries({ labels, hydrogens, maxAtoms, conformers, ...reader }).flatMap(([name, value]) =>
    value === undefined ? [] : [name],
  );
  if (given.length === 0) return;
  throw new ConfigError(
    `${dir}: a prepared corpus; ${given.join(", ")} can only be chosen when it is prepared from its files`,
  );
}
