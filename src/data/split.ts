// Seeded splits of a corpus in which all conformers of a structure are on one side.

import { ConfigError } from "../errors.js";
import { Random } from "../random.js";
import { releaseMemory } from "./release-memory.js";

export interface SplitFractions {
  /** Share of the structures for validation; 0.05 by default. */
  readonly validation?: number;
  /** Share of the structures for testing; none by default. */
  readonly test?: number;
}

/** Molecule numbers in ascending order; every molecule is in exactly one of them. */
export interface Split {
  readonly train: Int32Array;
  readonly validation: Int32Array;
  readonly test: Int32Array;
}

/**
 * Splits molecules by their structure keys. A structure's side follows from the set of keys and the seed, not from
 * the order of the rows. The shares are of distinct structures, rounded, but at least one where a share was asked for
 * and enough structures are there.
 *
 * @throws ConfigError when the shares are not in [0, 1) or leave nothing to train on
 */
export function splitCorpus(keys: BigUint64Array, fractions: SplitFractions, seed: number): Split {
  const validation = fractions.validation ?? 0.05;
  const test = fractions.test ?? 0;
  if (!(validation >= 0 && test >= 0 && validation + test < 1)) {
    throw new ConfigError(`split: expected shares of at least 0 and below 1 in all, got ${validation} and ${test}`);
  }
  const ranks = structureRanks(keys, seed);
  // All rows of a structure have one rank, so cutting between ranks never divides a structure.
  const distinct = distinctSorted(ranks.slice());
  const count = (share: number, available: number) =>
    share > 0 && available > 1 ? Math.min(available - 1, Math.max(1, Math.round(share * distinct.length))) : 0;
  const tests = count(test, distinct.length);
  const validations = count(validation, distinct.length - tests);
  const testBound = distinct[tests] ?? 0;
  const validationBound = distinct[tests + validations] ?? 0;
  const split = {
    test: rowsWhere(ranks, (rank) => rank < testBound),
    validation: rowsWhere(ranks, (rank) => rank >= testBound && rank < validationBound),
    train: rowsWhere(ranks, (rank) => rank >= validationBound),
  };
  releaseMemory([ranks.buffer, distinct.buffer]);
  return split;
}

/** A uniform 53-bit number a row, equal for equal keys. */
function structureRanks(keys: BigUint64Array, seed: number): Float64Array<ArrayBuffer> {
  const base = Random.fromSeed(seed).split("split");
  const words = new Uint32Array(keys.buffer, keys.byteOffset, keys.length * 2);
  const ranks = new Float64Array(keys.length);
  for (let row = 0; row < ranks.length; row++) {
    const random = base.split(words[2 * row], words[2 * row + 1]);
    ranks[row] = (random.uint32() >>> 11) * 2 ** 32 + random.uint32();
  }
  return ranks;
}

/** Sorts in place; the distinct values, ascending, are a view of the same memory. */
function distinctSorted(values: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  values.sort();
  let count = 0;
  for (let at = 0; at < values.length; at++) {
    if (count === 0 || values[at] !== values[count - 1]) values[count++] = values[at];
  }
  return values.subarray(0, count);
}

function rowsWhere(ranks: Float64Array, wanted: (rank: number) => boolean): Int32Array {
  let count = 0;
  for (const rank of ranks) if (wanted(rank)) count++;
  const rows = new Int32Array(count);
  for (let row = 0, at = 0; row < ranks.length; row++) if (wanted(ranks[row])) rows[at++] = row;
  return rows;
}
