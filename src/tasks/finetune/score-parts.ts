// Scores the models of a run on the validation and test parts, and writes the predictions that the scores are of.
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Corpus } from "../../data/corpus.js";
import { bootstrapIntervals, taskMetrics } from "../../train/metrics.js";
import { predictEntries } from "../../train/predict-entries.js";
import { entryLabels, type TaskData } from "../../train/task-data.js";
import type { TaskModel } from "../../train/task-predictor.js";
import type { FinetuneSummary, PartScore } from "../finetune.js";
import { type ModelSeeds, predictionPool } from "../inference/prediction.js";
import { predictionsCsv, spreadOf } from "./predictions-file.js";
import { predictionsPath } from "./run-files.js";

const BOOTSTRAP_SEED = 1;

type Part = "validation" | "test";

/**
 * Threads that predict rows of a corpus with each seed of a model.
 * @param use gets a function that predicts entries: of each seed, [entries, outputs]
 */
export async function withScorer<T>(
  corpus: Corpus,
  seeds: ModelSeeds,
  conformers: number,
  threads: number | undefined,
  use: (
    predict: (data: Pick<TaskData, "entries">, chosen: Int32Array) => Promise<readonly Float64Array[]>,
  ) => Promise<T>,
): Promise<T> {
  const setup = { kind: "predict", corpusDir: corpus.dir, models: [seeds], dropout: null, fingerprints: null } as const;
  const pool = predictionPool(setup, threads ?? availableParallelism());
  const settings = { task: seeds.model.task, conformers };
  try {
    return await use((data, chosen) =>
      predictEntries(corpus, data, chosen, pool, settings, async ({ members }) => members),
    );
  } finally {
    await pool.close();
  }
}

/** Metrics of the mean of the models, and of each. */
export function scoreMembers(model: TaskModel, members: readonly Float64Array[], labels: Float64Array) {
  const { kind, outputs } = model.task;
  const spread = spreadOf(members);
  const { average, perTask } = taskMetrics(kind, spread.mean, labels, outputs);
  const seeds = members.map((member) => taskMetrics(kind, member, labels, outputs).average);
  return { spread, metrics: average, perTarget: perTask, seeds };
}

/**
 * Predicts each part, writes RUN/predictions-PART.csv and scores it.
 * @param scored validation, and test unless it is to be left alone
 */
export async function scoreParts(
  corpus: Corpus,
  data: TaskData,
  seeds: ModelSeeds,
  conformers: number,
  scored: readonly Part[],
  run: string,
  threads: number | undefined,
): Promise<FinetuneSummary<PartScore | null>["parts"]> {
  const { task, targets } = seeds.model;
  return withScorer(corpus, seeds, conformers, threads, async (predict) => {
    const score = async (part: Part): Promise<PartScore> => {
      const chosen = data.split[part];
      const labels = entryLabels(data.labels, chosen);
      const members = await predict(data, chosen);
      const { spread, ...scores } = scoreMembers(seeds.model, members, labels);
      const path = predictionsPath(run, part);
      const names = Array.from(chosen, (entry) => corpus.get(data.entries[entry][0]).name);
      const table = { names, labels, predictions: spread, uncertain: members.length > 1 };
      writeFileSync(path, predictionsCsv(targets, task, table));
      const { kind, outputs } = task;
      const intervals =
        part === "test" ? bootstrapIntervals(kind, spread.mean, labels, outputs, { seed: BOOTSTRAP_SEED }) : {};
      return { ...scores, intervals, predictions: path };
    };
    return { validation: await score("validation"), test: scored.includes("test") ? await score("test") : null };
  });
}
