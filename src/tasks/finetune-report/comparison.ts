// Scores of every method on the same molecules, and which of them is better as far as the molecules can tell.
import {
  bootstrapIntervals,
  type Interval,
  isBetter,
  MAIN_METRIC,
  METRICS,
  pairedDifference,
  taskMetrics,
} from "../../train/metrics.js";
import type { ReportTable } from "../../train/report.js";
import type { FinetuneReportInput, MethodPredictions } from "./input.js";

export interface MethodScore {
  readonly method: MethodPredictions;
  readonly average: Readonly<Record<string, number>>;
  readonly perTask: readonly Readonly<Record<string, number>>[];
  readonly intervals: Readonly<Record<string, Interval>>;
}

/** Targets beyond this many are summed up: a page of 617 lines helps nobody. */
export const MOST_TARGETS = 40;

/** Labels of some molecules, as `taskMetrics` takes them. */
export function labelsOf({ task, data }: FinetuneReportInput, rows: Int32Array): Float64Array {
  const width = task.kind === "classes" ? 1 : task.outputs;
  const labels = new Float64Array(rows.length * width);
  rows.forEach((row, i) => void labels.set(data.labels.subarray(row * width, (row + 1) * width), i * width));
  return labels;
}

export function scoreMethods(input: FinetuneReportInput): MethodScore[] {
  const { kind, outputs } = input.task;
  const labels = labelsOf(input, input.split[input.scored]);
  return input.methods.map((method) => ({
    method,
    ...taskMetrics(kind, method.predictions, labels, outputs),
    intervals: bootstrapIntervals(kind, method.predictions, labels, outputs, { seed: input.seed }),
  }));
}

export function formatValue(value: number): string {
  return Number.isNaN(value) ? "not defined" : value.toPrecision(4).replace(/e\+?(-?\d+)$/, "·10^$1");
}

/** Three digits, for tables of many values. */
function brief(value: number): string {
  return Math.abs(value) < 1 && Math.abs(value) >= 1e-3 ? value.toFixed(3) : value.toPrecision(3);
}

/** One line that says how good the model is, one that says whether something simpler is as good. */
export function compareMethods(input: FinetuneReportInput, scores: readonly MethodScore[]): [string, string][] {
  const metric = MAIN_METRIC[input.task.kind];
  const { title } = METRICS[metric];
  const [own, ...others] = scores;
  const value = own.average[metric];
  const { low, high } = own.intervals[metric];
  const unit = input.task.unit && metric === "rmse" ? ` ${input.task.unit}` : "";
  const lines: [string, string][] = [
    [
      `${title} on ${input.scored}`,
      `${formatValue(value)}${unit} (95 % interval ${formatValue(low)} to ${formatValue(high)})`,
    ],
  ];
  if (others.length === 0) return lines;
  const best = others.reduce((a, b) => (isBetter(metric, b.average[metric], a.average[metric]) ? b : a));
  const labels = labelsOf(input, input.split[input.scored]);
  const { kind, outputs } = input.task;
  const difference = pairedDifference(kind, own.method.predictions, best.method.predictions, labels, outputs, {
    ...{ metric, seed: input.seed },
  });
  const certain = difference.low > 0 || difference.high < 0;
  const wins = isBetter(metric, best.average[metric], value);
  const verdict = wins
    ? `${best.method.name} is better than this model`
    : `this model is better than ${best.method.name}, the best of the others`;
  const doubt = certain ? "" : "; this many molecules cannot tell them apart for sure";
  lines.push([
    wins ? "a baseline wins" : "against the baselines",
    `${verdict}: ${formatValue(best.average[metric])} against ${formatValue(value)} (difference ${formatValue(difference.low)} to ${formatValue(difference.high)}${doubt})`,
  ]);
  return lines;
}

export function resultTables(input: FinetuneReportInput, scores: readonly MethodScore[]): ReportTable[] {
  const metrics = Object.keys(scores[0].average);
  const titles = metrics.map((metric) => METRICS[metric].title);
  const rows = scores.map(({ method, average, intervals }) => [
    method.name,
    ...metrics.map((metric) => {
      if (Number.isNaN(average[metric])) return "not defined";
      const { low, high } = intervals[metric];
      return `${brief(average[metric])} (${brief(low)}–${brief(high)})`;
    }),
    method.seconds === undefined ? "" : `${method.seconds.toFixed(1)} s`,
  ]);
  const scored = input.split[input.scored].length.toLocaleString("en-US");
  const tables: ReportTable[] = [
    {
      title: `Results on the ${scored} ${input.scored} molecules, with 95 % bootstrap intervals`,
      header: ["method", ...titles, "training"],
      rows,
    },
  ];
  const { targets } = input.task;
  if (targets.length < 2) return tables;
  const shown = targets.slice(0, MOST_TARGETS);
  const title =
    shown.length < targets.length
      ? `This model by target (the first ${shown.length} of ${targets.length})`
      : "This model by target";
  const perTarget = shown.map((target, t) => [
    target,
    ...metrics.map((metric) => formatValue(scores[0].perTask[t][metric])),
  ]);
  tables.push({ title, header: ["target", ...titles], rows: perTarget });
  return tables;
}
