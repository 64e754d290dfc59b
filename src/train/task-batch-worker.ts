// Thread that makes the batches of a model in fine-tuning.
import { workerData } from "node:worker_threads";
import { memoryOf } from "../data/release-memory.js";
import { Random } from "../random.js";
import { serveBatches } from "./serve-batches.js";
import { makeTaskBatch } from "./task-batch.js";
import type { TaskBatchSetup } from "./task-batch-pool.js";

const { corpusDir, recipe, seed } = workerData as TaskBatchSetup;
const random = Random.fromSeed(seed);

await serveBatches(
  corpusDir,
  async (molecules, labels) => makeTaskBatch(molecules, recipe, random.split(...labels)),
  memoryOf,
);
