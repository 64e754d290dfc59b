// The molecules that the model gets most wrong, as a table and drawn.
import { depict } from "../../chem/depict.js";
import type { Rdkit } from "../../chem/rdkit.js";
import type { ReportTable } from "../../train/report.js";
import { formatValue, labelsOf } from "./comparison.js";
import type { FinetuneReportInput } from "./input.js";

const SHOWN = 12;

export interface Mistake {
  /** Number of the molecule among all. */
  readonly row: number;
  readonly target: number;
  readonly label: number;
  /** Value, or probability of the right answer. */
  readonly prediction: number;
}

/** Drawing with what is to be said under it. */
export interface Drawing {
  readonly svg: string | null;
  readonly caption: string;
}

/** The largest errors, one a molecule: in standard deviations of the target's labels, or the smallest probability of the right answer. */
export function worstMistakes(input: FinetuneReportInput): Mistake[] {
  const { kind, outputs } = input.task;
  const rows = input.split[input.scored];
  const labels = labelsOf(input, rows);
  const [{ predictions }] = input.methods;
  const tasks = kind === "classes" ? 1 : outputs;
  const scale = Array.from({ length: tasks }, (_, t) => (kind === "regression" ? deviation(labels, t, tasks) : 1));
  const worst: (Mistake & { readonly size: number })[] = [];
  rows.forEach((row, i) => {
    let found: (Mistake & { readonly size: number }) | null = null;
    for (let t = 0; t < tasks; t++) {
      const label = labels[i * tasks + t];
      if (Number.isNaN(label)) continue;
      const value = predictions[i * outputs + (kind === "classes" ? label : t)];
      const prediction = kind === "binary" && label === 0 ? 1 - value : value;
      const size = kind === "regression" ? Math.abs(value - label) / scale[t] : 1 - prediction;
      if (!found || size > found.size) found = { row, target: t, label, prediction, size };
    }
    if (found) worst.push(found);
  });
  return worst.sort((a, b) => b.size - a.size).slice(0, SHOWN);
}

/** 1 where all labels are equal. */
function deviation(labels: Float64Array, target: number, tasks: number): number {
  const present = labels.filter((label, i) => i % tasks === target && !Number.isNaN(label));
  const mean = present.reduce((sum, label) => sum + label, 0) / present.length;
  return Math.sqrt(present.reduce((sum, label) => sum + (label - mean) ** 2, 0) / present.length) || 1;
}

export function mistakeTable({ task, data }: FinetuneReportInput, mistakes: readonly Mistake[]): ReportTable {
  return {
    title: "Worst mistakes",
    header: ["molecule", "target", "label", task.kind === "regression" ? "predicted" : "probability given to it"],
    rows: mistakes.map(({ row, target, label, prediction }) => [
      data.names[row],
      task.targets[target],
      formatLabel(label),
      formatValue(prediction),
    ]),
  };
}

function formatLabel(label: number): string {
  return Number.isInteger(label) ? String(label) : formatValue(label);
}

export function drawMistakes(
  rdkit: Rdkit,
  { task, data }: FinetuneReportInput,
  mistakes: readonly Mistake[],
): Drawing[] {
  return mistakes.map(({ row, target, label, prediction }) => {
    const value =
      task.kind === "regression"
        ? `label ${formatLabel(label)}, predicted ${formatValue(prediction)}`
        : `label ${label}, given a probability of ${formatValue(prediction)}`;
    const about = task.targets.length > 1 ? `${task.targets[target]}: ` : "";
    return {
      svg: depict(rdkit, data.structures[row], { width: 240, height: 180 }),
      caption: `${data.names[row]}\n${about}${value}`,
    };
  });
}
