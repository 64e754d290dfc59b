// Speed of everything before the model, on one core: SMILES → features, features → relations, relations → batch.

import { buildBatch } from "../../blend/batch.js";
import { drawBlend } from "../../blend/draws.js";
import { featurize } from "../../chem/featurize.js";
import { atomCount } from "../../chem/molecule.js";
import { loadRdkit } from "../../chem/rdkit.js";
import { planBatches } from "../../data/batches.js";
import type { Corpus } from "../../data/corpus.js";
import { Random } from "../../random.js";
import { graphRelations } from "../../relations/graph.js";
import { pretrainSettings } from "../../train/settings.js";

export interface DataSpeed {
  /** SMILES → stored features. */
  readonly featurizePerSecond: number;
  /** Stored features → relations, draws and padded tensors. */
  readonly collatePerSecond: number;
  readonly molecules: number;
}

const PASSES = 3;

/** Molecules a second of the fastest of a few passes. */
function fastest(molecules: number, pass: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < PASSES; i++) {
    const start = performance.now();
    pass();
    best = Math.min(best, performance.now() - start);
  }
  return (molecules / best) * 1000;
}

/** @param smiles some molecules as text, @param corpus some in stored form */
export async function measureDataSpeed(
  smiles: readonly string[],
  corpus: Corpus,
  batchSize: number,
): Promise<DataSpeed> {
  const rdkit = await loadRdkit();
  const options = { hydrogens: false, maxAtoms: 256 };
  const featurizePerSecond = fastest(smiles.length, () => {
    for (const text of smiles) {
      featurize(rdkit, { format: "smiles", text, name: text, file: "", line: 1, record: 1, properties: {} }, options);
    }
  });
  const settings = pretrainSettings("base");
  const chosen = Int32Array.from({ length: Math.min(corpus.size, 2048) }, (_, i) => i);
  const { batches } = planBatches(chosen, corpus.atomCounts, { maxMolecules: batchSize }, 1, 0);
  const stored = Array.from(batches, (batch) => Array.from(batch, (index) => corpus.arrays(index)));
  const random = Random.fromSeed(1);
  const collatePerSecond = fastest(chosen.length, () => {
    for (const [i, members] of stored.entries()) {
      const graphs = members.map(({ atomFeatures, bonds, bondFeatures }) =>
        graphRelations(atomFeatures, bonds, bondFeatures),
      );
      const placed = members.map((molecule) => ({ atoms: atomCount(molecule), positions: molecule.positions }));
      buildBatch(
        graphs,
        drawBlend(placed, settings.blend, random.split(i)),
        settings.blend.policy,
        settings.model.geometryTarget,
      );
    }
  });
  return { featurizePerSecond, collatePerSecond, molecules: chosen.length };
}
