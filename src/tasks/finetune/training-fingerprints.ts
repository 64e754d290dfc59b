// Fingerprints of the molecules that a model is trained on, each kind of molecule once.
import { morganFingerprint } from "../../chem/fingerprint.js";
import { loadRdkit } from "../../chem/rdkit.js";
import type { Corpus } from "../../data/corpus.js";
import type { TaskData } from "../../train/task-data.js";

/** [molecules, bytes] */
export async function distinctFingerprints(corpus: Corpus, { entries, split }: TaskData): Promise<Uint8Array> {
  const rdkit = await loadRdkit();
  const keys = corpus.readStructureKeys();
  const seen = new Set<bigint>();
  const fingerprints: Uint8Array[] = [];
  for (const entry of split.train) {
    const [row] = entries[entry];
    const key = keys[row];
    if (seen.has(key)) continue;
    seen.add(key);
    fingerprints.push(morganFingerprint(rdkit, corpus.get(row)));
  }
  const bytes = fingerprints[0]?.length ?? 0;
  const all = new Uint8Array(fingerprints.length * bytes);
  fingerprints.forEach((fingerprint, i) => {
    all.set(fingerprint, i * bytes);
  });
  return all;
}
