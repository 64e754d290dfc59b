// Thread that makes batches, so that the runtime never waits for data.
import { parentPort, workerData } from "node:worker_threads";
import { openCorpus } from "../data/corpus.js";
import { memoryOf, releaseMemory } from "../data/release-memory.js";
import { Random } from "../random.js";
import { type BatchReply, type BatchRequest, maskMemory, type WorkerSetup } from "./batch-loader.js";
import { makeBatch } from "./make-batch.js";
import { roomIn } from "./spare-room.js";
import { splitBatch } from "./split-batch.js";

const { corpusDir, recipe, seed, parts: count = 1 } = workerData as WorkerSetup;
const corpus = await openCorpus(corpusDir);
const random = Random.fromSeed(seed);
/** Of the last batch, where its parts were copied out of it. */
let masks: ArrayBuffer | null = null;

parentPort?.on("message", ({ id, molecules, labels, spare }: BatchRequest) => {
  const reply = (message: BatchReply, transfer: ArrayBuffer[] = []) => parentPort?.postMessage(message, transfer);
  try {
    const whole = makeBatch(corpus, molecules, recipe, random.split(...labels), roomIn(spare ?? masks));
    if (count === 1) {
      reply({ id, parts: [whole] }, memoryOf(whole));
      return;
    }
    const parts = splitBatch(whole, count, recipe.dropout);
    masks = maskMemory(whole, recipe);
    releaseMemory(memoryOf(whole).filter((memory) => memory !== masks));
    reply({ id, parts }, parts.flatMap(memoryOf));
  } catch (error) {
    // The error keeps its type name and text across the thread boundary.
    const { name, message } = error as Error;
    reply({ id, failure: { name, message } });
  }
});
