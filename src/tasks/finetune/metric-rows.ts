// The metrics of a fine-tuning run as rows of a table: validation, test, its interval, the spread of the seeds.
import { METRICS } from "../../train/metrics.js";
import type { FinetuneSummary } from "../finetune.js";

const number = (value: number | null | undefined) =>
  value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(4);
export const metricTitle = (metric: string) => METRICS[metric]?.title ?? metric;

/** Rows: metric, value of each part. */
export function metricRows({ parts }: Pick<FinetuneSummary, "parts">): string[][] {
  return Object.keys(parts.test.metrics).map((metric) => {
    const { metrics, intervals, seeds } = parts.test;
    const interval = intervals[metric];
    const range = interval && !Number.isNaN(interval.low) ? `${number(interval.low)} – ${number(interval.high)}` : "–";
    const spread =
      seeds.length > 1
        ? `${number(seeds[0][metric] === undefined ? null : mean(seeds, metric))} ± ${number(std(seeds, metric))}`
        : "–";
    return [metricTitle(metric), number(parts.validation.metrics[metric]), number(metrics[metric]), range, spread];
  });
}

export const METRIC_HEADER = ["metric", "validation", "test", "95 % interval", "seeds, mean ± std"] as const;

function mean(seeds: readonly Readonly<Record<string, number>>[], metric: string): number {
  return seeds.reduce((sum, values) => sum + values[metric], 0) / seeds.length;
}

function std(seeds: readonly Readonly<Record<string, number>>[], metric: string): number {
  const centre = mean(seeds, metric);
  return Math.sqrt(seeds.reduce((sum, values) => sum + (values[metric] - centre) ** 2, 0) / seeds.length);
}
