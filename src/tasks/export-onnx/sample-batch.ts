// A made-up batch on which an exported model is compared with the model in this process.
import { buildBatch } from "../../blend/batch.js";
import type { MoleculeDraw } from "../../blend/draws.js";
import { ATOM_MODALITIES, MODALITIES, policy } from "../../blend/policy.js";
import { ATOM_FEATURES, BOND_FEATURES } from "../../chem/molecule.js";
import type { ModelConfig } from "../../model/config.js";
import { Random } from "../../random.js";
import { graphRelations } from "../../relations/graph.js";
import type { Tensor } from "../../runtime/session.js";

/** A chain of atoms with a branch, every feature within its range. */
function sampleMolecule(atoms: number, random: Random) {
  const atomFeatures = Uint8Array.from({ length: atoms * ATOM_FEATURES.length }, (_, i) =>
    Math.floor(random.uniform() * ATOM_FEATURES[i % ATOM_FEATURES.length].size),
  );
  const bonds = Uint16Array.from({ length: 2 * (atoms - 1) }, (_, i) =>
    i % 2 === 0 ? Math.max(0, (i >> 1) - 1) : (i >> 1) + 1,
  );
  const bondFeatures = Uint8Array.from({ length: (atoms - 1) * BOND_FEATURES.length }, (_, i) =>
    Math.floor(random.uniform() * BOND_FEATURES[i % BOND_FEATURES.length].size),
  );
  return graphRelations(atomFeatures, bonds, bondFeatures);
}

/** Two molecules of different size that show everything they have. */
export function sampleBatch(config: ModelConfig, geometry: boolean): Readonly<Record<string, Tensor>> {
  const random = Random.fromSeed(1).split("export check");
  const graphs = [9, 5].map((atoms) => sampleMolecule(atoms, random.split(atoms)));
  const { spd, edge, geometry: distance } = MODALITIES;
  const draws = graphs.map(({ atoms }): MoleculeDraw => {
    const positions = Float32Array.from({ length: atoms * 3 }, (_, i) =>
      i % 3 === 0 ? 1.2 * Math.floor(i / 3) : random.normal(),
    );
    return {
      pairs: new Uint8Array(atoms * atoms).fill(spd | edge | (geometry ? distance : 0)),
      atoms: new Uint8Array(atoms).fill(ATOM_MODALITIES.degree | (geometry ? ATOM_MODALITIES.geometry : 0)),
      noise: new Float32Array(atoms * 3),
      positions,
      located: new Uint8Array(atoms).fill(1),
      usable: true,
    };
  });
  return buildBatch(graphs, draws, policy("blend"), config.geometryTarget);
}
