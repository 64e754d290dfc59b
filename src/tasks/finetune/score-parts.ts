// Scores the models of a run on the validation and test parts, and writes the predictions that the scores are of.
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Corpus } from "../../data/corpus.js";
import { taskSlots } from "../../train/finetuned-model.js";
import { bootstrapIntervals, taskMetrics } from "../../train/metrics.js";
import { predictEntries } from "../../train/predict-entries.js";
import { TaskBatchPool } from "../../train/task-batch-pool.js";
import { entryLabels, type TaskData } from "../../train/task-data.js";
import { predictionRecipe, type TaskModel, TaskPredictor } from "../../train/task-predictor.js";
import { parameterTensors } from "../../train/trainer.js";
import type { FinetuneSummary, PartScore } from "../finetune.js";
import { predictionsCsv, spreadOf } from "./predictions-file.js";

const BOOTSTRAP_SEED = 1;

/** Predictions of every model for some entries. Each [entries, outputs] */
export async function predictWithAll(
  corpus: Corpus,
  data: Pick<TaskData, "entries">,
  chosen: Int32Array,
  model: TaskModel,
  conformers: number,
  models: readonly Float32Array[],
  threads = availableParallelism(),
): Promise<Float64Array[]> {
  const { slots } = taskSlots(model.model, model.task);
  const predictor = await TaskPredictor.create(model, null, { threads });
  const pool = new TaskBatchPool({ corpusDir: corpus.dir, recipe: predictionRecipe(model, null), seed: 0 });
  try {
    const members: Float64Array[] = [];
    for (const flat of models) {
      const parameters = parameterTensors(slots, flat);
      const { task } = model;
      members.push(
        await predictEntries(corpus, data, chosen, pool, { task, conformers }, (batch) =>
          predictor.predict(batch, parameters),
        ),
      );
    }
    return members;
  } finally {
    await Promise.all([pool.close(), predictor.close()]);
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

/** @param results one model a seed */
export async function scoreParts(
  corpus: Corpus,
  data: TaskData,
  model: TaskModel,
  { conformers }: { readonly conformers: number },
  results: readonly { readonly parameters: Float32Array }[],
  run: string,
  threads?: number,
): Promise<{ readonly parts: FinetuneSummary["parts"]; readonly testPredictions: Float64Array }> {
  const models = results.map(({ parameters }) => parameters);
  const score = async (part: "validation" | "test"): Promise<{ score: PartScore; mean: Float64Array }> => {
    const chosen = data.split[part];
    const labels = entryLabels(data.labels, chosen);
    const members = await predictWithAll(corpus, data, chosen, model, conformers, models, threads);
    const { spread, metrics, perTarget, seeds } = scoreMembers(model, members, labels);
    const path = join(run, `predictions-${part}.csv`);
    const names = Array.from(chosen, (entry) => corpus.get(data.entries[entry][0]).name);
    const table = { names, labels, predictions: spread, uncertain: members.length > 1 };
    writeFileSync(path, predictionsCsv(model.targets, model.task, table));
    const { kind, outputs } = model.task;
    const intervals =
      part === "test" ? bootstrapIntervals(kind, spread.mean, labels, outputs, { seed: BOOTSTRAP_SEED }) : {};
    return { score: { metrics, perTarget, intervals, seeds, predictions: path }, mean: spread.mean };
  };
  const validation = await score("validation");
  const test = await score("test");
  return { parts: { validation: validation.score, test: test.score }, testPredictions: test.mean };
}
