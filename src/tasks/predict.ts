// Prediction as a job: molecules and fine-tuned models → a table of values, uncertainties, and how far each molecule is from training.
import { availableParallelism } from "node:os";
import type { ReaderOptions } from "../data/readers/index.js";
import { ConfigError } from "../errors.js";
import { readsGeometry, type TaskConfig } from "../model/task-graphs.js";
import type { Calibration, SpreadSource } from "../train/calibration.js";
import { type FinetunedModel, loadFinetuned, trainingFingerprints } from "../train/finetuned-model.js";
import { applyCalibration } from "./finetune/calibrate.js";
import {
  meanAndSpread,
  outputNames,
  predictionCells,
  predictionColumns,
  spreadSource,
} from "./finetune/predictions-file.js";
import { DRAWS } from "./finetune/score-parts.js";
import { inOrder } from "./inference/in-order.js";
import { openSource } from "./inference/molecule-source.js";
import { type PredictedBatch, type PredictSetup, predictionPool } from "./inference/prediction.js";
import { openRejects } from "./inference/rejects.js";
import {
  openTable,
  type TableColumns,
  type TableFormat,
  type TableRow,
  tableFormat,
} from "./inference/table-writer.js";

/** Largest Tanimoto similarity with a training molecule below which a molecule counts as far from them. */
export const FAR_SIMILARITY = 0.3;

export interface PredictJob {
  /** Runs of fine-tuned models; several are an ensemble and must be of one task. */
  readonly models: readonly string[];
  /** Files of molecules, "-" for standard input, or a corpus. */
  readonly inputs: readonly string[];
  /** Table to write; null for standard output. */
  readonly out: string | null;
  readonly format?: TableFormat;
  /** Where records that cannot be used are listed; OUT.rejects.jsonl by default. */
  readonly rejects?: string;
  /** Draws with dropout that make the uncertainty where there is one model only; 10 by default, 0 for none. */
  readonly samples?: number;
  /** Whether to compare with the training molecules; yes by default. */
  readonly similarity?: boolean;
  readonly farSimilarity?: number;
  readonly reader?: ReaderOptions;
  readonly seed?: number;
  readonly threads?: number;
  readonly workers?: number;
  /** Told the molecules done so far. */
  readonly onProgress?: (molecules: number, rejects: number) => void;
}

/** Where the standard deviation of a prediction comes from. */
export type Uncertainty = SpreadSource | { readonly from: "none" };

export interface PredictSummary {
  readonly molecules: number;
  readonly rejects: Readonly<Record<string, number>>;
  readonly rejectsPath: string | null;
  /** The first record that could not be used, and why. */
  readonly firstReject: string | null;
  readonly out: string | null;
  readonly outputs: readonly string[];
  readonly uncertainty: Uncertainty;
  /** What the calibrated columns were made with; null where there are none. */
  readonly calibration: Calibration | null;
  /** Molecules far from the training molecules; null where they were not compared. */
  readonly far: number | null;
  readonly moleculesPerSecond: number;
  readonly seconds: number;
}

interface Prediction {
  /** As `predictionColumns` names them. */
  readonly cells: readonly number[];
  readonly mean: Float64Array;
  readonly similarity: number | null;
}

/** @throws ConfigError when models are of different tasks */
function loadModels(folders: readonly string[]): readonly FinetunedModel[] {
  if (folders.length === 0) throw new ConfigError("expected the run of a fine-tuned model, got none");
  const models = folders.map(loadFinetuned);
  const taskOf = ({ description: { task, targets, reading } }: FinetunedModel) =>
    JSON.stringify({ task, targets: targets.map(({ name }) => name), reading });
  const other = models.find((model) => taskOf(model) !== taskOf(models[0]));
  if (other) {
    throw new ConfigError(
      `${other.dir}: expected the task of ${models[0].dir} for an ensemble, ${taskOf(models[0])}, got ${taskOf(other)}`,
    );
  }
  return models;
}

function uncertaintyOf(models: readonly FinetunedModel[], samples: number): Uncertainty {
  const members = models.reduce((sum, { parameters }) => sum + parameters.length, 0);
  return spreadSource(members, models[0].description.dropout, samples) ?? { from: "none" };
}

/** What was fitted for this very way to predict: of one run alone, and for a spread of the same kind. */
function calibrationOf(models: readonly FinetunedModel[], uncertainty: Uncertainty): Calibration | null {
  const { calibration } = models[0].description;
  if (models.length > 1 || !calibration) return null;
  return calibration.method === "spread" && calibration.source.from !== uncertainty.from ? null : calibration;
}

/** Mean and spread of what the models say of each molecule. */
function predictionsOf(
  task: TaskConfig,
  calibration: Calibration | null,
  { members, draws, similarities }: PredictedBatch,
): readonly Prediction[] {
  const uncalibrated = meanAndSpread(members, draws);
  const predictions = { ...uncalibrated, calibrated: applyCalibration(task, calibration, uncalibrated) };
  const { outputs } = task;
  return Array.from({ length: uncalibrated.mean.length / outputs }, (_, i) => ({
    cells: predictionCells(predictions, i, outputs),
    mean: uncalibrated.mean.subarray(i * outputs, (i + 1) * outputs),
    similarity: similarities?.[i] ?? null,
  }));
}

interface Layout {
  readonly columns: TableColumns;
  readonly row: (
    molecule: { readonly file: string; readonly record: number; readonly name: string },
    prediction: Prediction,
  ) => TableRow;
}

/** The columns of the table and how a prediction fills them. */
function layoutOf(
  model: FinetunedModel,
  job: PredictJob,
  has: { readonly std: boolean; readonly calibrated: boolean },
  far: number,
): Layout {
  const { task, targets } = model.description;
  const several = job.inputs.length > 1;
  const similarity = job.similarity ?? true;
  const classes = task.kind === "classes";
  return {
    columns: {
      keys: [...(several ? ["file"] : []), "record", "name"],
      values: predictionColumns(outputNames(targets, task), task, has),
      remarks: [...(classes ? [`${targets[0].name} predicted`] : []), ...(similarity ? ["similarity", "far"] : [])],
    },
    row: ({ file, record, name }, { cells, mean, similarity: nearest }) => ({
      keys: [...(several ? [file] : []), record, name],
      values: cells,
      remarks: [
        ...(classes ? [mean.indexOf(Math.max(...mean))] : []),
        ...(nearest === null ? [] : [Number(nearest.toFixed(4)), nearest < far]),
      ],
    }),
  };
}

/**
 * Predicts in bounded memory; rows come in the order of the input.
 * @throws ConfigError, CheckpointError, DatasetError
 */
export async function predict(job: PredictJob): Promise<PredictSummary> {
  const models = loadModels(job.models);
  const [{ description }] = models;
  const format = tableFormat(job.out, job.format);
  const uncertainty = uncertaintyOf(models, job.samples ?? DRAWS);
  const calibration = calibrationOf(models, uncertainty);
  const far = job.farSimilarity ?? FAR_SIMILARITY;
  const compared = job.similarity ?? true;
  const rejects = openRejects(job.rejects ?? (job.out === null ? null : `${job.out}.rejects.jsonl`));
  const source = await openSource(job.inputs, {
    ...description.reading,
    geometry: readsGeometry(description.task.mode),
    onReject: rejects.add,
    ...(job.reader ? { reader: job.reader } : {}),
    ...(job.workers === undefined ? {} : { workers: job.workers }),
  });
  const setup: PredictSetup = {
    ...{ kind: "predict", corpusDir: source.corpusDir },
    models: models.map(({ description: model, parameters }) => ({ model, parameters })),
    dropout:
      uncertainty.from === "dropout"
        ? { config: description.dropout, draws: uncertainty.samples, seed: job.seed ?? 1 }
        : null,
    fingerprints: compared ? joinFingerprints(models) : null,
  };
  const pool = predictionPool(setup, job.threads ?? availableParallelism());
  const has = { std: uncertainty.from !== "none", calibrated: calibration !== null };
  const layout = layoutOf(models[0], job, has, far);
  const answers = (_: unknown, batch: PredictedBatch) => predictionsOf(description.task, calibration, batch);
  const counts = { molecules: 0, far: 0 };
  const began = performance.now();
  const table = await openTable(job.out, format, layout.columns);
  try {
    for await (const window of inOrder(source.chunks(), pool, answers)) {
      await table.write(window.map(({ molecule, result }) => layout.row(molecule, result)));
      counts.molecules += window.length;
      counts.far += window.filter(({ result }) => result.similarity !== null && result.similarity < far).length;
      job.onProgress?.(
        counts.molecules,
        Object.values(rejects.counts()).reduce((sum, count) => sum + count, 0),
      );
    }
  } finally {
    await Promise.all([pool.close(), table.close(), source.close()]);
    rejects.close();
  }
  const seconds = (performance.now() - began) / 1000;
  const first = rejects.first();
  return {
    molecules: counts.molecules,
    rejects: rejects.counts(),
    rejectsPath: rejects.path(),
    firstReject: first && `${first.file}:${first.line}: ${first.reason}`,
    out: job.out,
    outputs: layout.columns.values as readonly string[],
    uncertainty,
    calibration,
    far: compared ? counts.far : null,
    moleculesPerSecond: counts.molecules / seconds,
    seconds,
  };
}

function joinFingerprints(models: readonly FinetunedModel[]): Uint8Array {
  const parts = models.map(trainingFingerprints);
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
