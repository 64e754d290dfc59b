// Splits of labelled molecules for fine-tuning: at random, by label, by scaffold, as published, or in folds.
import { ConfigError } from "../errors.js";
import { Random } from "../random.js";
import type { Split } from "./split.js";

/**
 * - random: structures in random order
 * - stratified: every range of labels in equal shares
 * - scaffold: the largest scaffolds train, the rarest test; no chance in it (DeepChem, MoleculeNet)
 * - random-scaffold: scaffolds in random order fill validation and test as far as they fit, the rest trains (Hu et al. 2020)
 * - k-fold: fold `fold` tests, the next one validates
 * - given: as `assignments` say (a column of the file, or a file each)
 */
export const SPLIT_METHODS = ["random", "stratified", "scaffold", "random-scaffold", "k-fold", "given"] as const;
export type SplitMethod = (typeof SPLIT_METHODS)[number];

export interface TaskSplitOptions {
  readonly method: SplitMethod;
  /** Structure keys; rows of one structure are never on two sides. [molecules] */
  readonly keys: BigUint64Array;
  /** Scaffold of each molecule; needed by scaffold and random-scaffold. [molecules] */
  readonly scaffolds?: readonly string[];
  /** One label a molecule, NaN where missing; needed by stratified. [molecules] */
  readonly labels?: Float64Array;
  /** Needed by given: train, valid, validation, val, dev or test, whatever the case. [molecules] */
  readonly assignments?: readonly string[];
  /** Shares of validation and test, 0.1 each by default. k-fold and given do not use them. */
  readonly fractions?: { readonly validation?: number; readonly test?: number };
  readonly seed: number;
  /** Which of the `folds` tests, from 0. */
  readonly fold?: number;
  /** At least 3; 5 by default. */
  readonly folds?: number;
}

/** Numbers of rows in ascending order. */
export interface TaskSplit extends Split {
  /** Rows of a given split left out because a row of their structure is nearer to the test; empty for all other methods. */
  readonly dropped: Int32Array;
}

/** Rows that must stay together, ascending. */
type Group = readonly number[];
type Side = "train" | "validation" | "test";

/** @throws ConfigError when the method lacks what it needs, the shares are impossible, or nothing is left to train on */
export function splitForTask(options: TaskSplitOptions): TaskSplit {
  const { method } = options;
  if (method === "given") return givenSplit(options);
  const sides = sidesOf(options);
  const split = { ...collect(sides, structuresOf(options.keys)), dropped: new Int32Array(0) };
  if (split.train.length === 0)
    throw new ConfigError(`${method} split of ${options.keys.length} molecules: nothing is left to train on`);
  return split;
}

/** The side of each structure, in the order of `structuresOf`. */
function sidesOf(options: TaskSplitOptions): Side[] {
  const { method, keys, seed } = options;
  const structures = structuresOf(keys);
  const shares = sharesOf(options);
  const sides = new Array<Side>(structures.length).fill("train");
  const assign = (numbers: readonly number[], side: Side) => {
    for (const number of numbers) sides[number] = side;
  };
  const random = Random.fromSeed(seed).split("task-split", method);
  const shuffled = shuffledStructures(structures, keys, random);
  if (method === "random") {
    const tests = countOf(shares.test, structures.length);
    assign(shuffled.slice(0, tests), "test");
    assign(shuffled.slice(tests, tests + countOf(shares.validation, structures.length)), "validation");
  } else if (method === "k-fold") {
    const { fold, folds } = foldsOf(options, structures.length);
    shuffled.forEach((number, i) => {
      if (i % folds === fold) sides[number] = "test";
      else if (i % folds === (fold + 1) % folds) sides[number] = "validation";
    });
  } else if (method === "stratified") {
    const labels = needed(options.labels, "labels", options);
    stratify(shuffled, structures, labels, shares, random.split("blocks"), assign);
  } else {
    const families = scaffoldFamilies(structures, needed(options.scaffolds, "scaffolds", options));
    if (method === "scaffold") cutBySize(families, structures, keys.length, shares, assign);
    else fillAtRandom(families, structures, keys.length, shares, random, assign);
  }
  return sides;
}

function needed<T extends { readonly length: number }>(
  values: T | undefined,
  what: string,
  options: TaskSplitOptions,
): T {
  if (values?.length === options.keys.length) return values;
  const got = values ? `${values.length} for ${options.keys.length} molecules` : "none";
  throw new ConfigError(`${options.method} split: expected ${what}, one a molecule, got ${got}`);
}

function sharesOf({ method, fractions }: TaskSplitOptions): { validation: number; test: number } {
  const validation = fractions?.validation ?? 0.1;
  const test = fractions?.test ?? 0.1;
  if (!(validation >= 0 && test >= 0 && validation + test < 1))
    throw new ConfigError(
      `${method} split: expected shares of at least 0 and below 1 in all, got ${validation} and ${test}`,
    );
  return { validation, test };
}

function foldsOf({ fold = 0, folds = 5 }: TaskSplitOptions, structures: number): { fold: number; folds: number } {
  if (!(Number.isInteger(folds) && folds >= 3 && folds <= structures))
    throw new ConfigError(`k-fold split: expected 3 to ${structures} folds (the distinct structures), got ${folds}`);
  if (!(Number.isInteger(fold) && fold >= 0 && fold < folds))
    throw new ConfigError(`k-fold split: expected a fold from 0 to ${folds - 1}, got ${fold}`);
  return { fold, folds };
}

/** Rows of equal keys, in the order of their first rows. */
function structuresOf(keys: BigUint64Array): Group[] {
  return groupRows([...keys.keys()], (row) => keys[row]);
}

function groupRows<K>(items: readonly number[], keyOf: (item: number) => K): number[][] {
  const groups = new Map<K, number[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return [...groups.values()];
}

/** Numbers of structures in an order that follows from their keys and the seed, not from the order of the file. */
function shuffledStructures(structures: readonly Group[], keys: BigUint64Array, random: Random): number[] {
  const rank = structures.map(([row]) => {
    const key = keys[row];
    const draws = random.split(Number(key & 0xffffffffn), Number(key >> 32n));
    return draws.uint32() * 2 ** 21 + (draws.uint32() >>> 11);
  });
  return [...structures.keys()].sort((a, b) => rank[a] - rank[b]);
}

/** A share of the structures, at least one where a share was asked for and there are enough. */
function countOf(share: number, available: number): number {
  return share > 0 && available > 2 ? Math.max(1, Math.round(share * available)) : 0;
}

/** Ten neighbours in order of label are shuffled; each then goes to the side that lacks most. */
function stratify(
  shuffled: readonly number[],
  structures: readonly Group[],
  labels: Float64Array,
  shares: { validation: number; test: number },
  random: Random,
  assign: (numbers: readonly number[], side: Side) => void,
): void {
  const label = (number: number) => {
    const row = structures[number].find((candidate) => !Number.isNaN(labels[candidate]));
    return row === undefined ? Number.POSITIVE_INFINITY : labels[row];
  };
  // Array sort is stable: equal labels stay in random order. Infinity - Infinity is NaN, which sorts as equal.
  const ordered = [...shuffled].sort((a, b) => label(a) - label(b));
  const wanted = { train: 1 - shares.validation - shares.test, ...shares };
  const lacking = { train: 0, validation: 0, test: 0 };
  for (let first = 0; first < ordered.length; first += 10) {
    for (const number of random.shuffle(ordered.slice(first, first + 10))) {
      let chosen: Side = "train";
      for (const side of ["train", "validation", "test"] as const) {
        lacking[side] += wanted[side];
        if (lacking[side] > lacking[chosen]) chosen = side;
      }
      lacking[chosen] -= 1;
      assign([number], chosen);
    }
  }
}

/** Structures by the scaffold of their first row. */
function scaffoldFamilies(structures: readonly Group[], scaffolds: readonly string[]): number[][] {
  return groupRows([...structures.keys()], (number) => scaffolds[structures[number][0]]);
}

function rowsOf(family: readonly number[], structures: readonly Group[]): number {
  return family.reduce((sum, number) => sum + structures[number].length, 0);
}

/** DeepChem's ScaffoldSplitter: families by size, equal ones by their first row from the last; the first that no longer fits moves on. */
function cutBySize(
  families: readonly number[][],
  structures: readonly Group[],
  rows: number,
  shares: { validation: number; test: number },
  assign: (numbers: readonly number[], side: Side) => void,
): void {
  const sized = families.map((family) => ({
    family,
    size: rowsOf(family, structures),
    first: structures[family[0]][0],
  }));
  sized.sort((a, b) => b.size - a.size || b.first - a.first);
  const trainRows = (1 - shares.validation - shares.test) * rows;
  const bothRows = (1 - shares.test) * rows;
  let [train, validation] = [0, 0];
  // 1e-9: shares such as 0.8 of 5 rows are whole numbers that floating point misses.
  for (const { family, size } of sized) {
    if (train + size <= trainRows + 1e-9) {
      train += size;
    } else if (shares.validation > 0 && train + validation + size <= bothRows + 1e-9) {
      validation += size;
      assign(family, "validation");
    } else if (shares.test > 0) {
      assign(family, "test");
    }
  }
}

/** Hu et al. 2020 (`random_scaffold_split`): a family goes to validation where it fits, else to test, else to training. */
function fillAtRandom(
  families: readonly number[][],
  structures: readonly Group[],
  rows: number,
  shares: { validation: number; test: number },
  random: Random,
  assign: (numbers: readonly number[], side: Side) => void,
): void {
  const room = {
    validation: Math.floor(shares.validation * rows + 1e-9),
    test: Math.floor(shares.test * rows + 1e-9),
  };
  for (const family of random.shuffle([...families])) {
    const size = rowsOf(family, structures);
    const side = (["validation", "test"] as const).find((candidate) => size <= room[candidate]);
    if (!side) continue;
    room[side] -= size;
    assign(family, side);
  }
}

function collect(sides: readonly Side[], structures: readonly Group[]): Split {
  const rows = (side: Side) => Int32Array.from(structures.filter((_, i) => sides[i] === side).flat()).sort();
  return { train: rows("train"), validation: rows("validation"), test: rows("test") };
}

const SIDE_NAMES: Readonly<Record<string, Side>> = {
  ...{ train: "train", training: "train" },
  ...{ valid: "validation", validation: "validation", val: "validation", dev: "validation" },
  test: "test",
};

/** Keeps test as given, takes its structures out of validation, and both's out of training. */
function givenSplit(options: TaskSplitOptions): TaskSplit {
  const assignments = needed(options.assignments, "assignments", options);
  const sideOfRow = assignments.map((text, row) => {
    const name = text.trim().toLowerCase();
    if (Object.hasOwn(SIDE_NAMES, name)) return SIDE_NAMES[name];
    throw new ConfigError(`given split, molecule ${row + 1}: expected train, validation or test, got "${text}"`);
  });
  const rank = { train: 0, validation: 1, test: 2 };
  const rows = { train: [] as number[], validation: [] as number[], test: [] as number[], dropped: [] as number[] };
  for (const structure of structuresOf(options.keys)) {
    const nearest = Math.max(...structure.map((row) => rank[sideOfRow[row]]));
    for (const row of structure) rows[rank[sideOfRow[row]] === nearest ? sideOfRow[row] : "dropped"].push(row);
  }
  if (rows.train.length === 0) throw new ConfigError("given split: nothing is left to train on");
  const sorted = (list: number[]) => Int32Array.from(list).sort();
  return {
    train: sorted(rows.train),
    validation: sorted(rows.validation),
    test: sorted(rows.test),
    dropped: sorted(rows.dropped),
  };
}
