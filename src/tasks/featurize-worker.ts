// The worker thread of `prepare`: loads RDKit once, then answers batches of records with packed molecules.

import { parentPort, threadId, workerData } from "node:worker_threads";
import { loadRdkit, type RdkitCode } from "../chem/rdkit.js";
import { packedBuffers } from "../data/packed-molecules.js";
import type { ReadItem } from "../data/readers/index.js";
import { openConformerSource } from "./conformer-source.js";
import { type FeaturizeSettings, featurizeBatch, type PackedBatchResult, packResult } from "./featurize-batch.js";

export interface WorkerSetup {
  readonly settings: FeaturizeSettings;
  /** RDKit, compiled once for all threads. */
  readonly code: RdkitCode;
}

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
const { settings, code } = workerData as WorkerSetup;
const loading = load();

async function load() {
  const rdkit = await loadRdkit(code);
  const { conformers } = settings;
  return { rdkit, source: conformers ? await openConformerSource(rdkit, conformers, String(threadId)) : null };
}

port.on("message", async ({ id, items }: WorkerRequest) => {
  try {
    const { rdkit, source } = await loading;
    const result = packResult(featurizeBatch(rdkit, items, settings, source), settings);
    port.postMessage({ id, result } satisfies WorkerReply, packedBuffers(result.molecules));
  } catch (error) {
    port.postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies WorkerReply);
  }
});
