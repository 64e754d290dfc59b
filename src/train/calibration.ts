// One number that makes what a model says of its own certainty honest: a factor on standard deviations, or a temperature of probabilities.
import type { TaskKind } from "../model/task-graphs.js";

/** Where the standard deviation of a prediction comes from. */
export type SpreadSource =
  | { readonly from: "ensemble"; readonly models: number }
  | { readonly from: "dropout"; readonly samples: number };

/**
 * Fitted on the validation part.
 * - spread (regression): the standard deviation from `source` times the factor of the target is that of the error
 * - temperature (binary, classes): log-odds over it
 */
export type Calibration =
  | { readonly method: "spread"; readonly source: SpreadSource; readonly factors: readonly number[] }
  | { readonly method: "temperature"; readonly temperature: number };

/** A target with fewer labels on validation has the factor of all targets together. */
const LEAST_LABELS = 10;
/** Of a normal distribution: 68 % and 95 % lie within. */
export const INTERVALS = [
  { share: 0.68, deviations: 0.9945 },
  { share: 0.95, deviations: 1.96 },
] as const;
/** Probabilities are kept this far from 0 and 1, as in the log loss. */
const MARGIN = 1e-7;
/** Temperatures looked at. */
const [COLDEST, HOTTEST] = [0.05, 20];

/** (label - mean) / std wherever there is a label and a spread, by target. */
function standardised(
  mean: Float64Array,
  std: Float64Array,
  labels: Float64Array,
  targets: number,
): readonly (readonly number[])[] {
  return Array.from({ length: targets }, (_, t) => {
    const scores: number[] = [];
    for (let i = t; i < labels.length; i += targets) {
      const score = (labels[i] - mean[i]) / std[i];
      if (Number.isFinite(score)) scores.push(score);
    }
    return scores;
  });
}

/**
 * The factor on the standard deviations of each target with which the standardised residuals have unit variance.
 * @param mean, std, labels [rows * targets]; a label that is NaN is missing
 * @returns null where nothing can be fitted
 */
export function fitFactors(
  mean: Float64Array,
  std: Float64Array,
  labels: Float64Array,
  targets: number,
): readonly number[] | null {
  const scores = standardised(mean, std, labels, targets);
  const size = (values: readonly number[]) =>
    Math.sqrt(values.reduce((sum, score) => sum + score * score, 0) / values.length);
  const together = size(scores.flat());
  if (!(together > 0)) return null;
  return scores.map((own) => {
    const factor = own.length < LEAST_LABELS ? together : size(own);
    return factor > 0 ? factor : together;
  });
}

/** Standard deviations times the factor of their target. */
export function scaleSpread(std: Float64Array, factors: readonly number[]): Float64Array {
  return std.map((value, i) => value * factors[i % factors.length]);
}

/** Share of the labels that lie within so many standard deviations of the prediction; NaN where there are none. */
export function coverage(mean: Float64Array, std: Float64Array, labels: Float64Array, deviations: number): number {
  let [inside, count] = [0, 0];
  for (let i = 0; i < labels.length; i++) {
    if (Number.isNaN(labels[i])) continue;
    count++;
    if (Math.abs(labels[i] - mean[i]) <= deviations * std[i]) inside++;
  }
  return inside / count;
}

const kept = (probability: number) => Math.min(Math.max(probability, MARGIN), 1 - MARGIN);

/** Probabilities with their log-odds (binary) or logarithms (classes) divided by the temperature. [rows * outputs] */
export function withTemperature(
  kind: Exclude<TaskKind, "regression">,
  probabilities: Float64Array,
  outputs: number,
  temperature: number,
): Float64Array {
  if (kind === "binary") {
    return probabilities.map((value) => {
      const p = kept(value);
      return 1 / (1 + Math.exp(-Math.log(p / (1 - p)) / temperature));
    });
  }
  const result = probabilities.map((value) => kept(value) ** (1 / temperature));
  for (let row = 0; row < result.length; row += outputs) {
    const total = result.subarray(row, row + outputs).reduce((sum, value) => sum + value, 0);
    for (let c = 0; c < outputs; c++) result[row + c] /= total;
  }
  return result;
}

/** Mean of -ln(probability of the right answer) over the labels. */
function logLoss(
  kind: Exclude<TaskKind, "regression">,
  probabilities: Float64Array,
  labels: Float64Array,
  outputs: number,
) {
  let [sum, count] = [0, 0];
  labels.forEach((label, i) => {
    if (Number.isNaN(label)) return;
    const p = kind === "classes" ? probabilities[i * outputs + label] : probabilities[i];
    sum -= Math.log(kept(kind === "binary" && label === 0 ? 1 - p : p));
    count++;
  });
  return sum / count;
}

/**
 * The temperature with the least log loss over all labels, between 0.05 and 20.
 * @param labels [rows * outputs], classes: [rows]
 * @returns null where there is no label
 */
export function fitTemperature(
  kind: Exclude<TaskKind, "regression">,
  probabilities: Float64Array,
  labels: Float64Array,
  outputs: number,
): number | null {
  if (labels.every(Number.isNaN)) return null;
  const lossAt = (logarithm: number) =>
    logLoss(kind, withTemperature(kind, probabilities, outputs, Math.exp(logarithm)), labels, outputs);
  // The loss is convex in 1 / temperature, so there is one valley: golden section.
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [Math.log(COLDEST), Math.log(HOTTEST)];
  let [left, right] = [high - ratio * (high - low), low + ratio * (high - low)];
  let [atLeft, atRight] = [lossAt(left), lossAt(right)];
  while (high - low > 1e-4) {
    if (atLeft <= atRight) {
      [high, right, atRight] = [right, left, atLeft];
      left = high - ratio * (high - low);
      atLeft = lossAt(left);
    } else {
      [low, left, atLeft] = [left, right, atRight];
      right = low + ratio * (high - low);
      atRight = lossAt(right);
    }
  }
  return Math.exp((low + high) / 2);
}
