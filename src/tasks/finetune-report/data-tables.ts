// What the data are: how many molecules and labels each part has, how the labels are spread, what was rejected.
import type { Cell, ReportTable } from "../../train/report.js";
import { formatValue, MOST_TARGETS } from "./comparison.js";
import type { FinetuneReportInput } from "./input.js";

const PARTS = ["train", "validation", "test"] as const;

export function dataTables(input: FinetuneReportInput): ReportTable[] {
  const rejects = Object.entries(input.data.rejects).sort(([, a], [, b]) => b - a);
  return [
    splitTable(input),
    labelTable(input),
    ...(rejects.length > 0 ? [{ title: "Records rejected", header: ["reason", "records"], rows: rejects }] : []),
  ];
}

function splitTable({ split, data }: FinetuneReportInput): ReportTable {
  const all = data.structures.length;
  const line = (name: string, rows: number): Cell[] => [name, rows, `${((100 * rows) / all).toFixed(1)} %`];
  return {
    title: `Split: ${split.method}, seed ${split.seed}`,
    header: ["part", "molecules", "share"],
    rows: [
      ...PARTS.map((part) => line(part, split[part].length)),
      ...(split.dropped?.length ? [line("left out: structure of another part", split.dropped.length)] : []),
    ],
  };
}

function present(input: FinetuneReportInput, target: number, rows: Int32Array): number[] {
  const width = input.task.kind === "classes" ? 1 : input.task.outputs;
  return Array.from(rows, (row) => input.data.labels[row * width + target]).filter((label) => !Number.isNaN(label));
}

/** One line a target and part. */
function labelTable(input: FinetuneReportInput): ReportTable {
  const { kind, targets, unit } = input.task;
  const shown = targets.slice(0, MOST_TARGETS);
  const more = shown.length < targets.length ? ` (the first ${shown.length} of ${targets.length} targets)` : "";
  const regression = kind === "regression";
  return {
    title: `Labels${unit ? ` in ${unit}` : ""}${more}`,
    header: ["target", "part", "labels", ...(regression ? ["mean ± std", "range"] : ["balance"])],
    rows: shown.flatMap((name, t) =>
      PARTS.map((part): Cell[] => {
        const labels = present(input, t, input.split[part]);
        return [name, part, labels.length, ...(regression ? spread(labels) : [balance(labels)])];
      }),
    ),
  };
}

function spread(labels: readonly number[]): string[] {
  if (labels.length === 0) return ["", ""];
  const mean = labels.reduce((sum, label) => sum + label, 0) / labels.length;
  const std = Math.sqrt(labels.reduce((sum, label) => sum + (label - mean) ** 2, 0) / labels.length);
  const low = labels.reduce((a, b) => Math.min(a, b));
  const high = labels.reduce((a, b) => Math.max(a, b));
  return [`${formatValue(mean)} ± ${formatValue(std)}`, `${formatValue(low)} to ${formatValue(high)}`];
}

/** `1: 12.3 %`, or the share of each class. */
function balance(labels: readonly number[]): string {
  const counts = new Map<number, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => b - a)
    .slice(0, 8)
    .map(([label, count]) => `${label}: ${((100 * count) / labels.length).toFixed(1)} %`)
    .join(", ");
}
