// Where featurizing gets geometries for records that have none: generated, or found in the cache.
import {
  CONFORMER_RULES,
  type ConformerSettings,
  type GeneratedConformers,
  generateConformers,
  positionsInRecordOrder,
} from "../chem/conformers.js";
import { loadOpenChemLib } from "../chem/openchemlib.js";
import type { Rdkit } from "../chem/rdkit.js";
import type { Skeleton } from "../chem/skeleton.js";
import { ConfigError } from "../errors.js";
import { type ConformerCache, conformerKey, openConformerCache } from "./conformer-cache.js";

export interface ConformerOptions extends ConformerSettings {
  /** Folder of geometries that were generated before; none by default. */
  readonly cacheDir?: string;
}

export const DEFAULT_CONFORMER_SEED = 0;
/** Seconds a molecule. */
export const DEFAULT_CONFORMER_TIMEOUT = 10;

export interface ConformerSource {
  /** Geometries over the atoms of the record, by energy; and remarks, each the kind that is counted. */
  conformersOf(skeleton: Skeleton): { readonly positions: readonly Float32Array[]; readonly notes: readonly string[] };
  close(): void;
}

/** @throws ConfigError for impossible values */
export function completeConformers(given: {
  readonly count: number;
  readonly seed?: number;
  readonly timeout?: number;
  readonly cacheDir?: string;
}): ConformerOptions {
  const { count, seed = DEFAULT_CONFORMER_SEED, timeout = DEFAULT_CONFORMER_TIMEOUT, cacheDir } = given;
  if (!Number.isInteger(count) || count < 1)
    throw new ConfigError(`conformers: expected a positive number, got ${count}`);
  if (!Number.isSafeInteger(seed)) throw new ConfigError(`conformer seed: expected an integer, got ${seed}`);
  if (!(timeout > 0)) throw new ConfigError(`conformer timeout: expected seconds above 0, got ${timeout}`);
  return { count, seed, timeout, ...(cacheDir === undefined ? {} : { cacheDir }) };
}

/** What geometries depend on, for the manifest; the cache is not part of it. */
export function describeConformers({ count, seed, timeout }: ConformerOptions): Readonly<Record<string, number>> {
  return { count, seed, timeout, rules: CONFORMER_RULES };
}

/** @param writer tells the cache files of the threads of a process apart */
export async function openConformerSource(
  rdkit: Rdkit,
  options: ConformerOptions,
  writer: string,
): Promise<ConformerSource> {
  const openChemLib = await loadOpenChemLib();
  const cache = options.cacheDir === undefined ? undefined : openConformerCache(options.cacheDir, writer);
  const { count, seed, effort = 0 } = options;
  const versions = [CONFORMER_RULES, rdkit.version, openChemLib.version];
  const generate = (smiles: string) =>
    cached(cache, conformerKey([...versions, count, seed, effort, smiles]), () =>
      generateConformers(rdkit, openChemLib, smiles, options),
    );
  return {
    conformersOf(skeleton) {
      const found = generate(skeleton.smiles);
      if (found.failure !== null) return { positions: [], notes: [`no-conformer: ${found.failure.split(":", 1)[0]}`] };
      const positions = positionsInRecordOrder(found, skeleton);
      if (!positions) return { positions: [], notes: ["no-conformer: canonical SMILES differs"] };
      return { positions, notes: remarks(found, count) };
    },
    close: () => cache?.close(),
  };
}

/** What a time limit cut short depends on the machine's load: it is not kept. */
function cached(cache: ConformerCache | undefined, key: string, make: () => GeneratedConformers): GeneratedConformers {
  const known = cache?.get(key);
  if (known) return known;
  const found = make();
  if (!found.timedOut) cache?.put(key, found);
  return found;
}

function remarks({ energies, positions, timedOut }: GeneratedConformers, wanted: number): string[] {
  const notes = ["generated-conformer"];
  if (Number.isNaN(energies[0])) notes.push("conformer-without-mmff94");
  if (positions.length < wanted)
    notes.push(timedOut ? "fewer-conformers: timeout" : "fewer-conformers: no other shape");
  return notes;
}
