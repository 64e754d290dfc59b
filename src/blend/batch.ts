// Molecules and draws → the tensors of a batch: padded features and relations as the draws show them, and all targets.
import { ATOM_FEATURES, BOND_FEATURES } from "../chem/molecule.js";
import {
  ATOM_ROWS,
  BOND_ROWS,
  DEGREE_ROWS,
  EDGE_CLASSES,
  EDGE_UNIT,
  PAIR_ROWS,
  SPD_CLASSES,
  SPD_ROWS,
  TOKEN_COLUMNS,
} from "../data/fields.js";
import { MoleculeError } from "../errors.js";
import { pairGeometry } from "../relations/geometry.js";
import { bondOfCode } from "../relations/graph.js";
import { type GraphRelations, MAX_HOPS, UNREACHABLE } from "../relations/relations.js";
import type { MoleculeDraw } from "./draws.js";
import { fillGeometryTargets, fillNoiseTargets } from "./geometry-targets.js";
import { ATOM_MODALITIES, type GeometryTarget, MODALITIES, type Policy } from "./policy.js";
import { type BatchSize, type BatchTensor, type BatchTensors, scalar } from "./tensors.js";

/** First column of each feature in a multi-hot of all of them. */
function offsets(features: readonly { readonly size: number }[]): readonly number[] {
  let sum = 0;
  return features.map(({ size }) => {
    const first = sum;
    sum += size;
    return first;
  });
}

const ATOM_OFFSETS = offsets(ATOM_FEATURES);
const BOND_OFFSETS = offsets(BOND_FEATURES);
const ATOM_COLUMNS = ATOM_FEATURES.length;

/** Multi-hot features of the tokens; those the blend shows of degree and geometry among them. */
function tokenFeatures(
  graphs: readonly GraphRelations[],
  draws: readonly MoleculeDraw[],
  { batch, tokens }: BatchSize,
): BatchTensor {
  const columns = TOKEN_COLUMNS.count;
  const data = new Uint8Array(batch * tokens * columns);
  graphs.forEach(({ atoms, atomFeatures, degree }, b) => {
    const shown = draws[b].atoms;
    let row = b * tokens * columns;
    data[row + TOKEN_COLUMNS.graphToken] = 1;
    for (let i = 0; i < atoms; i++) {
      row += columns;
      for (let f = 0; f < ATOM_COLUMNS; f++) data[row + ATOM_OFFSETS[f] + atomFeatures[i * ATOM_COLUMNS + f]] = 1;
      if (degree[i] >= DEGREE_ROWS) {
        throw new MoleculeError("too-many-atoms", `an atom has ${degree[i]} bonds, expected fewer than ${DEGREE_ROWS}`);
      }
      if (shown[i] & ATOM_MODALITIES.degree) data[row + ATOM_ROWS + degree[i]] = 1;
      if (shown[i] & ATOM_MODALITIES.geometry) data[row + TOKEN_COLUMNS.geometry] = 1;
    }
  });
  return { data, shape: [batch, tokens, columns] };
}

/** The path lengths that any pair shows: their row in pair_features, and the one-hot selection of their embeddings. */
function spdRows(
  graphs: readonly GraphRelations[],
  draws: readonly MoleculeDraw[],
): { row: Int32Array; selection: BatchTensor } {
  const row = new Int32Array(SPD_ROWS).fill(-1);
  const used: number[] = [];
  graphs.forEach(({ distance }, b) => {
    const { pairs } = draws[b];
    for (let p = 0; p < pairs.length; p++) {
      if (!(pairs[p] & MODALITIES.spd) || row[distance[p]] >= 0) continue;
      row[distance[p]] = used.length;
      used.push(distance[p] + 1);
    }
  });
  if (used.length === 0) used.push(0);
  const data = new Float32Array(used.length * SPD_ROWS);
  used.forEach((embedding, i) => {
    data[i * SPD_ROWS + embedding] = 1;
  });
  return { row, selection: { data, shape: [used.length, SPD_ROWS] } };
}

/** For each bond code its three rows within a hop. */
const CODE_ROWS = Array.from({ length: 61 }, (_, code) => {
  if (code === 0) return [0, 0, 0];
  const { type, stereo, conjugated } = bondOfCode(code);
  return [BOND_OFFSETS[0] + type, BOND_OFFSETS[1] + stereo, BOND_OFFSETS[2] + conjugated];
});

/** Multi-hot 2D relations, feature by feature: the layout in which their product with the bias table needs no transpose. */
function pairFeatures(
  graphs: readonly GraphRelations[],
  draws: readonly MoleculeDraw[],
  spdRow: Int32Array,
  spdCount: number,
  { batch, tokens }: BatchSize,
): BatchTensor {
  const rows = PAIR_ROWS.spd + spdCount;
  const plane = tokens * tokens;
  const data = new Uint8Array(batch * rows * plane);
  graphs.forEach(({ atoms, distance, edgePath }, b) => {
    const base = b * rows * plane;
    for (let i = 0; i <= atoms; i++) {
      data[base + PAIR_ROWS.virtualDistance * plane + i] = 1;
      data[base + PAIR_ROWS.virtualDistance * plane + i * tokens] = 1;
    }
    for (let i = 0; i < tokens; i++) {
      const row = base + PAIR_ROWS.padding * plane + i * tokens;
      data.fill(1, row + atoms + 1, row + tokens);
    }
    const { pairs } = draws[b];
    for (let i = 0, p = 0; i < atoms; i++) {
      for (let j = 0; j < atoms; j++, p++) {
        const at = base + (i + 1) * tokens + j + 1;
        if (pairs[p] & MODALITIES.spd) data[at + (PAIR_ROWS.spd + spdRow[distance[p]]) * plane] = 1;
        if (!(pairs[p] & MODALITIES.edge)) continue;
        const share = EDGE_UNIT / Math.min(Math.max(distance[p], 1), MAX_HOPS);
        for (let hop = 0; hop < MAX_HOPS; hop++) {
          const code = edgePath[p * MAX_HOPS + hop];
          if (code === 0) break;
          const first = PAIR_ROWS.edge + hop * BOND_ROWS;
          for (const row of CODE_ROWS[code]) data[at + (first + row) * plane] = share;
        }
      }
    }
  });
  return { data, shape: [batch, rows, tokens, tokens] };
}

/** Noisy distances and directions, and where they are shown. */
function geometryFields(
  graphs: readonly GraphRelations[],
  draws: readonly MoleculeDraw[],
  { batch, atoms: n }: BatchSize,
): Record<"distance" | "direction" | "geometry_shown" | "geometry_gathered", BatchTensor> {
  const plane = n * n;
  const distance = new Float32Array(batch * plane);
  const direction = new Float32Array(batch * 3 * plane);
  const shown = new Float32Array(batch * plane);
  const gathered = new Float32Array(batch * plane);
  graphs.forEach(({ atoms }, b) => {
    const { positions, noise, pairs, atoms: shownByAtom } = draws[b];
    const noisy = positions.map((x, c) => x + noise[c]);
    pairGeometry(noisy, atoms, distance, direction, {
      distanceOffset: b * plane,
      directionOffset: b * 3 * plane,
      rowStride: n,
      planeStride: plane,
    });
    for (let i = 0, p = 0; i < atoms; i++) {
      const row = b * plane + i * n;
      for (let j = 0; j < atoms; j++, p++) if (pairs[p] & MODALITIES.geometry) shown[row + j] = 1;
      if (shownByAtom[i] & ATOM_MODALITIES.geometry) gathered.fill(1, row, row + atoms);
    }
  });
  const shape = [batch, n, n];
  return {
    distance: { data: distance, shape },
    direction: { data: direction, shape: [batch, 3, n, n] },
    geometry_shown: { data: shown, shape },
    geometry_gathered: { data: gathered, shape },
  };
}

/** Class of a path length: 1 … 10 bonds, then more; -1 for the pair of an atom with itself and between fragments. */
export function spdClass(distance: number): number {
  return distance === 0 || distance === UNREACHABLE ? -1 : Math.min(distance, SPD_CLASSES) - 1;
}

/** Class of a bond by its code: 6 type + 2 stereo + conjugated, -1 for none and for bonds outside the 24 classes. */
export const EDGE_CLASS_OF_CODE = Int8Array.from({ length: 61 }, (_, code) => {
  if (code === 0) return -1;
  const { type, stereo, conjugated } = bondOfCode(code);
  return type > 3 || stereo > 2 ? -1 : 6 * type + 2 * stereo + conjugated;
});

function counts(recovery: Policy["recover"]["spd"], shown: number, modality: number): boolean {
  return recovery === "all" || (recovery === "hidden" && !(shown & modality));
}

/** One-hot classes of path length and bonds, and one over how many count. */
function topologyTargets(
  graphs: readonly GraphRelations[],
  draws: readonly MoleculeDraw[],
  { recover }: Policy,
  { batch, atoms: n }: BatchSize,
): Record<"spd_target" | "spd_scale" | "edge_target" | "edge_scale", BatchTensor> {
  const spd = new Uint8Array(batch * n * n * SPD_CLASSES);
  const edge = new Uint8Array(batch * n * n * MAX_HOPS * EDGE_CLASSES);
  let spdCount = 0;
  let edgeCount = 0;
  graphs.forEach(({ atoms, distance, edgePath }, b) => {
    const { pairs, usable } = draws[b];
    if (!usable) return;
    for (let i = 0, p = 0; i < atoms; i++) {
      for (let j = 0; j < atoms; j++, p++) {
        const at = (b * n + i) * n + j;
        const cls = spdClass(distance[p]);
        if (cls >= 0 && counts(recover.spd, pairs[p], MODALITIES.spd)) {
          spd[at * SPD_CLASSES + cls] = 1;
          spdCount++;
        }
        if (!counts(recover.edge, pairs[p], MODALITIES.edge)) continue;
        for (let hop = 0; hop < MAX_HOPS; hop++) {
          const bond = EDGE_CLASS_OF_CODE[edgePath[p * MAX_HOPS + hop]];
          if (bond < 0) continue;
          edge[(at * MAX_HOPS + hop) * EDGE_CLASSES + bond] = 1;
          edgeCount++;
        }
      }
    }
  });
  return {
    spd_target: { data: spd, shape: [batch, n, n, SPD_CLASSES] },
    spd_scale: scalar(spdCount > 0 ? 1 / spdCount : 0),
    edge_target: { data: edge, shape: [batch, n, n, MAX_HOPS, EDGE_CLASSES] },
    edge_scale: scalar(edgeCount > 0 ? 1 / edgeCount : 0),
  };
}

/** The size of a batch and the tensors that the encoder reads of it. */
function encoderFields(graphs: readonly GraphRelations[], draws: readonly MoleculeDraw[], geometry: boolean) {
  const atoms = graphs.reduce((most, graph) => Math.max(most, graph.atoms), 0);
  const size: BatchSize = { batch: graphs.length, atoms, tokens: atoms + 1 };
  const { row, selection } = spdRows(graphs, draws);
  const tensors: BatchTensors = {
    token_features: tokenFeatures(graphs, draws, size),
    pair_features: pairFeatures(graphs, draws, row, selection.shape[0], size),
    spd_selection: selection,
    ...(geometry ? geometryFields(graphs, draws, size) : {}),
  };
  return { size, tensors };
}

/**
 * What the encoder reads of a batch and no target: for fine-tuning and inference.
 * @param geometry whether the 3D relations are part of it
 */
export function buildEncoderBatch(
  graphs: readonly GraphRelations[],
  draws: readonly MoleculeDraw[],
  geometry: boolean,
): BatchTensors {
  return encoderFields(graphs, draws, geometry).tensors;
}

/**
 * Every tensor of FIELDS that a model with this 3D target takes, for one batch.
 * @param graphs relations of each molecule
 * @param draws what each shows, in the same order
 */
export function buildBatch(
  graphs: readonly GraphRelations[],
  draws: readonly MoleculeDraw[],
  policy: Policy,
  target: GeometryTarget,
): BatchTensors {
  const { size, tensors } = encoderFields(graphs, draws, true);
  return {
    ...tensors,
    ...topologyTargets(graphs, draws, policy, size),
    ...fillGeometryTargets(graphs, draws, policy, target, size),
    ...fillNoiseTargets(graphs, draws, policy, size),
  };
}
