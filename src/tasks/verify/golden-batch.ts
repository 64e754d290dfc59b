// A batch as the reference's collator laid it out → relations and draws of each molecule.

import type { MoleculeDraw } from "../../blend/draws.js";
import { ATOM_MODALITIES, MODALITIES } from "../../blend/policy.js";
import { ATOM_FEATURES, BOND_FEATURES } from "../../chem/molecule.js";
import { bondCode } from "../../relations/graph.js";
import { type GraphRelations, MAX_HOPS } from "../../relations/relations.js";
import { type NamedTensor, readTensor, type Safetensors } from "../../train/safetensors.js";

export interface GoldenBatch {
  readonly graphs: readonly GraphRelations[];
  /** Clean coordinates of each molecule in Å; a row of zeros means "unknown". */
  readonly positions: readonly Float32Array[];
  readonly batch: number;
  readonly atoms: number;
}

const FEATURE_STRIDE = 512;
const ATOM_COLUMNS = ATOM_FEATURES.length;
const BOND_COLUMNS = BOND_FEATURES.length;

type Numbers = ArrayLike<number>;

function numbers(file: Safetensors, name: string): NamedTensor & { readonly data: Numbers } {
  return readTensor(file, name) as NamedTensor & { readonly data: Numbers };
}

/** Undoes the reference's shifts: atoms +2, bonds +3, degree and path length +1, a feature column 512 apart. */
export function readGoldenBatch(file: Safetensors): GoldenBatch {
  const [x, degree, spatial, edges, pos] = ["x", "in_degree", "spatial_pos", "edge_input", "pos"].map((name) =>
    numbers(file, name),
  );
  const [batch, n] = x.shape;
  const hops = edges.shape[3];
  const graphs: GraphRelations[] = [];
  const positions: Float32Array[] = [];
  for (let b = 0; b < batch; b++) {
    let atoms = 0;
    while (atoms < n && x.data[(b * n + atoms) * ATOM_COLUMNS] !== 0) atoms++;
    const atomFeatures = new Uint8Array(atoms * ATOM_COLUMNS);
    for (let i = 0; i < atomFeatures.length; i++) {
      atomFeatures[i] = x.data[b * n * ATOM_COLUMNS + i] - 2 - FEATURE_STRIDE * (i % ATOM_COLUMNS);
    }
    const distance = new Uint16Array(atoms * atoms);
    const edgePath = new Uint8Array(atoms * atoms * MAX_HOPS);
    for (let i = 0; i < atoms; i++) {
      for (let j = 0; j < atoms; j++) {
        const pair = (b * n + i) * n + j;
        distance[i * atoms + j] = spatial.data[pair] - 1;
        for (let hop = 0; hop < Math.min(hops, MAX_HOPS); hop++) {
          const at = (pair * hops + hop) * BOND_COLUMNS;
          if (edges.data[at] === 0) break;
          const [type, stereo, conjugated] = [0, 1, 2].map((f) => edges.data[at + f] - 3 - FEATURE_STRIDE * f);
          edgePath[(i * atoms + j) * MAX_HOPS + hop] = bondCode(type, stereo, conjugated);
        }
      }
    }
    const degrees = Uint8Array.from({ length: atoms }, (_, i) => degree.data[b * n + i] - 1);
    graphs.push({ atoms, atomFeatures, degree: degrees, distance, edgePath });
    positions.push(Float32Array.from({ length: atoms * 3 }, (_, c) => pos.data[b * n * 3 + c]));
  }
  return { graphs, positions, batch, atoms: n };
}

/** What the reference drew for a batch. */
export interface GoldenDraws {
  /** 0 path length, 1 edge, 2 distance; one for all molecules. [atoms, atoms] */
  readonly pairs: Numbers;
  /** 0 degree, 1 distance feature. [batch, atoms] */
  readonly atoms: Numbers;
  /** Standard normal. [batch, atoms, 3] */
  readonly noise: Numbers;
}

const PAIR_BITS = [MODALITIES.spd, MODALITIES.edge, MODALITIES.geometry];
const ATOM_BITS = [ATOM_MODALITIES.degree, ATOM_MODALITIES.geometry];

/** The draws molecule by molecule. As in the reference, an atom at the origin has no position and gets no noise. */
export function goldenDraws(
  { graphs, positions, atoms: n }: GoldenBatch,
  draws: GoldenDraws,
  noiseScale: number,
): readonly MoleculeDraw[] {
  return graphs.map(({ atoms }, b) => {
    const clean = positions[b];
    const located = Uint8Array.from({ length: atoms }, (_, i) => Number([0, 1, 2].some((c) => clean[i * 3 + c] !== 0)));
    const noise = Float32Array.from({ length: atoms * 3 }, (_, c) =>
      located[Math.floor(c / 3)] ? noiseScale * draws.noise[b * n * 3 + c] : 0,
    );
    const pairs = new Uint8Array(atoms * atoms);
    for (let i = 0; i < atoms; i++)
      for (let j = 0; j < atoms; j++) pairs[i * atoms + j] = PAIR_BITS[draws.pairs[i * n + j]];
    const shown = Uint8Array.from({ length: atoms }, (_, i) => ATOM_BITS[draws.atoms[b * n + i]]);
    return { pairs, atoms: shown, noise, positions: clean, located, usable: true };
  });
}
