// The thread's side of a pool of batches: takes orders for molecules, answers each, and sends failures back by name.
import { parentPort } from "node:worker_threads";
import type { Molecule } from "../chem/molecule.js";
import { openCorpus } from "../data/corpus.js";
import { unpackMolecules } from "../data/packed-molecules.js";
import type { Label } from "../random.js";
import type { BatchReply, BatchRequest } from "./task-batch-pool.js";

/**
 * @param corpusDir whose rows are asked for; null where molecules are sent
 * @param answer what goes back for the molecules of an order
 * @param buffers memory of an answer that is handed over instead of copied
 */
export async function serveBatches<Answer>(
  corpusDir: string | null,
  answer: (molecules: readonly Molecule[], labels: readonly Label[]) => Promise<Answer>,
  buffers: (answer: Answer) => readonly ArrayBufferLike[],
): Promise<void> {
  const corpus = corpusDir === null ? null : await openCorpus(corpusDir);
  const membersOf = (molecules: BatchRequest["molecules"]): readonly Molecule[] => {
    if (!(molecules instanceof Int32Array)) return unpackMolecules(molecules);
    if (!corpus) throw new TypeError("rows were asked for, but the thread has no corpus");
    return Array.from(molecules, (row) => corpus.get(row, []));
  };
  parentPort?.on("message", async ({ id, molecules, labels }: BatchRequest) => {
    const reply = (message: BatchReply<Answer>, transfer: readonly ArrayBufferLike[] = []) =>
      parentPort?.postMessage(message, transfer as ArrayBuffer[]);
    try {
      const made = await answer(membersOf(molecules), labels);
      reply({ id, answer: made }, buffers(made));
    } catch (error) {
      // The error keeps its type name and text across the thread boundary.
      const { name, message } = error as Error;
      reply({ id, failure: { name, message } });
    }
  });
}
