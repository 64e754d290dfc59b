// Predictions for entries of a labelled corpus: the mean over the conformers of each.
import type { BatchTensors } from "../blend/tensors.js";
import { planBatches } from "../data/batches.js";
import type { Corpus } from "../data/corpus.js";
import { readsGeometry, type TaskConfig } from "../model/task-graphs.js";
import type { TaskBatchPool } from "./task-batch-pool.js";
import type { TaskData } from "./task-data.js";

/** Padded atoms and pairs of a batch for predictions: enough to keep the threads busy, little enough to stay in the cache. */
export const INFERENCE_BATCH = { maxTokens: 1024, maxPairs: 32 * 1024 } as const;

/** @param predict predictions of a batch [batch, outputs] @returns [entries, outputs], in the order of `chosen` */
export async function predictEntries(
  corpus: Corpus,
  data: Pick<TaskData, "entries">,
  chosen: Int32Array,
  pool: TaskBatchPool,
  { task, conformers }: { readonly task: TaskConfig; readonly conformers: number },
  predict: (batch: BatchTensors) => Promise<Float64Array>,
): Promise<Float64Array> {
  const { outputs } = task;
  // In 2D all conformers are alike.
  const most = readsGeometry(task.mode) ? conformers : 1;
  const rows: number[] = [];
  const places: number[] = [];
  chosen.forEach((entry, place) => {
    for (const row of data.entries[entry].subarray(0, most)) {
      rows.push(row);
      places.push(place);
    }
  });
  const placeOf = new Map(rows.map((row, i) => [row, places[i]]));
  const predictions = new Float64Array(chosen.length * outputs);
  const counts = new Uint32Array(chosen.length);
  const { batches } = planBatches(Int32Array.from(rows), corpus.atomCounts, INFERENCE_BATCH, 0, 0);
  const orders = batches.map((molecules) => ({ molecules, labels: [] }));
  for await (const { order, tensors } of pool.inOrder(orders)) {
    const values = await predict(tensors);
    order.molecules.forEach((row, b) => {
      const place = placeOf.get(row) as number;
      counts[place]++;
      for (let o = 0; o < outputs; o++) predictions[place * outputs + o] += values[b * outputs + o];
    });
  }
  counts.forEach((count, place) => {
    for (let o = 0; o < outputs; o++) predictions[place * outputs + o] /= count;
  });
  return predictions;
}
