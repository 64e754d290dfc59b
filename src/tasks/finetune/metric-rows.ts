// The metrics of a fine-tuning run as rows of a table: validation, test, its interval, the spread of the seeds.
import { METRICS } from "../../train/metrics.js";
import type { FinetuneSummary, PartScore } from "../finetune.js";

const number = (value: number | null | undefined) =>
  value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(4);
export const metricTitle = (metric: string) => METRICS[metric]?.title ?? metric;

/** Rows: metric, value of each part; the seeds are those of the test part, or of validation where it was left alone. */
export function metricRows({ parts }: Pick<FinetuneSummary<PartScore | null>, "parts">): string[][] {
  return Object.keys(parts.validation.metrics).map((metric) => {
    const { intervals, seeds } = parts.test ?? parts.validation;
    const interval = intervals[metric];
    const range = interval && !Number.isNaN(interval.low) ? `${number(interval.low)} – ${number(interval.high)}` : "–";
    const spread =
      seeds.length > 1
        ? `${number(seeds[0][metric] === undefined ? null : mean(seeds, metric))} ± ${number(std(seeds, metric))}`
        : "–";
    return [
      metricTitle(metric),
      number(parts.validation.metrics[metric]),
      number(parts.test?.metrics[metric]),
      range,
      spread,
    ];
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
