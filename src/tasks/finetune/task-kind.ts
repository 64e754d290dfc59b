// What kind of task labels make, and the reasons why labels make none.

import type { Split } from "../../data/split.js";
import { DatasetError } from "../../errors.js";
import type { TaskKind } from "../../model/task-graphs.js";
import { type LabelTable, presentLabels } from "../../train/task-labels.js";

/** Most classes of one target. */
const MOST_CLASSES = 1000;

const describe = (values: readonly number[]) =>
  values.slice(0, 6).join(", ") + (values.length > 6 ? `, ... (${values.length} values)` : "");

export interface KindChoice {
  readonly kind: TaskKind;
  /** Outputs of the model: targets, or classes. */
  readonly outputs: number;
  readonly remarks: readonly string[];
}

/**
 * Zeros and ones are a binary task, all else is regression; classes are only taken for such where they are asked for.
 * @throws DatasetError when the labels do not fit the kind, are all missing, or all the same
 */
export function chooseKind(labels: LabelTable, wanted: TaskKind | "auto"): KindChoice {
  const every = Int32Array.from({ length: labels.values.length / labels.names.length }, (_, i) => i);
  const levels = labels.names.map((name, t) => {
    const distinct = [...new Set(presentLabels(labels, every, t))].sort((a, b) => a - b);
    if (distinct.length === 0) throw new DatasetError(`target "${name}": every label is missing; leave it out`);
    if (distinct.length === 1) {
      throw new DatasetError(
        `target "${name}": every label is ${distinct[0]}, there is nothing to learn; leave it out`,
      );
    }
    return distinct;
  });
  const binary = (values: readonly number[]) => values.every((value) => value === 0 || value === 1);
  const kind = wanted === "auto" ? (levels.every(binary) ? "binary" : "regression") : wanted;
  if (kind === "classes") return classes(labels, levels, every.length);
  if (kind === "binary") {
    const wrong = levels.findIndex((values) => !binary(values));
    if (wrong >= 0) {
      throw new DatasetError(
        `target "${labels.names[wrong]}": expected 0 and 1 of a binary task, got ${describe(levels[wrong])}; leave missing labels empty, or choose --kind regression or classes`,
      );
    }
  }
  const whole = (values: readonly number[]) => values.length <= 10 && values.every(Number.isInteger);
  const doubtful = kind === "regression" && wanted === "auto" ? labels.names.filter((_, t) => whole(levels[t])) : [];
  const remarks = doubtful.map(
    (name) =>
      `target "${name}" has few whole numbers and is taken for regression; --kind classes takes them for classes`,
  );
  return { kind, outputs: labels.names.length, remarks };
}

function classes({ names }: LabelTable, levels: readonly (readonly number[])[], molecules: number): KindChoice {
  if (names.length !== 1) {
    throw new DatasetError(`classes: expected one target, got ${names.length} (${names.join(", ")})`);
  }
  const [values] = levels;
  const last = values[values.length - 1];
  if (!values.every((value) => Number.isInteger(value) && value >= 0) || last >= MOST_CLASSES) {
    throw new DatasetError(
      `target "${names[0]}": expected classes numbered from 0 (at most ${MOST_CLASSES}), got ${describe(values)}`,
    );
  }
  if (molecules < last + 1) {
    throw new DatasetError(
      `target "${names[0]}": expected at least as many molecules as its ${last + 1} classes, got ${molecules}; number the classes without gaps, or use --kind regression`,
    );
  }
  return { kind: "classes", outputs: last + 1, remarks: [] };
}

/**
 * Whether every part of a split has labels that can be learnt from or measured.
 * @returns remarks on targets that cannot be measured or learnt in some part
 * @throws DatasetError when a part has no label at all, a target none to train on, or every target one class only
 */
export function checkSplit(labels: LabelTable, split: Split, kind: TaskKind): string[] {
  const remarks: string[] = [];
  for (const part of ["train", "validation", "test"] as const) {
    const present = labels.names.map((_, t) => presentLabels(labels, split[part], t));
    if (present.every((values) => values.length === 0)) {
      const why =
        split[part].length === 0
          ? "it has no molecule"
          : `all labels of its ${split[part].length} molecules are missing`;
      throw new DatasetError(
        `${part} part of the split: ${why}; choose other shares, another method or seed (--split, --split-seed)`,
      );
    }
    const none = labels.names.filter((_, t) => present[t].length === 0);
    if (part === "train" && none.length > 0) {
      throw new DatasetError(
        `train part of the split: target "${none[0]}" has no label in it; leave it out or split otherwise`,
      );
    }
    if (none.length > 0) remarks.push(`${part}: no labels of ${none.join(", ")}; not measured there`);
    if (kind === "regression") continue;
    const single = labels.names.filter((_, t) => present[t].length > 0 && new Set(present[t]).size === 1);
    const measurable = labels.names.length - none.length - single.length;
    // Validation needs a metric to choose the epoch by; a test part without one is reported as such.
    if (measurable === 0 && (part === "train" || (part === "validation" && kind === "binary"))) {
      throw new DatasetError(
        `${part} part of the split: expected both classes of ${labels.names.length === 1 ? `target "${labels.names[0]}"` : "some target"}, got one class only; use --split stratified or random, other shares, or another --split-seed`,
      );
    }
    if (single.length > 0) remarks.push(`${part}: one class only of ${single.join(", ")}`);
  }
  return remarks;
}
