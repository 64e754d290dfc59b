// Which molecules form a batch in which order: batches of like sizes under a budget, or of a fixed number.

import { ConfigError } from "../errors.js";
import { Random } from "../random.js";
import { ColumnBuffer } from "./column-buffer.js";

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

/** Molecule numbers of each batch. Memory: 4 bytes a molecule and 8 a batch, however many batches there are. */
export class BatchList {
  /**
   * @param molecules those of one batch after another
   * @param starts where each batch begins among them, and the end of the last. [batches + 1]
   * @param order places of the batches in `starts`, in the order of their use. [batches]
   */
  constructor(
    private readonly molecules: Int32Array,
    private readonly starts: Int32Array,
    private readonly order: Int32Array,
  ) {}

  /** Number of batches. */
  get length(): number {
    return this.order.length;
  }

  /** The batch used at a place, in memory of its own. @throws RangeError beyond the last */
  at(place: number): Int32Array {
    if (!(place >= 0 && place < this.length)) {
      throw new RangeError(`batch: expected a number below ${this.length}, got ${place}`);
    }
    const batch = this.order[place];
    return this.molecules.slice(this.starts[batch], this.starts[batch + 1]);
  }

  *[Symbol.iterator](): Generator<Int32Array> {
    for (let place = 0; place < this.length; place++) yield this.at(place);
  }
}

/** The batches of one epoch. */
export interface BatchPlan {
  readonly batches: BatchList;
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
  const list = random.split("molecules").shuffle(Int32Array.from(molecules));
  const { fixed, window = DEFAULT_WINDOW } = options;
  const starts = new ColumnBuffer((length) => new Int32Array(length));
  if (fixed !== undefined) for (let at = 0; at < list.length; at += fixed) starts.append([at]);
  else {
    const sortable = new Float64Array(Math.min(window, list.length));
    for (let begin = 0; begin < list.length; begin += window) {
      const end = Math.min(list.length, begin + window);
      sortBySize(list.subarray(begin, end), atomCounts, sortable.subarray(0, end - begin));
      cutByBudget(list, begin, end, atomCounts, options, starts);
    }
  }
  const order = Int32Array.from({ length: starts.length }, (_, batch) => batch);
  if (fixed === undefined) random.split("order").shuffle(order);
  starts.append([list.length]);
  const ends = starts.view().slice();
  return { batches: new BatchList(list, ends, order), ...measure(list, ends, atomCounts, options) };
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

/** Sorts in place, ascending in size; molecules of one size keep their shuffled order. `room` is as long as the list. */
function sortBySize(molecules: Int32Array, atomCounts: Uint16Array, room: Float64Array): void {
  const count = molecules.length;
  for (let at = 0; at < count; at++) room[at] = atomCounts[molecules[at]] * count + at;
  room.sort();
  // Where each one came from becomes which one it is, before any place is written.
  for (let at = 0; at < count; at++) room[at] = molecules[room[at] % count];
  molecules.set(room);
}

/** Appends where the batches of one sorted window begin. */
function cutByBudget(
  list: Int32Array,
  windowBegin: number,
  windowEnd: number,
  atomCounts: Uint16Array,
  { maxPairs = Infinity, maxTokens = Infinity, maxMolecules = Infinity }: BatchOptions,
  starts: ColumnBuffer<Int32Array<ArrayBuffer>>,
): void {
  let begin = windowBegin;
  starts.append([begin]);
  for (let at = windowBegin; at < windowEnd; at++) {
    // Sorted ascending, so the newest molecule sets the padded size.
    const tokens = atomCounts[list[at]] + 1;
    const size = at - begin + 1;
    const fits = size * tokens * tokens <= maxPairs && size * tokens <= maxTokens && size <= maxMolecules;
    if (fits || size === 1) continue;
    begin = at;
    starts.append([begin]);
  }
}

function measure(
  list: Int32Array,
  starts: Int32Array,
  atomCounts: Uint16Array,
  { maxPairs = Infinity, maxTokens = Infinity, fixed }: BatchOptions,
): Omit<BatchPlan, "batches"> {
  let tokens = 0;
  let pairs = 0;
  let paddedTokens = 0;
  let paddedPairs = 0;
  let overBudget = 0;
  for (let batch = 0; batch < starts.length - 1; batch++) {
    const size = starts[batch + 1] - starts[batch];
    let largest = 0;
    for (let at = starts[batch]; at < starts[batch + 1]; at++) {
      const own = atomCounts[list[at]] + 1;
      tokens += own;
      pairs += own * own;
      largest = Math.max(largest, own);
    }
    paddedTokens += size * largest;
    paddedPairs += size * largest * largest;
    if (fixed === undefined && size === 1 && (largest > maxTokens || largest * largest > maxPairs)) overBudget++;
  }
  const ratio = (used: number, padded: number) => (padded > 0 ? used / padded : 1);
  return {
    tokenEfficiency: ratio(tokens, paddedTokens),
    pairEfficiency: ratio(pairs, paddedPairs),
    overBudget,
  };
}
