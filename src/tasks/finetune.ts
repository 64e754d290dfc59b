// Fine-tuning as a job: labelled molecules and a pretrained encoder → models of several seeds, predictions and a report.
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError } from "../errors.js";
import { preset } from "../model/config.js";
import type { Readout, TaskKind, TaskMode } from "../model/task-graphs.js";
import type { BaselineName } from "../train/baselines/baselines.js";
import type { LoadedCheckpoint } from "../train/checkpoint.js";
import { openPretrained, pretrainedConfig } from "../train/encoder-weights.js";
import type { FinetunedSeed } from "../train/finetune-loop.js";
import { saveFinetuned, taskSlots } from "../train/finetuned-model.js";
import { type Interval, isBetter, MAIN_METRIC } from "../train/metrics.js";
import type { ProgressMode } from "../train/progress.js";
import type { TaskData } from "../train/task-data.js";
import { type Target, targetScales } from "../train/task-labels.js";
import { type FinetuneOverrides, type FinetuneSettings, finetuneSettings, isTrained } from "../train/task-settings.js";
import type { CalibrationSummary } from "./finetune/calibrate.js";
import { type LabelledCorpus, openLabelled } from "./finetune/labelled-corpus.js";
import { labelledEntries } from "./finetune/labelled-entries.js";
import { openRun, type RunSummary, writeRunConfig, writeRunSummary } from "./finetune/run-files.js";
import { writeRunReport } from "./finetune/run-report.js";
import { scoreParts } from "./finetune/score-parts.js";
import { type SplitRequest, splitEntries } from "./finetune/split-entries.js";
import { checkSplit, chooseKind } from "./finetune/task-kind.js";
import { trainSeeds } from "./finetune/train-seeds.js";
import { distinctFingerprints } from "./finetune/training-fingerprints.js";
import type { PrepareOptions, PrepareSummary } from "./prepare.js";

export interface FinetuneJob {
  /** A prepared corpus with labels, or files of molecules. */
  readonly inputs: readonly string[];
  /** Columns or tags to predict; those of a known data set (`prepare.dataset`) or all of a corpus by default. */
  readonly targets?: readonly string[];
  /** A pretraining run, one of its checkpoints, or an imported one; null trains from scratch. */
  readonly from: string | null;
  /** Sizes of a model from scratch ("mini" by default); with `from`, the sizes that it must have. */
  readonly preset?: string;
  /** Found from the labels by default: zeros and ones are binary, all else regression. */
  readonly kind?: TaskKind | "auto";
  /** mean by default: the graph token (cls) of a small model that starts from scratch may never begin to learn. */
  readonly readout?: Readout;
  /** What the model sees of a molecule: its graph (2d, the default), its coordinates (3d), or both. */
  readonly mode?: TaskMode;
  readonly split: SplitRequest;
  /** One model a seed; [1] by default. */
  readonly seeds?: readonly number[];
  readonly training?: FinetuneOverrides;
  /** Simple methods to set beside the model in the report; none by default. */
  readonly baselines?: readonly BaselineName[];
  readonly runsDir: string;
  /** By default `finetune-TARGET` with the first free number. */
  readonly name?: string;
  readonly prepare?: PrepareOptions;
  /** Called when the molecules are there: with what was done, or null where a corpus was there already. */
  readonly onPrepared?: (summary: PrepareSummary | null) => void;
  readonly threads?: number;
  /** Replicas of the model that share each batch; chosen by threads and width where it is left out. */
  readonly replicas?: number;
  readonly workers?: number;
  readonly progress?: ProgressMode;
  /** False leaves the test part alone: it is split off, but neither predicted nor scored. True by default. */
  readonly scoreTest?: boolean;
  /** Asked after every epoch: true ends training there; the best epochs so far are kept and scored. */
  readonly shouldStop?: () => boolean;
  /** The command line that started the job, for the report. */
  readonly command?: string;
  /** Further versions to record beside those of Node and RDKit. */
  readonly versions?: Readonly<Record<string, string>>;
}

/** How good predictions of a part are: those of all seeds together (their mean), and of each. */
export interface PartScore {
  readonly metrics: Readonly<Record<string, number>>;
  readonly perTarget: readonly Readonly<Record<string, number>>[];
  /** 95 % bootstrap intervals of `metrics`; empty for validation, whose values chose the epoch. */
  readonly intervals: Readonly<Record<string, Interval>>;
  readonly seeds: readonly Readonly<Record<string, number>>[];
  /** CSV of the predictions. */
  readonly predictions: string;
}

/** `Test` is null where the test part was left alone. */
export interface FinetuneSummary<Test extends PartScore | null = PartScore> {
  readonly run: string;
  readonly kind: TaskKind;
  /** The metric that chose the epochs. */
  readonly metric: string;
  readonly pretrained: string | null;
  readonly parts: { readonly validation: PartScore; readonly test: Test };
  /** Null where nothing could be fitted. */
  readonly calibration: CalibrationSummary | null;
  readonly seeds: readonly Omit<FinetunedSeed, "parameters">[];
  readonly finished: boolean;
  readonly data: {
    readonly targets: readonly string[];
    readonly split: string;
    readonly train: number;
    readonly validation: number;
    readonly test: number;
    /** Entries left out of a given split. */
    readonly dropped: number;
    readonly rejects: number;
    readonly corpus: string;
  };
  readonly remarks: readonly string[];
  readonly parameters: number;
  readonly trained: number;
  readonly moleculesPerSecond: number;
  readonly seconds: number;
  readonly report: string;
  readonly html: string;
}

function newRunDir({ runsDir, name }: FinetuneJob, targets: readonly string[]): string {
  if (name !== undefined) {
    const dir = join(runsDir, name);
    if (existsSync(dir) && readdirSync(dir).length > 0)
      throw new ConfigError(`${dir}: this run exists; take another name`);
    return dir;
  }
  const plain = targets[0]
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 40);
  const base = `finetune-${plain || "task"}`;
  for (let i = 1; ; i++) {
    const dir = join(runsDir, i === 1 ? base : `${base}-${i}`);
    if (!existsSync(dir)) return dir;
  }
}

interface Prepared {
  readonly labelled: LabelledCorpus;
  readonly data: TaskData;
  readonly dropped: Int32Array;
  readonly targets: readonly Target[];
  readonly settings: FinetuneSettings;
  readonly remarks: readonly string[];
}

async function prepareData(
  job: FinetuneJob,
  labelled: LabelledCorpus,
  pretrained: LoadedCheckpoint | null,
): Promise<Prepared> {
  const { readout = "mean", mode = "2d" } = job;
  const { corpus } = labelled;
  const { entries, labels, unlabelled, unlocated } = labelledEntries(corpus, labelled.targets, mode);
  const { kind, outputs, remarks } = chooseKind(labels, job.kind ?? "auto");
  const model = pretrained
    ? pretrainedConfig(pretrained, job.preset === undefined ? null : preset(job.preset))
    : preset(job.preset ?? "mini");
  const task = { kind, outputs, readout, mode };
  const settings = finetuneSettings(model, task, MAIN_METRIC[kind], job.training);
  isBetter(settings.metric, 0, 0); // refuses a metric that is not known
  const firstLabels = Float64Array.from(entries, (_, i) => labels.values[i * labels.names.length]);
  const { dropped, ...parts } = await splitEntries(corpus, entries, firstLabels, job.split, labelled.reader);
  const notes = checkSplit(labels, parts, kind);
  const targets = targetScales(labels, parts.train, kind);
  const missing = [
    ...(unlabelled > 0 ? [`${unlabelled} molecules without any label were left out`] : []),
    ...(unlocated > 0 ? [`${unlocated} molecules without coordinates were left out (mode 3d)`] : []),
  ];
  return {
    labelled,
    data: { entries, labels, split: parts },
    dropped,
    targets,
    settings,
    remarks: [...remarks, ...notes, ...missing],
  };
}

/**
 * Fine-tunes one model a seed and scores their mean on the test part, once, or not at all.
 * @throws ConfigError, DatasetError, CheckpointError, each naming what to do
 */
export async function finetune(job: FinetuneJob & { readonly scoreTest?: true }): Promise<FinetuneSummary>;
export async function finetune(job: FinetuneJob): Promise<FinetuneSummary<PartScore | null>>;
export async function finetune(job: FinetuneJob): Promise<FinetuneSummary<PartScore | null>> {
  const seeds = job.seeds ?? [1];
  if (seeds.length === 0 || new Set(seeds).size !== seeds.length) {
    throw new ConfigError(`seeds: expected different ones, at least one, got ${seeds.join(", ") || "none"}`);
  }
  const pretrained = job.from === null ? null : openPretrained(job.from);
  const cacheDir = join(job.runsDir, "corpora");
  let labelled: LabelledCorpus | null = null;
  try {
    labelled = await openLabelled({
      inputs: job.inputs,
      targets: job.targets ?? [],
      cacheDir,
      ...(job.prepare ? { prepare: job.prepare } : {}),
    });
    job.onPrepared?.(labelled.prepared);
    const prepared = await prepareData(job, labelled, pretrained);
    const run = newRunDir(job, labelled.targets);
    mkdirSync(run, { recursive: true });
    const { corpus } = labelled;
    writeRunConfig(run, {
      ...{ settings: prepared.settings, seeds, split: job.split, targets: labelled.targets, from: job.from },
      ...{ corpus: resolve(corpus.dir), command: job.command ?? null },
      versions: { ...job.versions, node: process.version, rdkit: corpus.manifest.rdkitVersion },
    });
    const results = await trainSeeds(job, { corpus, ...prepared }, seeds, pretrained, run);
    return await finish(job, prepared, results, run, seeds);
  } finally {
    pretrained?.close();
    labelled?.corpus.close();
  }
}

/** Saves the models, scores them, and writes the report. */
async function finish(
  job: FinetuneJob,
  prepared: Prepared,
  results: readonly FinetunedSeed[],
  run: string,
  seeds: readonly number[],
): Promise<FinetuneSummary<PartScore | null>> {
  const { labelled, data, targets, settings, remarks, dropped } = prepared;
  const { corpus } = labelled;
  const { model, task, dropout, metric, conformers } = settings;
  const { options, rejects } = corpus.manifest;
  const seedModels = { model: { model, task, targets }, parameters: results.map(({ parameters }) => parameters) };
  const { parts, calibration } = await scoreParts(corpus, data, seedModels, {
    ...{ conformers, dropout, scoreTest: job.scoreTest ?? true, threads: job.threads, run },
  });
  await saveFinetuned(run, {
    calibration: calibration?.calibration ?? null,
    ...{ model, task, targets, dropout, metric, conformers, seeds: results },
    reading: { hydrogens: options["hydrogens"] === true, maxAtoms: Number(options["maxAtoms"] ?? 256) },
    fingerprints: await distinctFingerprints(corpus, data),
    pretrained: job.from,
  });
  const { slots } = taskSlots(model, task);
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  const summary: RunSummary = {
    run,
    kind: task.kind,
    metric,
    pretrained: job.from,
    parts,
    calibration,
    seeds: results.map(({ parameters: _, ...rest }) => rest),
    finished: results.length === seeds.length && results.every(({ finished }) => finished),
    data: {
      targets: labelled.targets,
      split: `${job.split.method}, seed ${job.split.seed}`,
      train: data.split.train.length,
      validation: data.split.validation.length,
      test: data.split.test.length,
      dropped: dropped.length,
      rejects: Object.values(rejects).reduce((sum, count) => sum + count, 0),
      corpus: corpus.dir,
    },
    remarks,
    parameters: slots.reduce((sum, { size }) => sum + size, 0),
    trained: slots.reduce((sum, { name, size }) => sum + (isTrained(name, settings) ? size : 0), 0),
    moleculesPerSecond: seconds > 0 ? results.reduce((sum, { molecules }) => sum + molecules, 0) / seconds : 0,
    seconds,
  };
  writeRunSummary(run, summary);
  const opened = { corpus, kind: task.kind, outputs: task.outputs, data, dropped };
  const { markdown, html } = await writeRunReport(openRun(run), opened, {
    compare: [],
    baselines: job.baselines ?? [],
  });
  return { ...summary, report: markdown, html };
}
