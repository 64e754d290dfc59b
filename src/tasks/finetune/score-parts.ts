// Scores the models of a run on the validation and test parts, and writes the predictions that the scores are of.
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Corpus } from "../../data/corpus.js";
import type { DropoutConfig } from "../../model/config.js";
import { bootstrapIntervals, taskMetrics } from "../../train/metrics.js";
import { predictEntries } from "../../train/predict-entries.js";
import { entryLabels, type TaskData } from "../../train/task-data.js";
import type { TaskModel } from "../../train/task-predictor.js";
import type { FinetuneSummary, PartScore } from "../finetune.js";
import { type ModelSeeds, type PredictSetup, predictionPool } from "../inference/prediction.js";
import { applyCalibration, type CalibrationSummary, fitCalibration, scoreCalibration } from "./calibrate.js";
import { meanAndSpread, predictionsCsv, spreadOf, spreadSource } from "./predictions-file.js";
import { predictionsPath } from "./run-files.js";

const BOOTSTRAP_SEED = 1;
/** With dropout, where there is one seed. */
export const DRAWS = 10;

type Part = "validation" | "test";

/** Predictions of some entries: of each seed, and of each draw with dropout. Each [entries, outputs] */
export interface EntryPredictions {
  readonly members: readonly Float64Array[];
  readonly draws: readonly Float64Array[];
}

/**
 * Threads that predict rows of a corpus with each seed of a model.
 * @param dropout further draws of the first seed; null for none
 * @param use gets a function that predicts entries
 */
export async function withScorer<T>(
  corpus: Corpus,
  seeds: ModelSeeds,
  dropout: PredictSetup["dropout"],
  { conformers, threads }: { readonly conformers: number; readonly threads: number | undefined },
  use: (predict: (data: Pick<TaskData, "entries">, chosen: Int32Array) => Promise<EntryPredictions>) => Promise<T>,
): Promise<T> {
  const setup = { kind: "predict", corpusDir: corpus.dir, models: [seeds], dropout, fingerprints: null } as const;
  const pool = predictionPool(setup, threads ?? availableParallelism());
  const settings = { task: seeds.model.task, conformers };
  const count = seeds.parameters.length;
  try {
    return await use(async (data, chosen) => {
      const all = await predictEntries(corpus, data, chosen, pool, settings, async ({ members, draws }) => [
        ...members,
        ...draws,
      ]);
      return { members: all.slice(0, count), draws: all.slice(count) };
    });
  } finally {
    await pool.close();
  }
}

/** Metrics of the mean of the models, and of each. */
export function scoreMembers(model: TaskModel, members: readonly Float64Array[], labels: Float64Array) {
  const { kind, outputs } = model.task;
  const { mean } = spreadOf(members);
  const { average, perTask } = taskMetrics(kind, mean, labels, outputs);
  const seeds = members.map((member) => taskMetrics(kind, member, labels, outputs).average);
  return { metrics: average, perTarget: perTask, seeds };
}

export interface ScoreOptions {
  readonly conformers: number;
  /** Of training; drawn from where there is one seed. */
  readonly dropout: DropoutConfig;
  /** Whether the test part is predicted at all. */
  readonly scoreTest: boolean;
  readonly threads: number | undefined;
  /** Folder for RUN/predictions-PART.csv. */
  readonly run: string;
}

export interface ScoredParts {
  readonly parts: FinetuneSummary<PartScore | null>["parts"];
  readonly calibration: CalibrationSummary | null;
}

/** Predicts each part, fits the calibration on validation, writes RUN/predictions-PART.csv and scores it. */
export async function scoreParts(
  corpus: Corpus,
  data: TaskData,
  seeds: ModelSeeds,
  options: ScoreOptions,
): Promise<ScoredParts> {
  const { task, targets } = seeds.model;
  const { kind, outputs } = task;
  const source = kind === "regression" ? spreadSource(seeds.parameters.length, options.dropout, DRAWS) : null;
  const dropout = source?.from === "dropout" ? { config: options.dropout, draws: DRAWS, seed: 1 } : null;
  return withScorer(corpus, seeds, dropout, options, async (predict) => {
    const predictPart = async (part: Part) => {
      const chosen = data.split[part];
      const { members, draws } = await predict(data, chosen);
      const labels = entryLabels(data.labels, chosen);
      return { part, chosen, labels, members, uncalibrated: meanAndSpread(members, draws) };
    };
    const validation = await predictPart("validation");
    const calibration = fitCalibration(task, source, validation.uncalibrated, validation.labels);
    const finishPart = ({ part, chosen, labels, members, uncalibrated }: Awaited<ReturnType<typeof predictPart>>) => {
      const predictions = { ...uncalibrated, calibrated: applyCalibration(task, calibration, uncalibrated) };
      const path = predictionsPath(options.run, part);
      const names = Array.from(chosen, (entry) => corpus.nameOf(data.entries[entry][0]));
      writeFileSync(path, predictionsCsv(targets, task, { names, labels, predictions }));
      const intervals =
        part === "test" ? bootstrapIntervals(kind, predictions.mean, labels, outputs, { seed: BOOTSTRAP_SEED }) : {};
      const score = { ...scoreMembers(seeds.model, members, labels), intervals, predictions: path };
      return { score, calibrated: calibration && scoreCalibration(task, calibration, part, predictions, labels) };
    };
    const first = finishPart(validation);
    const last = options.scoreTest ? finishPart(await predictPart("test")) : null;
    return {
      parts: { validation: first.score, test: last?.score ?? null },
      calibration: (last ?? first).calibrated,
    };
  });
}
