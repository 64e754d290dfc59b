// Predictions for entries of a labelled corpus: the mean over the conformers of each.
import { planBatches } from "../data/batches.js";
import type { Corpus } from "../data/corpus.js";
import { readsGeometry, type TaskConfig } from "../model/task-graphs.js";
import type { BatchPool } from "./task-batch-pool.js";
import type { TaskData } from "./task-data.js";

/** Padded atoms and pairs of a batch for predictions: enough to keep the threads busy, little enough to stay in the cache. */
export const INFERENCE_BATCH = { maxTokens: 1024, maxPairs: 32 * 1024 } as const;

/**
 * @param valuesOf predictions of each model for a batch. Each [batch, outputs]
 * @returns predictions of each model, in the order of `chosen`. Each [entries, outputs]
 */
export async function predictEntries<Answer>(
  corpus: Corpus,
  data: Pick<TaskData, "entries">,
  chosen: Int32Array,
  pool: BatchPool<Answer>,
  { task, conformers }: { readonly task: TaskConfig; readonly conformers: number },
  valuesOf: (answer: Answer) => Promise<readonly Float64Array[]>,
): Promise<readonly Float64Array[]> {
  const { outputs } = task;
  // In 2D all conformers are alike.
  const most = readsGeometry(task.mode) ? conformers : 1;
  const placeOf = new Map<number, number>();
  chosen.forEach((entry, place) => {
    for (const row of data.entries[entry].subarray(0, most)) placeOf.set(row, place);
  });
  const counts = new Uint32Array(chosen.length);
  const { batches } = planBatches(Int32Array.from(placeOf.keys()), corpus.atomCounts, INFERENCE_BATCH, 0, 0);
  for (const rows of batches) for (const row of rows) counts[placeOf.get(row) as number]++;
  const orders = Array.from(batches, (molecules, number) => ({ molecules, labels: ["entries", number] }));
  let predictions: readonly Float64Array[] = [];
  for await (const { order, answer } of pool.inOrder(orders)) {
    const models = await valuesOf(answer);
    if (predictions.length === 0) predictions = models.map(() => new Float64Array(chosen.length * outputs));
    models.forEach((values, m) => {
      order.molecules.forEach((row, b) => {
        const place = placeOf.get(row) as number;
        for (let o = 0; o < outputs; o++) predictions[m][place * outputs + o] += values[b * outputs + o];
      });
    });
  }
  for (const values of predictions)
    counts.forEach((count, place) => {
      for (let o = 0; o < outputs; o++) values[place * outputs + o] /= count;
    });
  return predictions;
}
