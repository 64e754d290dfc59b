// Gradient boosting of shallow trees on binary features, with the number of trees chosen on the validation rows.
import type { Random } from "../../random.js";
import type { BinaryFeatures } from "./binary-features.js";
import { growTree, leafOf, type Tree } from "./tree.js";

export interface BoostingOptions {
  /** Squared error of numbers, or cross-entropy of 0 and 1. */
  readonly loss: "squared" | "logistic";
  readonly maxTrees: number;
  readonly learningRate: number;
  readonly maxDepth: number;
  /** Trees without a better validation loss after which it ends. */
  readonly patience: number;
  readonly random: Random;
}

export const BOOSTING_DEFAULTS = { maxTrees: 500, learningRate: 0.1, maxDepth: 6, patience: 40 } as const;

export interface Boosted {
  readonly base: number;
  readonly learningRate: number;
  readonly trees: readonly Tree[];
  readonly loss: BoostingOptions["loss"];
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** log(1 + e^x) - xy, or (x - y)² / 2. */
function lossOf(kind: BoostingOptions["loss"], x: number, y: number): number {
  return kind === "squared" ? (x - y) ** 2 / 2 : Math.max(x, 0) - x * y + Math.log1p(Math.exp(-Math.abs(x)));
}

/**
 * @param target a number or 0 and 1. [rows]
 * @param validation rows that say when to end; where there are none all `maxTrees` are grown
 */
export function trainBoosting(
  features: BinaryFeatures,
  target: Float64Array,
  rows: Int32Array,
  validation: Int32Array,
  options: BoostingOptions,
): Boosted {
  const { loss, learningRate, random } = options;
  const mean = rows.reduce((sum, row) => sum + target[row], 0) / rows.length;
  const bounded = Math.min(1 - 1e-6, Math.max(1e-6, mean));
  const base = loss === "squared" ? mean : Math.log(bounded / (1 - bounded));
  const score = new Float64Array(features.rows).fill(base);
  const gradient = new Float64Array(features.rows);
  const weight = new Float64Array(features.rows);
  const treeOptions = { candidates: features.columns, maxDepth: options.maxDepth, minRows: 2, penalty: 1 };
  const trees: Tree[] = [];
  let [best, bestLoss] = [0, Number.POSITIVE_INFINITY];
  while (trees.length < options.maxTrees && trees.length < best + options.patience) {
    for (const row of rows) {
      const value = loss === "squared" ? score[row] : sigmoid(score[row]);
      gradient[row] = target[row] - value;
      weight[row] = loss === "squared" ? 1 : Math.max(1e-6, value * (1 - value));
    }
    const draws = random.split(trees.length);
    const drawn = rows.filter(() => draws.uniform() < 0.8);
    const tree = growTree(features, { channels: 1, gradient, weight }, drawn, treeOptions, draws);
    trees.push(tree);
    for (const part of [rows, validation])
      for (const row of part) score[row] += learningRate * tree.value[leafOf(tree, features, row, 1)];
    const total = validation.reduce((sum, row) => sum + lossOf(loss, score[row], target[row]), 0);
    if (validation.length === 0 || total < bestLoss) [best, bestLoss] = [trees.length, total];
  }
  return { base, learningRate, trees: trees.slice(0, best), loss };
}

/** Numbers, or probabilities of 1. [rows.length] */
export function predictBoosting(model: Boosted, features: BinaryFeatures, rows: Int32Array): Float64Array {
  const { base, learningRate, trees, loss } = model;
  return Float64Array.from(rows, (row) => {
    const score = trees.reduce((sum, tree) => sum + learningRate * tree.value[leafOf(tree, features, row, 1)], base);
    return loss === "squared" ? score : sigmoid(score);
  });
}
