// Which molecules form a batch in which order: batches of like sizes under a budget, or of a fixed number.

import { ConfigError } from "../errors.js";
import { Random } from "../random.js";

/** T is the padded number of tokens of a batch: its largest molecule and the graph token. B is its molecules. */
export interface BatchOptions {
  /** Largest B·T² (attention scores and relation pairs). No limit by default. */
  readonly maxPairs?: number;
  /** Largest B·T. No limit by default. */
  readonly maxTokens?: number;
  /** Largest B. No limit by default. */
  readonly maxMolecules?: number;
  /** Molecules that are sorted by size together; 8192 by default. Larger pads less and mixes less. */
  readonly window?: number;
  /** Exactly this many molecules a batch (the last has the rest), in random order, like the reference. */
  readonly fixed?: number;
}

/** The batches of one epoch. */
export interface BatchPlan {
  /** Molecule numbers of each batch. */
  readonly batches: readonly Int32Array[];
  /** Tokens of molecules, graph tokens included, over B·T of all batches. 1 = nothing is padded. */
  readonly tokenEfficiency: number;
  /** The same for pairs: sum of (atoms + 1)² over B·T². */
  readonly pairEfficiency: number;
  /** Molecules that exceed a budget on their own; each has a batch for itself. */
  readonly overBudget: number;
}

const DEFAULT_WINDOW = 8192;

/**
 * The batches of an epoch; a function of its arguments alone, so any epoch can be had without those before it.
 *
 * @param molecules numbers of the molecules to use, in any fixed order
 * @param atomCounts atoms of every molecule of the corpus
 * @throws ConfigError for budgets that are not positive integers or none at all
 */
export function planBatches(
  molecules: Int32Array,
  atomCounts: Uint16Array,
  options: BatchOptions,
  seed: number,
  epoch: number,
): BatchPlan {
  checkOptions(options);
  const random = Random.fromSeed(seed).split("batches", epoch);
  const order = random.split("molecules").shuffle(Int32Array.from(molecules));
  if (options.fixed !== undefined) return measure(cutFixed(order, options.fixed), atomCounts, options);
  const batches: Int32Array[] = [];
  const window = options.window ?? DEFAULT_WINDOW;
  for (let start = 0; start < order.length; start += window) {
    const sorted = sortBySize(order.subarray(start, start + window), atomCounts);
    cutByBudget(sorted, atomCounts, options, batches);
  }
  return measure(random.split("order").shuffle(batches), atomCounts, options);
}

function checkOptions(options: BatchOptions): void {
  const names = ["maxPairs", "maxTokens", "maxMolecules", "window", "fixed"] as const;
  for (const name of names) {
    const value = options[name];
    if (value !== undefined && !(Number.isInteger(value) && value > 0)) {
      throw new ConfigError(`${name}: expected a positive integer, got ${value}`);
    }
  }
  const { maxPairs, maxTokens, maxMolecules, fixed } = options;
  if ((maxPairs ?? maxTokens ?? maxMolecules ?? fixed) === undefined) {
    throw new ConfigError("batches: expected at least one of maxPairs, maxTokens, maxMolecules, fixed, got none");
  }
}

/** Ascending in size; molecules of one size keep their shuffled order. */
function sortBySize(molecules: Int32Array, atomCounts: Uint16Array): Int32Array {
  const count = molecules.length;
  const sortable = Float64Array.from(molecules, (molecule, at) => atomCounts[molecule] * count + at).sort();
  return Int32Array.from(sortable, (value) => molecules[value % count]);
}

function cutByBudget(
  sorted: Int32Array,
  atomCounts: Uint16Array,
  { maxPairs = Infinity, maxTokens = Infinity, maxMolecules = Infinity }: BatchOptions,
  batches: Int32Array[],
): void {
  let begin = 0;
  for (let at = 0; at < sorted.length; at++) {
    // Sorted ascending, so the newest molecule sets the padded size.
    const tokens = atomCounts[sorted[at]] + 1;
    const size = at - begin + 1;
    const fits = size * tokens * tokens <= maxPairs && size * tokens <= maxTokens && size <= maxMolecules;
    if (fits || size === 1) continue;
    batches.push(sorted.slice(begin, at));
    begin = at;
  }
  if (begin < sorted.length) batches.push(sorted.slice(begin));
}

function cutFixed(order: Int32Array, size: number): Int32Array[] {
  const batches: Int32Array[] = [];
  for (let at = 0; at < order.length; at += size) batches.push(order.slice(at, at + size));
  return batches;
}

function measure(batches: readonly Int32Array[], atomCounts: Uint16Array, options: BatchOptions): BatchPlan {
  const { maxPairs = Infinity, maxTokens = Infinity } = options;
  let tokens = 0;
  let pairs = 0;
  let paddedTokens = 0;
  let paddedPairs = 0;
  let overBudget = 0;
  for (const batch of batches) {
    let largest = 0;
    for (const molecule of batch) {
      const own = atomCounts[molecule] + 1;
      tokens += own;
      pairs += own * own;
      largest = Math.max(largest, own);
    }
    paddedTokens += batch.length * largest;
    paddedPairs += batch.length * largest * largest;
    if (options.fixed === undefined && batch.length === 1 && (largest > maxTokens || largest * largest > maxPairs)) {
      overBudget++;
    }
  }
  const ratio = (used: number, padded: number) => (padded > 0 ? used / padded : 1);
  return {
    batches,
    tokenEfficiency: ratio(tokens, paddedTokens),
    pairEfficiency: ratio(pairs, paddedPairs),
    overBudget,
  };
}
