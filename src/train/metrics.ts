// How good predictions are: measures of each task and their averages, with bootstrap intervals.
import { DatasetError, MoleblendError, ShapeError } from "../errors.js";
import type { TaskKind } from "../model/task-graphs.js";
import { Random } from "../random.js";
import {
  binaryMeasure,
  classesMeasure,
  type Measure,
  type Measures,
  meanOfDefined,
  regressionMeasure,
} from "./measures.js";

export interface TaskMetrics {
  /** Mean over the tasks in which a measure is defined; NaN where it is in none. */
  readonly average: Record<string, number>;
  /** NaN where a measure is not defined. Classes count as one task. */
  readonly perTask: Record<string, number>[];
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

interface MetricInfo {
  readonly title: string;
  /** Which of two values is the better one. */
  readonly better: "larger" | "smaller";
}

/** What the measures are, by the names that `taskMetrics` gives them. */
export const METRICS: Readonly<Record<string, MetricInfo>> = {
  "roc-auc": { title: "ROC-AUC", better: "larger" },
  "pr-auc": { title: "PR-AUC", better: "larger" },
  accuracy: { title: "accuracy", better: "larger" },
  "log-loss": { title: "log loss", better: "smaller" },
  "calibration-error": { title: "calibration error", better: "smaller" },
  rmse: { title: "RMSE", better: "smaller" },
  mae: { title: "MAE", better: "smaller" },
  r2: { title: "R²", better: "larger" },
  spearman: { title: "Spearman", better: "larger" },
};

/** The measure that runs of a kind of task are compared by. */
export const MAIN_METRIC: Readonly<Record<TaskKind, string>> = {
  binary: "roc-auc",
  regression: "rmse",
  classes: "accuracy",
};

/** Whether `value` is better than `other` by this metric; a value that is not defined is never better. */
export function isBetter(metric: string, value: number, other: number): boolean {
  const info = METRICS[metric];
  if (!info) throw new MoleblendError(`metric: expected one of ${Object.keys(METRICS).join(", ")}, got "${metric}"`);
  if (Number.isNaN(value)) return false;
  if (Number.isNaN(other)) return true;
  return info.better === "larger" ? value > other : value < other;
}

function checkShapes(kind: TaskKind, predictions: Float64Array, labels: Float64Array, outputs: number): number {
  const molecules = predictions.length / outputs;
  const expected = kind === "classes" ? molecules : molecules * outputs;
  if (!Number.isInteger(molecules) || labels.length !== expected)
    throw new ShapeError(
      `metrics of ${outputs} outputs: ${predictions.length} predictions do not fit ${labels.length} labels`,
    );
  const allowed = kind === "regression" ? Number.isFinite : (value: number) => value >= 0 && value <= 1;
  const wrong = predictions.findIndex((value) => !allowed(value));
  if (wrong >= 0) {
    const what = kind === "regression" ? "finite predictions" : "probabilities";
    throw new MoleblendError(
      `metrics: expected ${what}, got ${predictions[wrong]} for molecule ${Math.floor(wrong / outputs)}`,
    );
  }
  return molecules;
}

function checkLabels(kind: TaskKind, labels: Float64Array, outputs: number): void {
  if (kind === "regression") return;
  const values = kind === "binary" ? 2 : outputs;
  const wrong = labels.find(
    (label) => !Number.isNaN(label) && !(Number.isInteger(label) && label >= 0 && label < values),
  );
  if (wrong !== undefined)
    throw new DatasetError(
      `metrics: expected labels of ${values} classes (0 to ${values - 1}) or missing, got ${wrong}`,
    );
}

function measuresOf(kind: TaskKind, predictions: Float64Array, labels: Float64Array, outputs: number): Measure[] {
  const molecules = checkShapes(kind, predictions, labels, outputs);
  checkLabels(kind, labels, outputs);
  if (kind === "classes") {
    const probability = (row: number, which: number) => predictions[row * outputs + which];
    return [classesMeasure(molecules, outputs, probability, (row) => labels[row])];
  }
  const measure = kind === "binary" ? binaryMeasure : regressionMeasure;
  return Array.from({ length: outputs }, (_, task) =>
    measure(
      molecules,
      (row) => predictions[row * outputs + task],
      (row) => labels[row * outputs + task],
    ),
  );
}

function averageOf(perTask: readonly Measures[]): Record<string, number> {
  const names = Object.keys(perTask[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, meanOfDefined(perTask.map((measures) => measures[name]))]));
}

/**
 * Measures of each task and their averages. ROC-AUC follows the reference: each task over its labelled molecules, tasks with
 * labels of one class only or none left out of the mean.
 *
 * @param predictions binary: probabilities of class 1; regression: in the units of the labels; classes: probabilities.
 *   [molecules * outputs]
 * @param labels NaN = missing. [molecules * outputs]; classes: the number of the class [molecules]
 * @throws ShapeError when the lengths do not fit; DatasetError on a label that is no class; MoleblendError on a prediction
 *   that is no finite number or no probability
 */
export function taskMetrics(
  kind: TaskKind,
  predictions: Float64Array,
  labels: Float64Array,
  outputs: number,
): TaskMetrics {
  const measures = measuresOf(kind, predictions, labels, outputs);
  const weights = new Float64Array(predictions.length / outputs).fill(1);
  const perTask = measures.map((measure) => ({ ...measure(weights) }));
  return { average: averageOf(perTask), perTask };
}

export interface BootstrapOptions {
  readonly seed: number;
  /** Draws; by default 1000, fewer (at least 100) where molecules × outputs exceed 40,000. */
  readonly resamples?: number;
  /** Probability that the interval covers; 0.95 by default. */
  readonly level?: number;
}

/** The averages of many draws of the molecules with replacement, all tasks of one together; equal draws for equal seeds. */
function* bootstrapDraws(
  measureSets: readonly (readonly Measure[])[],
  molecules: number,
  draws: number,
  seed: number,
): Generator<Record<string, number>[]> {
  const random = Random.fromSeed(seed).split("bootstrap");
  const weights = new Float64Array(molecules);
  for (let draw = 0; draw < draws; draw++) {
    weights.fill(0);
    for (let i = 0; i < molecules; i++) weights[random.below(molecules)]++;
    yield measureSets.map((measures) => averageOf(measures.map((measure) => measure(weights))));
  }
}

const drawsFor = ({ resamples }: BootstrapOptions, predictions: Float64Array) =>
  resamples ?? Math.max(100, Math.min(1000, Math.round(4e7 / predictions.length)));

function intervalOf(values: readonly number[], level = 0.95): Interval {
  const sorted = Float64Array.from(values.filter((value) => !Number.isNaN(value))).sort();
  return { low: quantile(sorted, (1 - level) / 2), high: quantile(sorted, (1 + level) / 2) };
}

/**
 * Percentile bootstrap intervals of the averages of `taskMetrics`: molecules are drawn with replacement, all tasks of one together.
 * Draws in which a measure is not defined do not count for it; NaN where it is in none.
 */
export function bootstrapIntervals(
  kind: TaskKind,
  predictions: Float64Array,
  labels: Float64Array,
  outputs: number,
  options: BootstrapOptions,
): Record<string, Interval> {
  const measures = measuresOf(kind, predictions, labels, outputs);
  const draws = drawsFor(options, predictions);
  const averages = [...bootstrapDraws([measures], predictions.length / outputs, draws, options.seed)];
  const names = Object.keys(averages[0]?.[0] ?? {});
  return Object.fromEntries(
    names.map((name) => {
      const values = averages.map(([average]) => average[name]);
      return [name, intervalOf(values, options.level)];
    }),
  );
}

/** Bootstrap interval of how much a metric of `predictions` exceeds that of `others` on the same molecules. */
export function pairedDifference(
  kind: TaskKind,
  predictions: Float64Array,
  others: Float64Array,
  labels: Float64Array,
  outputs: number,
  options: BootstrapOptions & { readonly metric: string },
): Interval {
  const sets = [predictions, others].map((one) => measuresOf(kind, one, labels, outputs));
  const differences: number[] = [];
  for (const [own, other] of bootstrapDraws(
    sets,
    predictions.length / outputs,
    drawsFor(options, predictions),
    options.seed,
  ))
    differences.push(own[options.metric] - other[options.metric]);
  return intervalOf(differences, options.level);
}

/** Linear between order statistics; NaN of nothing. */
function quantile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}
