// Random forests on binary features (Breiman 2001): the simple method that is hardest to beat on small sets of molecules.
import type { Random } from "../../random.js";
import type { BinaryFeatures } from "./binary-features.js";
import { growTree, leafOf, type Tree } from "./tree.js";

export interface ForestOptions {
  readonly trees: number;
  /** Features looked at for a split; by default the square root of all for classes, a third for numbers. */
  readonly candidates: number;
  readonly random: Random;
}

export interface Forest {
  readonly channels: number;
  readonly trees: readonly Tree[];
}

/** @param target one value a channel: a number, or 1 for the class and 0 for the others. [rows * channels] */
export function trainForest(
  features: BinaryFeatures,
  target: Float64Array,
  channels: number,
  rows: Int32Array,
  { trees, candidates, random }: ForestOptions,
): Forest {
  const weight = new Float64Array(features.rows);
  const gradient = new Float64Array(features.rows * channels);
  const options = { candidates, maxDepth: Number.POSITIVE_INFINITY, minRows: 1, penalty: 0 };
  const grown = Array.from({ length: trees }, (_, number) => {
    const draws = random.split(number);
    weight.fill(0);
    for (let i = 0; i < rows.length; i++) weight[rows[draws.below(rows.length)]]++;
    const drawn = rows.filter((row) => weight[row] > 0);
    for (const row of drawn)
      for (let k = 0; k < channels; k++) gradient[row * channels + k] = weight[row] * target[row * channels + k];
    return growTree(features, { channels, gradient, weight }, drawn, options, draws);
  });
  return { channels, trees: grown };
}

/** Means over the trees. [rows.length * channels] */
export function predictForest({ channels, trees }: Forest, features: BinaryFeatures, rows: Int32Array): Float64Array {
  const predictions = new Float64Array(rows.length * channels);
  for (const tree of trees) {
    rows.forEach((row, i) => {
      const leaf = leafOf(tree, features, row, channels);
      for (let k = 0; k < channels; k++) predictions[i * channels + k] += tree.value[leaf + k];
    });
  }
  // Divided at the end: a sum of rounded shares could exceed a probability of 1.
  return predictions.map((sum) => sum / trees.length);
}
