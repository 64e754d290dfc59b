// Thread that makes batches, so that the runtime never waits for data.
import { parentPort, workerData } from "node:worker_threads";
import { openCorpus } from "../data/corpus.js";
import { memoryOf } from "../data/release-memory.js";
import { Random } from "../random.js";
import type { BatchReply, BatchRequest, WorkerSetup } from "./batch-loader.js";
import { makeBatch } from "./make-batch.js";
import { roomIn } from "./spare-room.js";

const { corpusDir, recipe, seed } = workerData as WorkerSetup;
const corpus = await openCorpus(corpusDir);
const random = Random.fromSeed(seed);

parentPort?.on("message", ({ id, molecules, labels, spare }: BatchRequest) => {
  const reply = (message: BatchReply, transfer: ArrayBuffer[] = []) => parentPort?.postMessage(message, transfer);
  try {
    const tensors = makeBatch(corpus, molecules, recipe, random.split(...labels), roomIn(spare));
    reply({ id, tensors }, memoryOf(tensors));
  } catch (error) {
    // The error keeps its type name and text across the thread boundary.
    const { name, message } = error as Error;
    reply({ id, failure: { name, message } });
  }
});
