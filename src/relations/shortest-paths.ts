// Shortest paths of a molecular graph, with ties decided exactly as the reference's Floyd-Warshall decides them.

import { ShapeError } from "../errors.js";
import { UNREACHABLE } from "./relations.js";

/** Neighbours of every atom in one array: those of atom i are `neighbours[starts[i] .. starts[i + 1])`. */
export interface Adjacency {
  readonly starts: Uint32Array;
  readonly neighbours: Uint16Array;
}

/** Values of `via` for pairs that have no intermediate atom. */
export const NO_INTERMEDIATE = -1;

export interface ShortestPaths {
  readonly atoms: number;
  /** Bonds between two atoms; 0 on the diagonal, UNREACHABLE between fragments. [n, n] */
  readonly distance: Uint16Array;
  /** The atom at which the path is split in two; NO_INTERMEDIATE for neighbours, unreachable pairs, the diagonal. [n, n] */
  readonly via: Int16Array;
  /** The atom after i on the path from i to j; only meaningful where 0 < distance < UNREACHABLE. [n, n] */
  readonly next: Uint16Array;
}

/** Neighbour lists of a graph. @throws ShapeError for an atom number outside the molecule */
export function adjacency(atoms: number, bonds: Uint16Array): Adjacency {
  const starts = new Uint32Array(atoms + 1);
  for (let e = 0; e < bonds.length; e++) {
    if (bonds[e] >= atoms) {
      throw new ShapeError(`bond ${e >> 1}: expected atoms below ${atoms}, got ${bonds[e]}`);
    }
    starts[bonds[e] + 1]++;
  }
  for (let i = 0; i < atoms; i++) starts[i + 1] += starts[i];
  const fill = starts.slice(0, atoms);
  const neighbours = new Uint16Array(bonds.length);
  for (let e = 0; e < bonds.length; e += 2) {
    neighbours[fill[bonds[e]]++] = bonds[e + 1];
    neighbours[fill[bonds[e + 1]]++] = bonds[e];
  }
  return { starts, neighbours };
}

/**
 * All shortest paths.
 *
 * The reference (algos.pyx:12-58) runs Floyd-Warshall with the intermediate atom k outermost and replaces a path only
 * by a strictly shorter one. A pair is therefore split at the smallest k that lets the atoms 0..k finish a shortest
 * path: over all shortest paths, the least possible highest intermediate atom. That is a minimum over predecessors of
 * a maximum, so one breadth-first search an atom finds it in O(n · bonds) instead of O(n³). Both halves of a path
 * are themselves the chosen paths of their pairs, hence the first atom of i → j is that of i → via.
 */
export function shortestPaths(atoms: number, graph: Adjacency): ShortestPaths {
  const distance = new Uint16Array(atoms * atoms).fill(UNREACHABLE);
  const via = new Int16Array(atoms * atoms).fill(NO_INTERMEDIATE);
  const next = new Uint16Array(atoms * atoms);
  const queue = new Uint16Array(atoms);
  for (let source = 0; source < atoms; source++) {
    searchFrom(source, source * atoms, graph, queue, distance, via, next);
  }
  return { atoms, distance, via, next };
}

function searchFrom(
  source: number,
  row: number,
  { starts, neighbours }: Adjacency,
  queue: Uint16Array,
  distance: Uint16Array,
  via: Int16Array,
  next: Uint16Array,
): void {
  let tail = 1;
  queue[0] = source;
  distance[row + source] = 0;
  for (let head = 0; head < tail; head++) {
    const atom = queue[head];
    const reached = distance[row + atom] + 1;
    const split = via[row + atom];
    // Every shorter path is known by now, so the first step can be taken from the path to the splitting atom.
    if (head > 0) next[row + atom] = split < 0 ? atom : next[row + split];
    // The reference starts from 510 as infinity, so it never sees a path that long.
    if (reached >= UNREACHABLE) continue;
    const highest = head === 0 ? NO_INTERMEDIATE : Math.max(split, atom);
    for (let e = starts[atom], end = starts[atom + 1]; e < end; e++) {
      const cell = row + neighbours[e];
      const known = distance[cell];
      if (known > reached) {
        distance[cell] = reached;
        via[cell] = highest;
        queue[tail++] = neighbours[e];
      } else if (known === reached && highest < via[cell]) {
        via[cell] = highest;
      }
    }
  }
}
