// Evaluation as a job: fine-tuned models and labelled molecules → metrics, and the predictions they are of.
import { writeFileSync } from "node:fs";
import { FINGERPRINT_BYTES, morganFingerprint } from "../chem/fingerprint.js";
import { loadRdkit } from "../chem/rdkit.js";
import type { Corpus } from "../data/corpus.js";
import { ConfigError } from "../errors.js";
import { type FinetunedModel, loadFinetuned, trainingFingerprints } from "../train/finetuned-model.js";
import { bootstrapIntervals, type Interval } from "../train/metrics.js";
import { entryLabels } from "../train/task-data.js";
import { applyCalibration } from "./finetune/calibrate.js";
import { openLabelled } from "./finetune/labelled-corpus.js";
import { labelledEntries } from "./finetune/labelled-entries.js";
import { meanAndSpread, predictionsCsv } from "./finetune/predictions-file.js";
import { scoreMembers, withScorer } from "./finetune/score-parts.js";
import type { PrepareOptions } from "./prepare.js";

export interface EvaluateJob {
  /** The run of a fine-tuned model. */
  readonly model: string;
  /** Files of molecules with labels, or a corpus. */
  readonly inputs: readonly string[];
  /** Columns that hold the labels of the model's targets, in their order; the targets' names by default. */
  readonly targets?: readonly string[];
  /** CSV of predictions to write. */
  readonly out?: string;
  /** Where files are prepared to. */
  readonly cacheDir: string;
  readonly prepare?: Omit<PrepareOptions, "hydrogens" | "maxAtoms" | "labels">;
  readonly threads?: number;
}

export interface EvaluateSummary {
  readonly model: string;
  /** The metric that the model was chosen by. */
  readonly metric: string;
  readonly molecules: number;
  /** Records that could not be used. */
  readonly rejects: number;
  /** Molecules without any label. */
  readonly unlabelled: number;
  /** Labelled molecules without coordinates, of which a model of mode 3d sees nothing. */
  readonly unlocated: number;
  /** Molecules that the model was trained on, as far as fingerprints tell: they are no test. */
  readonly seenInTraining: number;
  /** Of the mean of all seeds. */
  readonly metrics: Readonly<Record<string, number>>;
  /** 95 % bootstrap intervals. */
  readonly intervals: Readonly<Record<string, Interval>>;
  readonly perTarget: readonly Readonly<Record<string, number>>[];
  readonly targets: readonly string[];
  readonly seeds: readonly Readonly<Record<string, number>>[];
  readonly out: string | null;
}

/** @throws ConfigError, DatasetError, CheckpointError */
export async function evaluate(job: EvaluateJob): Promise<EvaluateSummary> {
  const model = loadFinetuned(job.model);
  const { description } = model;
  const names = description.targets.map(({ name }) => name);
  const columns = job.targets ?? names;
  if (columns.length !== names.length) {
    throw new ConfigError(
      `targets: expected ${names.length}, one for each of ${names.join(", ")}, got ${columns.length}`,
    );
  }
  // Defaults are left out, so that a prepared corpus is not refused for them.
  const { hydrogens, maxAtoms } = description.reading;
  const reading = { ...(hydrogens ? { hydrogens } : {}), ...(maxAtoms === 256 ? {} : { maxAtoms }) };
  const prepare = { ...job.prepare, ...reading };
  const { corpus } = await openLabelled({ inputs: job.inputs, targets: columns, cacheDir: job.cacheDir, prepare });
  try {
    return await evaluateCorpus(model, corpus, columns, job);
  } finally {
    corpus.close();
  }
}

async function evaluateCorpus(
  model: FinetunedModel,
  corpus: Corpus,
  columnNames: readonly string[],
  job: EvaluateJob,
): Promise<EvaluateSummary> {
  const { description, parameters } = model;
  const { task, targets, conformers, metric } = description;
  const { entries, labels: table, unlabelled, unlocated } = labelledEntries(corpus, columnNames, task.mode);
  const every = Int32Array.from(entries.keys());
  const labels = entryLabels(table, every);
  const taskModel = { model: description.model, task, targets };
  const options = { conformers, threads: job.threads };
  const { members } = await withScorer(corpus, { model: taskModel, parameters }, null, options, (predict) =>
    predict({ entries }, every),
  );
  const { metrics, perTarget, seeds } = scoreMembers(taskModel, members, labels);
  const uncalibrated = meanAndSpread(members, []);
  if (job.out !== undefined) {
    const rows = Array.from(entries, ([row]) => corpus.nameOf(row));
    const calibrated = applyCalibration(task, description.calibration, uncalibrated);
    const predictions = { ...uncalibrated, calibrated };
    writeFileSync(job.out, predictionsCsv(targets, task, { names: rows, labels, predictions }));
  }
  return {
    model: model.dir,
    metric,
    molecules: entries.length,
    rejects: corpus.manifest.counts.rejects,
    unlabelled,
    unlocated,
    seenInTraining: await countSeen(model, corpus, entries),
    metrics,
    intervals: bootstrapIntervals(task.kind, uncalibrated.mean, labels, task.outputs, { seed: 1 }),
    perTarget,
    targets: targets.map(({ name }) => name),
    seeds,
    out: job.out ?? null,
  };
}

async function countSeen(model: FinetunedModel, corpus: Corpus, entries: readonly Int32Array[]): Promise<number> {
  const rdkit = await loadRdkit();
  const known = trainingFingerprints(model);
  const texts = new Set<string>();
  for (let at = 0; at < known.length; at += FINGERPRINT_BYTES) {
    texts.add(Buffer.from(known.subarray(at, at + FINGERPRINT_BYTES)).toString("latin1"));
  }
  return entries.filter(([row]) => texts.has(Buffer.from(morganFingerprint(rdkit, corpus.get(row))).toString("latin1")))
    .length;
}
