// Tables of predictions as CSV: one row a molecule, labels where they are known.
import type { DropoutConfig } from "../../model/config.js";
import type { TaskConfig } from "../../model/task-graphs.js";
import type { SpreadSource } from "../../train/calibration.js";

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

/** Where the spread of predictions comes from: several models, else draws with dropout, else there is none. */
export function spreadSource(
  models: number,
  { attention, activation, droppath }: DropoutConfig,
  samples: number,
): SpreadSource | null {
  if (models > 1) return { from: "ensemble", models };
  return samples > 0 && attention + activation + droppath > 0 ? { from: "dropout", samples } : null;
}

/** Mean of the models; the spread is that of the models, or of the draws where there is one model. */
export function meanAndSpread(
  members: readonly Float64Array[],
  draws: readonly Float64Array[],
): Omit<Predictions, "calibrated"> {
  const { mean, std } = spreadOf(members);
  return { mean, std: members.length > 1 ? std : draws.length > 0 ? spreadOf(draws).std : null };
}

/** What is written of some molecules. Each [molecules * outputs]; null where there is no such column. */
export interface Predictions {
  readonly mean: Float64Array;
  readonly std: Float64Array | null;
  /** Regression: standard deviations; otherwise probabilities. */
  readonly calibrated: Float64Array | null;
}

/** Columns of each output: "X predicted", "X std", and "X std calibrated" (regression) or "X calibrated" (probabilities). */
export function predictionColumns(
  outputs: readonly string[],
  { kind }: TaskConfig,
  has: { readonly std: boolean; readonly calibrated: boolean },
): string[] {
  const calibrated = kind === "regression" ? "std calibrated" : "calibrated";
  return outputs.flatMap((name) => [
    `${name} predicted`,
    ...(has.std ? [`${name} std`] : []),
    ...(has.calibrated ? [`${name} ${calibrated}`] : []),
  ]);
}

/** Cells of one molecule, as `predictionColumns` names them. */
export function predictionCells({ mean, std, calibrated }: Predictions, molecule: number, outputs: number): number[] {
  const first = molecule * outputs;
  return Array.from({ length: outputs }, (_, o) => [
    mean[first + o],
    ...(std ? [std[first + o]] : []),
    ...(calibrated ? [calibrated[first + o]] : []),
  ]).flat();
}

export interface PredictedMolecules {
  readonly names: readonly string[];
  /** [molecules, targets] */
  readonly labels: Float64Array;
  readonly predictions: Predictions;
}

/** Columns: name, labels, predictions. */
export function predictionsCsv(
  targets: readonly { readonly name: string }[],
  task: TaskConfig,
  { names, labels, predictions }: PredictedMolecules,
): string {
  const outputs = outputNames(targets, task);
  const has = { std: predictions.std !== null, calibrated: predictions.calibrated !== null };
  const lines = [
    csvLine(["name", ...targets.map(({ name }) => name), ...predictionColumns(outputs, task, has)]),
    ...names.map((name, i) => {
      const own = targets.map((_, t) => labels[i * targets.length + t]);
      return csvLine([name, ...own, ...predictionCells(predictions, i, outputs.length)]);
    }),
  ];
  return lines.join("");
}
