// Thread that makes batches for fine-tuned models and embeddings, from rows of a corpus or from molecules sent to it.
import { parentPort, workerData } from "node:worker_threads";
import type { BatchTensor } from "../blend/tensors.js";
import { FINGERPRINT_BYTES, morganFingerprint } from "../chem/fingerprint.js";
import type { Molecule } from "../chem/molecule.js";
import { loadRdkit } from "../chem/rdkit.js";
import { openCorpus } from "../data/corpus.js";
import { unpackMolecules } from "../data/packed-molecules.js";
import { Random } from "../random.js";
import { makeTaskBatch } from "./task-batch.js";
import type { TaskBatchReply, TaskBatchRequest, TaskBatchSetup } from "./task-batch-pool.js";

const { corpusDir, recipe, seed } = workerData as TaskBatchSetup;
const corpus = corpusDir === null ? null : await openCorpus(corpusDir);
const random = Random.fromSeed(seed);

async function fingerprintTensor(molecules: readonly Molecule[]): Promise<BatchTensor> {
  const rdkit = await loadRdkit();
  const data = new Uint8Array(molecules.length * FINGERPRINT_BYTES);
  molecules.forEach((molecule, i) => {
    data.set(morganFingerprint(rdkit, molecule), i * FINGERPRINT_BYTES);
  });
  return { data, shape: [molecules.length, FINGERPRINT_BYTES] };
}

parentPort?.on("message", async ({ id, molecules, labels, fingerprints }: TaskBatchRequest) => {
  const reply = (message: TaskBatchReply, transfer: ArrayBuffer[] = []) => parentPort?.postMessage(message, transfer);
  try {
    const members =
      molecules instanceof Int32Array
        ? Array.from(molecules, (row) => {
            if (!corpus) throw new TypeError("rows were asked for, but the thread has no corpus");
            return corpus.get(row);
          })
        : unpackMolecules(molecules);
    const tensors = {
      ...makeTaskBatch(members, recipe, random.split(...labels)),
      ...(fingerprints ? { fingerprints: await fingerprintTensor(members) } : {}),
    };
    reply(
      { id, tensors },
      Object.values(tensors).map((tensor) => tensor.data.buffer as ArrayBuffer),
    );
  } catch (error) {
    // The error keeps its type name and text across the thread boundary.
    const { name, message } = error as Error;
    reply({ id, failure: { name, message } });
  }
});
