// A simple method on the molecules and the split of a fine-tuning run, to stand beside it.
import { FINGERPRINT_BITS, FINGERPRINT_BYTES, morganFingerprint } from "../../chem/fingerprint.js";
import { loadRdkit } from "../../chem/rdkit.js";
import type { Corpus } from "../../data/corpus.js";
import type { TaskKind, TaskMode } from "../../model/task-graphs.js";
import { type BaselineName, type BaselineOptions, runBaseline } from "../../train/baselines/baselines.js";
import { type BinaryFeatures, unpackFingerprints } from "../../train/baselines/binary-features.js";
import { taskMetrics } from "../../train/metrics.js";
import { entryLabels, type TaskData } from "../../train/task-data.js";
import { type LabelledInput, openLabelled } from "./labelled-corpus.js";
import { labelledEntries } from "./labelled-entries.js";
import { type SplitRequest, splitEntries } from "./split-entries.js";
import { chooseKind } from "./task-kind.js";

export interface BaselineScore {
  readonly name: BaselineName;
  readonly validation: Readonly<Record<string, number>>;
  readonly test: Readonly<Record<string, number>>;
  /** Of the entries of each part, in their order. [entries * outputs] */
  readonly predictions: { readonly validation: Float64Array; readonly test: Float64Array };
  readonly seconds: number;
}

/** Fingerprints of the entries, in their order. */
async function entryFingerprints(corpus: Corpus, entries: readonly Int32Array[]): Promise<BinaryFeatures> {
  const rdkit = await loadRdkit();
  const bytes = new Uint8Array(entries.length * FINGERPRINT_BYTES);
  entries.forEach(([row], i) => {
    bytes.set(morganFingerprint(rdkit, corpus.get(row)), i * FINGERPRINT_BYTES);
  });
  return unpackFingerprints(bytes, FINGERPRINT_BITS);
}

/** The molecules, labels and split of a fine-tuning run. The corpus is the caller's to close. */
export interface OpenTask {
  readonly corpus: Corpus;
  readonly kind: TaskKind;
  readonly outputs: number;
  readonly data: TaskData;
  readonly dropped: Int32Array;
}

/** @param task kind and mode of the run; otherwise the kind follows from the labels, and molecules need no coordinates */
export async function openTask(
  input: LabelledInput,
  split: SplitRequest,
  task?: { readonly kind: TaskKind; readonly mode: TaskMode },
): Promise<OpenTask> {
  const { corpus, targets, reader } = await openLabelled(input);
  try {
    const { entries, labels } = labelledEntries(corpus, targets, task?.mode ?? "2d");
    const chosen = chooseKind(labels, task?.kind ?? "auto");
    const firstLabels = Float64Array.from(entries, (_, i) => labels.values[i * targets.length]);
    const { dropped, ...parts } = await splitEntries(corpus, entries, firstLabels, split, reader);
    const data = { entries, labels, split: parts };
    return { corpus, kind: chosen.kind, outputs: chosen.outputs, data, dropped };
  } catch (error) {
    corpus.close();
    throw error;
  }
}

/** Trains the baselines on the training part, and scores them on validation and test. One result a name, in their order. */
export async function scoreBaselines(
  names: readonly BaselineName[],
  { corpus, kind, outputs, data }: OpenTask,
  options: BaselineOptions,
): Promise<BaselineScore[]> {
  const { entries, labels, split } = data;
  const { train, validation, test } = split;
  const features = await entryFingerprints(corpus, entries);
  const scored = Int32Array.from([...validation, ...test]);
  return names.map((name) => {
    const input = { kind, outputs, features, labels: labels.values, train, validation };
    const { predictions, seconds } = runBaseline(name, input, scored, options);
    const cut = validation.length * outputs;
    const [first, second] = [predictions.slice(0, cut), predictions.slice(cut)];
    const [firstKnown, secondKnown] = [entryLabels(labels, validation), entryLabels(labels, test)];
    return {
      name,
      validation: taskMetrics(kind, first, firstKnown, outputs).average,
      test: taskMetrics(kind, second, secondKnown, outputs).average,
      predictions: { validation: first, test: second },
      seconds,
    };
  });
}
