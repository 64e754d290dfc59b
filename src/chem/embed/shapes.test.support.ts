// Measures of geometries for the tests of the embedder: distances, angles, torsions, planes.
import { loadOpenChemLib, type OpenChemLib } from "../openchemlib.js";
import { loadRdkit, type Rdkit } from "../rdkit.js";
import { readStructure, type Structure } from "./structure.js";

export interface Libraries {
  readonly rdkit: Rdkit;
  readonly openChemLib: OpenChemLib;
}

export async function loadLibraries(): Promise<Libraries> {
  return { rdkit: await loadRdkit(), openChemLib: await loadOpenChemLib() };
}

export function structureOf(rdkit: Rdkit, smiles: string): Structure {
  const molecule = rdkit.parse(smiles);
  try {
    molecule.add_hs_in_place();
    return readStructure(molecule.get_json());
  } finally {
    molecule.delete();
  }
}

type Vector = readonly [number, number, number];

function between(x: ArrayLike<number>, from: number, to: number): Vector {
  return [x[3 * to] - x[3 * from], x[3 * to + 1] - x[3 * from + 1], x[3 * to + 2] - x[3 * from + 2]];
}

const dot = (a: Vector, b: Vector) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a: Vector, b: Vector): Vector => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

/** Å */
export function distance(x: ArrayLike<number>, i: number, j: number): number {
  return Math.hypot(...between(x, i, j));
}

/** Degrees, at j. */
export function angle(x: ArrayLike<number>, i: number, j: number, k: number): number {
  const a = between(x, j, i);
  const b = between(x, j, k);
  return (Math.acos(dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))) * 180) / Math.PI;
}

/** Degrees from 0 (cis) to 180 (trans). */
export function torsion(x: ArrayLike<number>, i: number, j: number, k: number, l: number): number {
  const axis = between(x, j, k);
  const m = cross(between(x, j, i), axis);
  const n = cross(between(x, k, l), axis);
  return (Math.acos(Math.max(-1, Math.min(1, dot(m, n) / Math.sqrt(dot(m, m) * dot(n, n))))) * 180) / Math.PI;
}

/** Å; how far a fourth atom lies from the plane of three. */
export function outOfPlane(x: ArrayLike<number>, [i, j, k]: readonly number[], atom: number): number {
  const normal = cross(between(x, i, j), between(x, i, k));
  return Math.abs(dot(normal, between(x, i, atom))) / Math.sqrt(dot(normal, normal));
}
