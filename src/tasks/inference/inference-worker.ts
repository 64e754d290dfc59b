// Thread that embeds or predicts batches with a session of its own: threads that share nothing use all cores better than one session on all.
import { workerData } from "node:worker_threads";
import { serveBatches } from "../../train/serve-batches.js";
import { createEmbedder, type EmbedSetup } from "./embedding.js";
import { createPredictor, type PredictedBatch, type PredictSetup } from "./prediction.js";

const setup = workerData as EmbedSetup | PredictSetup;

if (setup.kind === "embed") {
  await serveBatches(setup.corpusDir, await createEmbedder(setup), (pooled) => [pooled.buffer]);
} else {
  const buffers = ({ members, draws, similarities }: PredictedBatch) =>
    [...members, ...draws, ...(similarities ? [similarities] : [])].map(({ buffer }) => buffer);
  await serveBatches(setup.corpusDir, await createPredictor(setup), buffers);
}
