// Labels of a fine-tuned model: what the loss takes, and the way back from logits to values in the units of the labels.
import type { BatchTensor } from "../blend/tensors.js";
import { DatasetError } from "../errors.js";
import type { TaskConfig } from "../model/task-graphs.js";

/** A column of labels and how regression scales it: label = mean + std · output. Mean 0 and std 1 for classification. */
export interface Target {
  readonly name: string;
  readonly mean: number;
  readonly std: number;
}

/** Labels of every entry, row by row; NaN where missing. [entries, targets] */
export interface LabelTable {
  readonly names: readonly string[];
  readonly values: Float64Array;
}

/** Mean and standard deviation (population) of each target over the entries to train on. */
export function targetScales(labels: LabelTable, train: Int32Array, kind: TaskConfig["kind"]): Target[] {
  return labels.names.map((name, t) => {
    if (kind !== "regression") return { name, mean: 0, std: 1 };
    const present = presentLabels(labels, train, t);
    const mean = present.reduce((sum, value) => sum + value, 0) / present.length;
    const variance = present.reduce((sum, value) => sum + (value - mean) ** 2, 0) / present.length;
    if (!(variance > 0)) {
      throw new DatasetError(
        `target "${name}": expected different values to learn from, got ${present.length} training labels that are all ${present[0]}; leave it out or split otherwise`,
      );
    }
    return { name, mean, std: Math.sqrt(variance) };
  });
}

/** The labels of a target among some entries, missing ones left out. */
export function presentLabels({ names, values }: LabelTable, entries: Int32Array, target: number): number[] {
  const present: number[] = [];
  for (const entry of entries) {
    const value = values[entry * names.length + target];
    if (!Number.isNaN(value)) present.push(value);
  }
  return present;
}

/**
 * Weights that give every class the same say: of a target's classes (binary: two a target; classes: all).
 * [targets, classes], mean weight 1 over the training labels; 0 for a class that has none.
 */
export function balancedClassWeights(labels: LabelTable, train: Int32Array, task: TaskConfig): Float64Array[] {
  const classes = task.kind === "binary" ? 2 : task.outputs;
  return labels.names.map((_, t) => {
    const counts = new Float64Array(classes);
    const present = presentLabels(labels, train, t);
    for (const value of present) counts[value]++;
    const occurring = counts.filter((count) => count > 0).length;
    return counts.map((count) => (count > 0 ? present.length / (occurring * count) : 0));
  });
}

/**
 * The graph inputs "labels" and "label_weights" of a batch; the weights of its present labels sum to 1, so that the loss is
 * their mean.
 */
export function labelTensors(
  labels: LabelTable,
  entries: ArrayLike<number>,
  task: TaskConfig,
  targets: readonly Target[],
  classWeights: readonly Float64Array[] | null,
): Record<"labels" | "label_weights", BatchTensor> {
  const columns = labels.names.length;
  const rows = entries.length;
  const wanted = new Float32Array(rows * task.outputs);
  const weights = new Float32Array(rows * columns);
  let total = 0;
  for (let row = 0; row < rows; row++) {
    for (let t = 0; t < columns; t++) {
      const value = labels.values[entries[row] * columns + t];
      if (Number.isNaN(value)) continue;
      if (task.kind === "classes") wanted[row * task.outputs + value] = 1;
      else wanted[row * columns + t] = (value - targets[t].mean) / targets[t].std;
      const weight = classWeights ? classWeights[t][value] : 1;
      weights[row * columns + t] = weight;
      total += weight;
    }
  }
  if (total > 0) for (let i = 0; i < weights.length; i++) weights[i] /= total;
  return {
    labels: { data: wanted, shape: [rows, task.outputs] },
    label_weights: { data: weights, shape: [rows, columns] },
  };
}

/** Logits → probabilities (binary, classes) or values in the units of the labels. [rows, outputs] */
export function toPredictions(logits: ArrayLike<number>, task: TaskConfig, targets: readonly Target[]): Float64Array {
  const { kind, outputs } = task;
  if (kind === "binary") return Float64Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit)));
  if (kind === "regression") {
    return Float64Array.from(logits, (value, i) => targets[i % outputs].mean + targets[i % outputs].std * value);
  }
  const predictions = new Float64Array(logits.length);
  for (let row = 0; row < logits.length; row += outputs) {
    let largest = -Infinity;
    for (let c = 0; c < outputs; c++) largest = Math.max(largest, logits[row + c]);
    let total = 0;
    for (let c = 0; c < outputs; c++) total += predictions[row + c] = Math.exp(logits[row + c] - largest);
    for (let c = 0; c < outputs; c++) predictions[row + c] /= total;
  }
  return predictions;
}
