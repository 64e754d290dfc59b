// One batch of a fine-tuned model: molecules that show everything, the weights of the readout, dropout multipliers.
import { buildEncoderBatch } from "../blend/batch.js";
import type { MoleculeDraw } from "../blend/draws.js";
import { ATOM_MODALITIES, MODALITIES } from "../blend/policy.js";
import type { BatchTensor, BatchTensors } from "../blend/tensors.js";
import { atomCount, type Molecule } from "../chem/molecule.js";
import { DatasetError } from "../errors.js";
import type { DropoutInput } from "../model/inputs.js";
import { type Readout, readsGeometry, type TaskMode } from "../model/task-graphs.js";
import type { Random } from "../random.js";
import { graphRelations } from "../relations/graph.js";
import { dropoutTensors } from "./make-batch.js";

/** Everything that a thread needs to know to make these batches; plain data. */
export interface TaskRecipe {
  /** In `both`, molecules without coordinates show their 2D relations alone; in `3d` they are refused. */
  readonly mode: TaskMode;
  readonly readout: Readout;
  readonly dropout: readonly DropoutInput[];
}

/**
 * Fine-tuning does not blend: every pair and atom shows all there is of the mode, without noise.
 * @throws DatasetError for a molecule without coordinates in `3d`, which would show nothing
 */
function showMode(molecule: Molecule, mode: TaskMode): MoleculeDraw {
  const atoms = atomCount(molecule);
  const positions = readsGeometry(mode) ? molecule.positions : null;
  if (mode === "3d" && !positions)
    throw new DatasetError(`molecule "${molecule.name}": 3d mode expects coordinates, got none`);
  const graph = mode !== "3d";
  const pairBits = (graph ? MODALITIES.spd | MODALITIES.edge : 0) | (positions ? MODALITIES.geometry : 0);
  const atomBits = (graph ? ATOM_MODALITIES.degree : 0) | (positions ? ATOM_MODALITIES.geometry : 0);
  return {
    pairs: new Uint8Array(atoms * atoms).fill(pairBits),
    atoms: new Uint8Array(atoms).fill(atomBits),
    noise: new Float32Array(atoms * 3),
    positions: positions ?? new Float32Array(atoms * 3),
    located: new Uint8Array(atoms).fill(positions ? 1 : 0),
    usable: true,
  };
}

/** Weight of each token: 1 / atoms of its molecule (mean) or 1 (sum) for atoms, 0 for the graph token and padding. */
function readoutWeights(atoms: readonly number[], tokens: number, readout: Readout): BatchTensor {
  const data = new Float32Array(atoms.length * tokens);
  atoms.forEach((count, b) => {
    data.fill(readout === "mean" ? 1 / count : 1, b * tokens + 1, b * tokens + 1 + count);
  });
  return { data, shape: [atoms.length, tokens] };
}

/** Dropout multipliers of a batch of these molecules, for further draws of one that is made. */
export function taskDropout(
  molecules: readonly Molecule[],
  dropout: readonly DropoutInput[],
  random: Random,
): BatchTensors {
  const atoms = molecules.reduce((most, molecule) => Math.max(most, atomCount(molecule)), 0);
  const size = { batch: molecules.length, atoms, tokens: atoms + 1 };
  return dropoutTensors({ dropout, droppath: "samples" }, size, random);
}

/** @param random the stream of this batch, for dropout; the result is a function of the arguments alone */
export function makeTaskBatch(molecules: readonly Molecule[], recipe: TaskRecipe, random: Random): BatchTensors {
  const { mode, readout, dropout } = recipe;
  const graphs = molecules.map(({ atomFeatures, bonds, bondFeatures }) =>
    graphRelations(atomFeatures, bonds, bondFeatures),
  );
  const draws = molecules.map((molecule) => showMode(molecule, mode));
  const own = graphs.map((graph) => graph.atoms);
  const tokens = Math.max(0, ...own) + 1;
  return {
    ...buildEncoderBatch(graphs, draws, readsGeometry(mode)),
    ...(readout === "cls" ? {} : { readout_weights: readoutWeights(own, tokens, readout) }),
    ...taskDropout(molecules, dropout, random),
  };
}
