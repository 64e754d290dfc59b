// The simple methods that a fine-tuned model is compared with: random forest and gradient boosting on fingerprints.
import type { TaskKind } from "../../model/task-graphs.js";
import { Random } from "../../random.js";
import type { BinaryFeatures } from "./binary-features.js";
import { BOOSTING_DEFAULTS, predictBoosting, trainBoosting } from "./boosting.js";
import { predictForest, trainForest } from "./random-forest.js";

export const BASELINES = ["random forest", "gradient boosting"] as const;
export type BaselineName = (typeof BASELINES)[number];

/** More made no difference to MoleculeNet's small sets. */
const FOREST_TREES = 300;

export interface BaselineData {
  readonly kind: TaskKind;
  /** Tasks, or classes. */
  readonly outputs: number;
  readonly features: BinaryFeatures;
  /** NaN = missing. [molecules * outputs]; classes: the number of the class [molecules] */
  readonly labels: Float64Array;
  readonly train: Int32Array;
  readonly validation: Int32Array;
}

export interface BaselineOptions {
  readonly seed: number;
  /** Trees of a forest; by default 300, shared out (at least 50 each) where there are several targets. */
  readonly trees?: number;
}

export interface BaselineResult {
  readonly name: BaselineName;
  /** As `taskMetrics` takes them. [rows * outputs] */
  readonly predictions: Float64Array;
  /** Time to train and predict. */
  readonly seconds: number;
}

/** Trains a simple method, each target on its labelled molecules by itself, and predicts `rows`. */
export function runBaseline(
  name: BaselineName,
  data: BaselineData,
  rows: Int32Array,
  options: BaselineOptions,
): BaselineResult {
  const began = performance.now();
  const random = Random.fromSeed(options.seed).split("baseline", name);
  const predictions = name === "random forest" ? forest(data, rows, options, random) : boosting(data, rows, random);
  return { name, predictions, seconds: (performance.now() - began) / 1000 };
}

function labelled(labels: Float64Array, rows: Int32Array, stride: number, offset: number): Int32Array {
  return rows.filter((row) => !Number.isNaN(labels[row * stride + offset]));
}

/** [molecules] of one target; missing labels are 0 and must not be trained on. */
function column(labels: Float64Array, stride: number, offset: number): Float64Array {
  return Float64Array.from({ length: labels.length / stride }, (_, row) => labels[row * stride + offset] || 0);
}

function forest(data: BaselineData, rows: Int32Array, { trees }: BaselineOptions, random: Random): Float64Array {
  const { kind, outputs, features, labels, train } = data;
  const { columns } = features;
  const candidates = kind === "regression" ? Math.ceil(columns / 3) : Math.ceil(Math.sqrt(columns));
  if (kind === "classes") {
    const target = new Float64Array(labels.length * outputs);
    labels.forEach((label, row) => {
      if (!Number.isNaN(label)) target[row * outputs + label] = 1;
    });
    const grown = { trees: trees ?? FOREST_TREES, candidates, random };
    return predictForest(trainForest(features, target, outputs, labelled(labels, train, 1, 0), grown), features, rows);
  }
  const perTarget = trees ?? Math.max(50, Math.round(FOREST_TREES / outputs));
  return eachTarget(data, rows, (t, target, own) => {
    const grown = { trees: perTarget, candidates, random: random.split(t) };
    return predictForest(trainForest(features, target, 1, own, grown), features, rows);
  });
}

/** Classes: one model against the rest each, shares of their sum. */
function boosting(data: BaselineData, rows: Int32Array, random: Random): Float64Array {
  const { kind, outputs, features, labels, train, validation } = data;
  const loss = kind === "regression" ? "squared" : "logistic";
  const fit = (t: number, target: Float64Array, own: Int32Array, checked: Int32Array) =>
    predictBoosting(
      trainBoosting(features, target, own, checked, { ...BOOSTING_DEFAULTS, loss, random: random.split(t) }),
      features,
      rows,
    );
  if (kind !== "classes") {
    return eachTarget(data, rows, (t, target, own) => fit(t, target, own, labelled(labels, validation, outputs, t)));
  }
  const [own, checked] = [labelled(labels, train, 1, 0), labelled(labels, validation, 1, 0)];
  const predictions = new Float64Array(rows.length * outputs);
  for (let which = 0; which < outputs; which++) {
    const target = Float64Array.from(labels, (label) => Number(label === which));
    const values = fit(which, target, own, checked);
    for (let i = 0; i < rows.length; i++) predictions[i * outputs + which] = values[i];
  }
  for (let i = 0; i < rows.length; i++) {
    const shares = predictions.subarray(i * outputs, (i + 1) * outputs);
    const sum = shares.reduce((all, value) => all + value, 0);
    for (let which = 0; which < outputs; which++) shares[which] /= sum;
  }
  return predictions;
}

/** Predictions of every target in turn; half or 0 for a target without labels to train on. [rows * outputs] */
function eachTarget(
  { kind, outputs, labels, train }: BaselineData,
  rows: Int32Array,
  predict: (target: number, values: Float64Array, trainRows: Int32Array) => Float64Array,
): Float64Array {
  const predictions = new Float64Array(rows.length * outputs).fill(kind === "binary" ? 0.5 : 0);
  for (let t = 0; t < outputs; t++) {
    const own = labelled(labels, train, outputs, t);
    if (own.length === 0) continue;
    const values = predict(t, column(labels, outputs, t), own);
    for (let i = 0; i < rows.length; i++) predictions[i * outputs + t] = values[i];
  }
  return predictions;
}
