// The report of a fine-tuning run: how good the model is on the test part, on what data, and how it was trained.
import { join } from "node:path";
import type { Json } from "../../train/checkpoint.js";
import type { Curve } from "../../train/curve-svg.js";
import { METRICS } from "../../train/metrics.js";
import { writeReport } from "../../train/report.js";
import { readRunLog } from "../../train/run-log.js";
import type { FinetuneSummary } from "../finetune.js";

const number = (value: number | null | undefined) =>
  value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(4);
const title = (metric: string) => METRICS[metric]?.title ?? metric;

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
    return [title(metric), number(parts.validation.metrics[metric]), number(metrics[metric]), range, spread];
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

function curves(run: string, seeds: readonly number[], metric: string): Curve[] {
  const records = readRunLog(join(run, "metrics.jsonl"));
  const series = (field: string) =>
    seeds.map((seed) => {
      const points = records.flatMap((record) =>
        record["seed"] === seed && typeof record[field] === "number" && typeof record["epoch"] === "number"
          ? [{ x: record["epoch"], y: record[field] }]
          : [],
      );
      return { name: `seed ${seed}`, x: points.map(({ x }) => x), y: points.map(({ y }) => y) };
    });
  return [
    { title: "Training loss", xLabel: "epoch", yLabel: "loss", series: series("loss") },
    {
      title: `Validation ${title(metric)}`,
      xLabel: "epoch",
      yLabel: title(metric),
      series: series(`validation/${metric}`),
    },
  ];
}

/** Writes RUN/report.md and returns its path. */
export function writeFinetuneReport(
  summary: Omit<FinetuneSummary, "report">,
  settings: Json,
  seeds: readonly number[],
  command: string,
): string {
  const { run, data, parts, metric } = summary;
  const perTarget =
    data.targets.length > 1
      ? [
          {
            title: "Test, by target",
            header: ["target", ...Object.keys(parts.test.metrics).map(title)],
            rows: data.targets.map((name, t) => [
              name,
              ...Object.keys(parts.test.metrics).map((key) => number(parts.test.perTarget[t]?.[key])),
            ]),
          },
        ]
      : [];
  const remarks = summary.remarks.length
    ? [{ title: "Remarks", header: ["remark"], rows: summary.remarks.map((remark) => [remark]) }]
    : [];
  return writeReport(run, {
    title: "MoleBLEND fine-tuning",
    summary: [
      ["targets", data.targets.length > 8 ? `${data.targets.length} targets` : data.targets.join(", ")],
      [
        "task",
        `${summary.kind}; epoch chosen by validation ${title(metric)}; the test part was scored once, at the end`,
      ],
      ["encoder", summary.pretrained ?? "from scratch"],
      [
        "molecules",
        `${data.train} to train on, ${data.validation} validation, ${data.test} test; split: ${data.split}`,
      ],
      ["left out", `${data.rejects} records rejected, ${data.dropped} on two sides of the split`],
      [
        "parameters",
        `${summary.parameters.toLocaleString("en")}, ${summary.trained.toLocaleString("en")} of them trained`,
      ],
      ["speed", `${summary.moleculesPerSecond.toFixed(0)} molecules/s, ${summary.seconds.toFixed(0)} s`],
    ],
    tables: [
      { title: "Metrics", header: METRIC_HEADER, rows: metricRows(summary) },
      ...perTarget,
      {
        title: "Seeds",
        header: ["seed", "epochs", "best epoch", `validation ${title(metric)}`, `test ${title(metric)}`],
        rows: summary.seeds.map((seed, i) => [
          seed.seed,
          seed.epochs,
          seed.bestEpoch,
          number(seed.validation[metric]),
          number(parts.test.seeds[i][metric]),
        ]),
      },
      ...remarks,
    ],
    curves: curves(run, seeds, metric),
    command,
    settings,
  });
}
