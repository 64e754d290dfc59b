// The whole chain, from an SDF of the embedded data to Adam: a small model learns eight molecules by heart.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { buildBatch } from "../src/blend/batch.js";
import { drawBlend } from "../src/blend/draws.js";
import { type GeometryTarget, policy } from "../src/blend/policy.js";
import type { BatchTensors } from "../src/blend/tensors.js";
import { featurize } from "../src/chem/featurize.js";
import { atomCount, type Molecule } from "../src/chem/molecule.js";
import { loadRdkit } from "../src/chem/rdkit.js";
import { NO_DROPOUT, REFERENCE_LOSS_WEIGHTS } from "../src/model/config.js";
import { initialise } from "../src/model/parameters.js";
import { Random } from "../src/random.js";
import { graphRelations } from "../src/relations/graph.js";
import { ADAM_DEFAULTS } from "../src/train/adam.js";
import { type LossValues, Trainer } from "../src/train/trainer.js";
import { repositoryRoot } from "./support.js";

const MOLECULES = 8;
const STEPS = 500;
const WARMUP = 30;
const LEARNING_RATE = 2e-3;
/** What is left of each term at most: classes are known, distances to a few hundredths, directions nearly. */
const LEFT = { spd: 0.05, edge: 0.05, geometry: 0.1, noise: 0.1 } as const;

/** The first molecules of 6 to 14 heavy atoms. */
async function molecules(): Promise<readonly Molecule[]> {
  const file = join(repositoryRoot(), "data", "nci-xtb", "nci-xtb.sdf.gz");
  const texts = gunzipSync(readFileSync(file)).toString("utf8").split("$$$$\n");
  const rdkit = await loadRdkit();
  const found: Molecule[] = [];
  for (let i = 0; found.length < MOLECULES; i++) {
    const record = { format: "mol", text: texts[i], name: "", file, line: 1, record: i + 1, properties: {} } as const;
    const { molecule } = featurize(rdkit, record, { hydrogens: false, maxAtoms: 100 });
    if (atomCount(molecule) >= 6 && atomCount(molecule) <= 14) found.push(molecule);
  }
  return found;
}

function fixedBatch(members: readonly Molecule[], target: GeometryTarget): BatchTensors {
  const graphs = members.map(({ atomFeatures, bonds, bondFeatures }) =>
    graphRelations(atomFeatures, bonds, bondFeatures),
  );
  const blend = { policy: policy("blend"), noise: 0.2, rotate: false, maskPerBatch: false };
  const placed = members.map((molecule) => ({ atoms: atomCount(molecule), positions: molecule.positions }));
  return buildBatch(graphs, drawBlend(placed, blend, Random.fromSeed(1)), blend.policy, target);
}

for (const geometryTarget of ["distance", "displacement"] as const) {
  test(`a small model learns ${MOLECULES} molecules by heart, ${geometryTarget} target`, async (context) => {
    const batch = fixedBatch(await molecules(), geometryTarget);
    const config = { layers: 3, width: 64, heads: 8, feedForward: 64, kernels: 32, geometryHidden: 32, geometryTarget };
    const trainer = await Trainer.create(config, {
      threads: 1,
      dropout: NO_DROPOUT,
      lossWeights: REFERENCE_LOSS_WEIGHTS,
      adam: { ...ADAM_DEFAULTS, maxGradientNorm: 5 },
    });
    initialise(trainer.slots, trainer.arena.parameters, Random.fromSeed(2), "moleblend");
    const first = await trainer.backward(batch);
    for (let step = 1; step <= STEPS; step++) {
      const rest = (STEPS - step) / STEPS;
      await trainer.backward(batch);
      assert.ok(trainer.update(step, LEARNING_RATE * Math.min(1, step / WARMUP) * rest).applied, `step ${step}`);
    }
    const last = await trainer.backward(batch);
    await trainer.close();
    const text = (losses: LossValues) => JSON.stringify(losses, (_, x) => (typeof x === "number" ? +x.toFixed(4) : x));
    context.diagnostic(`${text(first)} → ${text(last)}`);
    for (const [term, left] of Object.entries(LEFT) as [keyof typeof LEFT, number][]) {
      assert.ok(last[term] < left && last[term] < first[term] / 5, `${term}: from ${first[term]} to ${last[term]}`);
    }
  });
}
