// Decision trees on binary features, grown on sums of gradients: the parts of random forests and of boosting alike.
import type { Random } from "../../random.js";
import type { BinaryFeatures } from "./binary-features.js";

/**
 * What a tree is fitted to. A leaf holds Σ gradient / (Σ weight + penalty) over its rows; splits maximise Σ² / (Σ weight + penalty).
 * Forests: gradient = weight × target, so leaves are means and splits reduce the variance (for one-hot targets: Gini's impurity).
 * Boosting: minus the first and the second derivative of the loss (Newton steps).
 */
export interface TreeTarget {
  readonly channels: number;
  /** [rows * channels] */
  readonly gradient: Float64Array;
  /** [rows] */
  readonly weight: Float64Array;
}

export interface TreeOptions {
  /** Features looked at for a split, drawn among those that differ within the node. */
  readonly candidates: number;
  readonly maxDepth: number;
  /** Fewest rows of a leaf. */
  readonly minRows: number;
  readonly penalty: number;
}

export interface Tree {
  /** Feature that a node asks for, -1 for a leaf. [nodes] */
  readonly feature: Int32Array;
  /** Where to go when it is on; the next number when it is off. [nodes] */
  readonly ifOn: Int32Array;
  /** [nodes * channels] */
  readonly value: Float64Array;
}

interface Pending {
  readonly first: number;
  readonly end: number;
  readonly depth: number;
  /** The node whose `ifOn` this is to be, or -1. */
  readonly parent: number;
}

/** Sums of each feature over the rows of a node in which it is on; cleared by what was touched. */
class Histogram {
  readonly gradient: Float64Array;
  readonly weight: Float64Array;
  readonly count: Int32Array;
  readonly touched: number[] = [];

  constructor(
    columns: number,
    readonly channels: number,
  ) {
    this.gradient = new Float64Array(columns * channels);
    this.weight = new Float64Array(columns);
    this.count = new Int32Array(columns);
  }

  add(features: BinaryFeatures, target: TreeTarget, row: number): void {
    const { channels } = this;
    for (let at = features.start[row]; at < features.start[row + 1]; at++) {
      const column = features.on[at];
      if (this.count[column]++ === 0) this.touched.push(column);
      this.weight[column] += target.weight[row];
      for (let k = 0; k < channels; k++) this.gradient[column * channels + k] += target.gradient[row * channels + k];
    }
  }

  clear(): void {
    for (const column of this.touched) {
      this.count[column] = 0;
      this.weight[column] = 0;
      this.gradient.fill(0, column * this.channels, (column + 1) * this.channels);
    }
    this.touched.length = 0;
  }
}

/** @param rows what to grow on; reordered in place */
export function growTree(
  features: BinaryFeatures,
  target: TreeTarget,
  rows: Int32Array,
  options: TreeOptions,
  random: Random,
): Tree {
  const { channels } = target;
  const histogram = new Histogram(features.columns, channels);
  const feature: number[] = [];
  const ifOn: number[] = [];
  const value: number[] = [];
  const pending: Pending[] = [{ first: 0, end: rows.length, depth: 0, parent: -1 }];
  for (let node = pending.pop(); node; node = pending.pop()) {
    const { first, end, depth, parent } = node;
    const number = feature.length;
    if (parent >= 0) ifOn[parent] = number;
    const sums = new Float64Array(channels);
    let weight = options.penalty;
    for (let i = first; i < end; i++) {
      weight += target.weight[rows[i]];
      for (let k = 0; k < channels; k++) sums[k] += target.gradient[rows[i] * channels + k];
    }
    for (const sum of sums) value.push(weight > 0 ? sum / weight : 0);
    feature.push(-1);
    ifOn.push(-1);
    if (depth >= options.maxDepth || end - first < 2 * options.minRows || isPure(target, rows, first, end)) continue;
    for (let i = first; i < end; i++) histogram.add(features, target, rows[i]);
    const best = bestSplit(histogram, sums, weight, end - first, options, random);
    histogram.clear();
    if (best < 0) continue;
    feature[number] = best;
    const middle = partition(features, rows, first, end, best);
    // The last pushed is grown next: the branch without the feature gets the next number.
    pending.push({ first: middle, end, depth: depth + 1, parent: number });
    pending.push({ first, end: middle, depth: depth + 1, parent: -1 });
  }
  return { feature: Int32Array.from(feature), ifOn: Int32Array.from(ifOn), value: Float64Array.from(value) };
}

/** Whether all rows ask for the same value, so that no split can gain: half of the nodes of a full-grown tree. */
function isPure({ channels, gradient, weight }: TreeTarget, rows: Int32Array, first: number, end: number): boolean {
  const one = rows[first];
  for (let i = first + 1; i < end; i++) {
    for (let k = 0; k < channels; k++) {
      const [own, other] = [
        gradient[rows[i] * channels + k] * weight[one],
        gradient[one * channels + k] * weight[rows[i]],
      ];
      if (Math.abs(own - other) > 1e-12 * Math.abs(other)) return false;
    }
  }
  return true;
}

/** The feature that gains most among the candidates, or -1 where none gains. */
function bestSplit(
  histogram: Histogram,
  sums: Float64Array,
  weight: number,
  rows: number,
  { candidates, minRows, penalty }: TreeOptions,
  random: Random,
): number {
  const { channels, count, touched } = histogram;
  const usable = touched.filter((column) => count[column] >= minRows && rows - count[column] >= minRows);
  let whole = 0;
  for (const sum of sums) whole += (sum * sum) / weight;
  let best = -1;
  let bestGain = 1e-10 * (1 + whole);
  for (let drawn = 0; drawn < Math.min(candidates, usable.length); drawn++) {
    const pick = drawn + random.below(usable.length - drawn);
    const column = usable[pick];
    usable[pick] = usable[drawn];
    const on = histogram.weight[column] + penalty;
    const off = weight - histogram.weight[column];
    if (on <= 0 || off <= 0) continue;
    let gain = -whole;
    for (let k = 0; k < channels; k++) {
      const sum = histogram.gradient[column * channels + k];
      gain += (sum * sum) / on + (sums[k] - sum) ** 2 / off;
    }
    if (gain > bestGain) {
      bestGain = gain;
      best = column;
    }
  }
  return best;
}

function isOn({ start, on }: BinaryFeatures, row: number, column: number): boolean {
  // Features of a row ascend.
  let low = start[row];
  let high = start[row + 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (on[middle] < column) low = middle + 1;
    else high = middle;
  }
  return low < start[row + 1] && on[low] === column;
}

/** Rows without the feature first; returns where those with it begin. */
function partition(features: BinaryFeatures, rows: Int32Array, first: number, end: number, column: number): number {
  let middle = first;
  for (let i = first; i < end; i++) {
    if (isOn(features, rows[i], column)) continue;
    const held = rows[i];
    rows[i] = rows[middle];
    rows[middle++] = held;
  }
  return middle;
}

/** Where the leaf of a row begins in `value`. */
export function leafOf(tree: Tree, features: BinaryFeatures, row: number, channels: number): number {
  let node = 0;
  while (tree.feature[node] >= 0) node = isOn(features, row, tree.feature[node]) ? tree.ifOn[node] : node + 1;
  return node * channels;
}
