// Tables of predictions as CSV: one row a molecule, labels where they are known.
import type { TaskConfig } from "../../model/task-graphs.js";

/** A cell as RFC 4180 has it. */
export function csvCell(value: string | number): string {
  const text = typeof value === "number" ? (Number.isNaN(value) ? "" : String(value)) : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csvLine(cells: readonly (string | number)[]): string {
  return `${cells.map(csvCell).join(",")}\n`;
}

/** Names of what a model puts out: targets, or the classes of its one target. */
export function outputNames(targets: readonly { readonly name: string }[], { kind, outputs }: TaskConfig): string[] {
  if (kind !== "classes") return targets.map(({ name }) => name);
  return Array.from({ length: outputs }, (_, c) => `${targets[0].name} class ${c}`);
}

/** Values of several models and what is written of them: their mean and standard deviation. */
export interface Spread {
  readonly mean: Float64Array;
  /** Population standard deviation over the models or draws. */
  readonly std: Float64Array;
}

export function spreadOf(members: readonly Float64Array[]): Spread {
  const { length } = members[0];
  const mean = new Float64Array(length);
  const std = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    // Exactly the value itself for a single member.
    for (const member of members) mean[i] += member[i] / members.length;
    for (const member of members) std[i] += (member[i] - mean[i]) ** 2 / members.length;
    std[i] = Math.sqrt(std[i]);
  }
  return { mean, std };
}

export interface PredictedMolecules {
  readonly names: readonly string[];
  /** [molecules, targets] */
  readonly labels: Float64Array;
  readonly predictions: Spread;
  /** Whether `std` says something: more than one model. */
  readonly uncertain: boolean;
}

/** Columns: name, labels, then "X predicted" and, where there are several models, "X std" of each output. */
export function predictionsCsv(
  targets: readonly { readonly name: string }[],
  task: TaskConfig,
  { names, labels, predictions, uncertain }: PredictedMolecules,
): string {
  const outputs = outputNames(targets, task);
  const columns = outputs.flatMap((name) => [`${name} predicted`, ...(uncertain ? [`${name} std`] : [])]);
  const lines = [csvLine(["name", ...targets.map(({ name }) => name), ...columns])];
  names.forEach((name, i) => {
    const own = targets.map((_, t) => labels[i * targets.length + t]);
    const values = outputs.flatMap((_, o) => {
      const at = i * outputs.length + o;
      return [predictions.mean[at], ...(uncertain ? [predictions.std[at]] : [])];
    });
    lines.push(csvLine([name, ...own, ...values]));
  });
  return lines.join("");
}
