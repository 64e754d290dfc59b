// What makes that honest which a model says of its own certainty: a factor on standard deviations and a floor under them, or a temperature of
// probabilities.
import type { TaskKind } from "../model/task-graphs.js";

/** Where the standard deviation of a prediction comes from. */
export type SpreadSource =
  | { readonly from: "ensemble"; readonly models: number }
  | { readonly from: "dropout"; readonly samples: number };

export interface Spread {
  /** One a target. */
  readonly factors: readonly number[];
  /** One a target, in its units; absent (0) in runs that were written before there were floors. */
  readonly floors?: readonly number[];
}

/**
 * Fitted on the validation part.
 * - spread (regression): the variance of the error is that from `source` times the square of the factor of the target, plus the
 *   square of its floor
 * - temperature (binary, classes): log-odds over it
 */
export type Calibration =
  | ({ readonly method: "spread"; readonly source: SpreadSource } & Spread)
  | { readonly method: "temperature"; readonly temperature: number };

/** A target with fewer labels on validation has the factor and floor of all targets together. */
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

/** Squares of an error and of the standard deviation that was said of it. */
interface Residual {
  readonly error: number;
  readonly said: number;
}

/** Floors looked at, as logarithms of their square over the mean square of the scaled deviations; beside none at all. */
const FLOORS = { least: -14, greatest: 14, step: 0.1 };

/** Residuals wherever there is a label, by target. */
function residuals(
  mean: Float64Array,
  std: Float64Array,
  labels: Float64Array,
  targets: number,
): readonly (readonly Residual[])[] {
  return Array.from({ length: targets }, (_, t) => {
    const own: Residual[] = [];
    for (let i = t; i < labels.length; i += targets) {
      const residual = { error: (labels[i] - mean[i]) ** 2, said: std[i] ** 2 };
      if (Number.isFinite(residual.error + residual.said)) own.push(residual);
    }
    return own;
  });
}

const average = (values: readonly Residual[], of: (residual: Residual) => number) =>
  values.reduce((sum, residual) => sum + of(residual), 0) / values.length;

/**
 * The factor and floor under which the errors are likeliest, taken as normal. For a given ratio of the two their common scale follows,
 * so one number is searched for.
 */
function likeliest(values: readonly Residual[]): { readonly factor: number; readonly floor: number } | null {
  const [error, said] = [average(values, (each) => each.error), average(values, (each) => each.said)];
  if (!(error > 0)) return null;
  if (said === 0) return { factor: 0, floor: Math.sqrt(error) };
  const at = (ratio: number) => {
    const offset = ratio * said;
    const scale = average(values, (each) => each.error / (offset + each.said));
    const loss = Math.log(scale) + average(values, (each) => Math.log(offset + each.said));
    return { loss, factor: Math.sqrt(scale), floor: Math.sqrt(scale * offset) };
  };
  let best = at(0);
  for (let logarithm = FLOORS.least; logarithm <= FLOORS.greatest; logarithm += FLOORS.step) {
    const candidate = at(Math.exp(logarithm));
    // Without a floor a deviation of 0 is no number.
    if (!(best.loss <= candidate.loss)) best = candidate;
  }
  return { factor: best.factor, floor: best.floor };
}

/**
 * Factor and floor of each target. A factor alone would follow the few molecules of which the models happen to agree: their errors
 * are many of their standard deviations, and would widen the intervals of all others.
 * @param mean, std, labels [rows * targets]; a label that is NaN is missing
 * @returns null where nothing can be fitted
 */
export function fitSpread(
  mean: Float64Array,
  std: Float64Array,
  labels: Float64Array,
  targets: number,
): Required<Spread> | null {
  const byTarget = residuals(mean, std, labels, targets);
  const together = likeliest(byTarget.flat());
  if (!together) return null;
  const fitted = byTarget.map((own) => (own.length < LEAST_LABELS ? null : likeliest(own)) ?? together);
  return { factors: fitted.map(({ factor }) => factor), floors: fitted.map(({ floor }) => floor) };
}

/** Standard deviations with the factor and the floor of their target. */
export function scaleSpread(std: Float64Array, { factors, floors }: Spread): Float64Array {
  return std.map((value, i) => {
    const target = i % factors.length;
    return Math.hypot(value * factors[target], floors?.[target] ?? 0);
  });
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
