// Molecule graph → relations: shortest path distances, the bonds along the first hops of each path, degrees.

import { ShapeError } from "../errors.js";
import { type GraphRelations, MAX_HOPS, UNREACHABLE } from "./relations.js";
import { adjacency, shortestPaths } from "./shortest-paths.js";

const ATOM_COLUMNS = 9;
const BOND_COLUMNS = 3;

/** The edge code of a bond with these OGB feature values: 1 + (type * 6 + stereo) * 2 + conjugated. */
export function bondCode(type: number, stereo: number, conjugated: number): number {
  return 1 + (type * 6 + stereo) * 2 + conjugated;
}

/** OGB feature values of an edge code ≥ 1. */
export function bondOfCode(code: number): { type: number; stereo: number; conjugated: number } {
  const value = code - 1;
  return { type: Math.floor(value / 12), stereo: (value >> 1) % 6, conjugated: value & 1 };
}

/**
 * Everything that follows from the 2D graph. Works for any number of fragments and for single atoms.
 *
 * @param atomFeatures [n, 9]
 * @param bonds [m, 2]
 * @param bondFeatures [m, 3]
 * @throws ShapeError when the arrays do not describe one graph
 */
export function graphRelations(atomFeatures: Uint8Array, bonds: Uint16Array, bondFeatures: Uint8Array): GraphRelations {
  const atoms = checkGraph(atomFeatures, bonds, bondFeatures);
  const graph = adjacency(atoms, bonds);
  const degree = new Uint8Array(atoms);
  for (let i = 0; i < atoms; i++) degree[i] = graph.starts[i + 1] - graph.starts[i];
  const { distance, next } = shortestPaths(atoms, graph);
  const codes = bondCodes(atoms, bonds, bondFeatures);
  return { atoms, atomFeatures, degree, distance, edgePath: firstHops(atoms, distance, next, codes) };
}

/** Number of atoms of a graph given by its arrays. @throws ShapeError when they do not fit each other */
export function checkGraph(atomFeatures: Uint8Array, bonds: Uint16Array, bondFeatures: Uint8Array): number {
  if (atomFeatures.length % ATOM_COLUMNS !== 0) {
    throw new ShapeError(`atom features: expected a multiple of ${ATOM_COLUMNS} values, got ${atomFeatures.length}`);
  }
  if (bonds.length % 2 !== 0 || bondFeatures.length * 2 !== bonds.length * BOND_COLUMNS) {
    throw new ShapeError(
      `bonds: expected 2 atoms and ${BOND_COLUMNS} features each, got ${bonds.length} and ${bondFeatures.length} values`,
    );
  }
  return atomFeatures.length / ATOM_COLUMNS;
}

/** Edge code of every bonded pair, 0 elsewhere. [n, n] */
function bondCodes(atoms: number, bonds: Uint16Array, bondFeatures: Uint8Array): Uint8Array {
  const codes = new Uint8Array(atoms * atoms);
  for (let bond = 0, f = 0; bond < bonds.length; bond += 2, f += BOND_COLUMNS) {
    const i = bonds[bond];
    const j = bonds[bond + 1];
    const code = bondCode(bondFeatures[f], bondFeatures[f + 1], bondFeatures[f + 2]);
    codes[i * atoms + j] = code;
    codes[j * atoms + i] = code;
  }
  return codes;
}

/** Walks each path from its first atom, MAX_HOPS bonds at most. [n, n, MAX_HOPS] */
function firstHops(atoms: number, distance: Uint16Array, next: Uint16Array, codes: Uint8Array): Uint8Array {
  const edgePath = new Uint8Array(atoms * atoms * MAX_HOPS);
  for (let i = 0, pair = 0; i < atoms; i++) {
    for (let j = 0; j < atoms; j++, pair++) {
      const length = distance[pair];
      if (length === UNREACHABLE) continue;
      let at = i;
      const start = pair * MAX_HOPS;
      const end = start + Math.min(length, MAX_HOPS);
      for (let out = start; out < end; out++) {
        const step = next[at * atoms + j];
        edgePath[out] = codes[at * atoms + step];
        at = step;
      }
    }
  }
  return edgePath;
}
