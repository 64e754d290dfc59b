// The worker thread of `prepare`: loads RDKit once, then answers batches of records with packed molecules.

import { parentPort, threadId, workerData } from "node:worker_threads";
import { loadRdkit } from "../chem/rdkit.js";
import { packedBuffers, packMolecules } from "../data/packed-molecules.js";
import type { ReadItem } from "../data/readers/index.js";
import { openConformerSource } from "./conformer-source.js";
import { type FeaturizeSettings, featurizeBatch, type PackedBatchResult } from "./featurize-batch.js";

/** To the worker. */
export interface WorkerRequest {
  readonly id: number;
  readonly items: readonly ReadItem[];
}

/** From the worker. */
export type WorkerReply =
  | { readonly id: number; readonly result: PackedBatchResult }
  | { readonly id: number; readonly error: string };

const port = parentPort;
if (!port) throw new Error("featurize-worker runs as a worker thread only");
const settings = workerData as FeaturizeSettings;
const loading = load();

async function load() {
  const rdkit = await loadRdkit();
  const { conformers } = settings;
  return { rdkit, source: conformers ? await openConformerSource(rdkit, conformers, String(threadId)) : null };
}

port.on("message", async ({ id, items }: WorkerRequest) => {
  try {
    const { rdkit, source } = await loading;
    const result = featurizeBatch(rdkit, items, settings, source);
    const molecules = packMolecules(result.molecules, settings.labels);
    port.postMessage({ id, result: { ...result, molecules } } satisfies WorkerReply, packedBuffers(molecules));
  } catch (error) {
    port.postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies WorkerReply);
  }
});
