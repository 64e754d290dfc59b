// The relations of a molecule laid out in memory exactly as the reference implementation has them, for comparison.

import { checkGraph } from "./graph.js";
import { UNREACHABLE } from "./relations.js";
import { adjacency, type ShortestPaths, shortestPaths } from "./shortest-paths.js";

/** Values the reference reserves for each categorical column (its `convert_to_single_emb` offset). */
const COLUMN_OFFSET = 512;

/** The arrays of the reference's `preprocess_item`, all int32 in row-major order. m bonds give 2m directed edges. */
export interface ReferenceLayout {
  readonly atoms: number;
  /** Largest value of `spd`, hence hops of `edge_input`: 510 for several fragments, 0 for one atom. */
  readonly maxDistance: number;
  /** Feature + 1 + 512 · column. [n, 9] */
  readonly x: Int32Array;
  /** [2, 2m] */
  readonly edgeIndex: Int32Array;
  /** Raw features. [2m, 3] */
  readonly edgeFeatures: Int32Array;
  /** Feature + 2 + 512 · column of bonded pairs, 0 elsewhere. [n, n, 3] */
  readonly attentionEdgeType: Int32Array;
  /** [n, n] */
  readonly spd: Int32Array;
  /** Intermediate atom: -1 for neighbours, 510 for unreachable pairs, 0 on the diagonal. [n, n] */
  readonly path: Int32Array;
}

/** Expands a graph into the reference's arrays. @throws ShapeError when the arrays do not describe one graph */
export function referenceLayout(
  atomFeatures: Uint8Array,
  bonds: Uint16Array,
  bondFeatures: Uint8Array,
): ReferenceLayout {
  const atoms = checkGraph(atomFeatures, bonds, bondFeatures);
  const paths = shortestPaths(atoms, adjacency(atoms, bonds));
  const spd = Int32Array.from(paths.distance);
  return {
    atoms,
    maxDistance: spd.reduce((largest, value) => Math.max(largest, value), 0),
    x: Int32Array.from(atomFeatures, (value, at) => value + 1 + COLUMN_OFFSET * (at % 9)),
    ...directedEdges(bonds, bondFeatures),
    attentionEdgeType: attentionEdgeTypes(atoms, bonds, bondFeatures),
    spd,
    path: pathMatrix(paths),
  };
}

function directedEdges(
  bonds: Uint16Array,
  bondFeatures: Uint8Array,
): Pick<ReferenceLayout, "edgeIndex" | "edgeFeatures"> {
  const edges = bonds.length;
  const edgeIndex = new Int32Array(2 * edges);
  const edgeFeatures = new Int32Array(3 * edges);
  for (let edge = 0; edge < edges; edge++) {
    edgeIndex[edge] = bonds[edge];
    edgeIndex[edges + edge] = bonds[edge ^ 1];
    for (let c = 0; c < 3; c++) edgeFeatures[edge * 3 + c] = bondFeatures[(edge >> 1) * 3 + c];
  }
  return { edgeIndex, edgeFeatures };
}

function attentionEdgeTypes(atoms: number, bonds: Uint16Array, bondFeatures: Uint8Array): Int32Array {
  const types = new Int32Array(atoms * atoms * 3);
  for (let edge = 0; edge < bonds.length; edge++) {
    const pair = bonds[edge] * atoms + bonds[edge ^ 1];
    for (let c = 0; c < 3; c++) {
      types[pair * 3 + c] = bondFeatures[(edge >> 1) * 3 + c] + 2 + COLUMN_OFFSET * c;
    }
  }
  return types;
}

function pathMatrix({ atoms, distance, via }: ShortestPaths): Int32Array {
  const path = Int32Array.from(via);
  for (let pair = 0; pair < path.length; pair++) {
    if (distance[pair] === UNREACHABLE) path[pair] = UNREACHABLE;
  }
  for (let i = 0; i < atoms; i++) path[i * atoms + i] = 0;
  return path;
}

/**
 * The reference's `edge_input`: features + 2 + 512 · column of each bond of each path, -1 where there is none.
 * [n, n, min(hops, maxDistance), 3]. Without a limit this is n² · 510 · 3 values for a salt.
 */
export function referenceEdgeInput(layout: ReferenceLayout, hops = Number.POSITIVE_INFINITY): Int32Array {
  const { atoms, spd, path, attentionEdgeType, maxDistance } = layout;
  const depth = Math.min(hops, maxDistance);
  const edgeInput = new Int32Array(atoms * atoms * depth * 3).fill(-1);
  // Written the reference's way (get_all_edges, algos.pyx:71-79): split at the intermediate atom until none is left.
  const nodes: number[] = [];
  const walk = (i: number, j: number): void => {
    const k = path[i * atoms + j];
    if (k >= 0) {
      walk(i, k);
      walk(k, j);
    } else {
      nodes.push(j);
    }
  };
  for (let i = 0; i < atoms; i++) {
    for (let j = 0; j < atoms; j++) {
      const pair = i * atoms + j;
      if (i === j || spd[pair] === UNREACHABLE) continue;
      nodes.length = 0;
      nodes.push(i);
      walk(i, j);
      for (let hop = 0; hop < Math.min(depth, nodes.length - 1); hop++) {
        const bond = (nodes[hop] * atoms + nodes[hop + 1]) * 3;
        const out = (pair * depth + hop) * 3;
        for (let c = 0; c < 3; c++) edgeInput[out + c] = attentionEdgeType[bond + c];
      }
    }
  }
  return edgeInput;
}
