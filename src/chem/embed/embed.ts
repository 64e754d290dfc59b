// Conformers of one connected structure: several embeddings, roughly minimised, and the best of them to the end.
import type { Random } from "../../random.js";
import { distanceBounds } from "./bounds.js";
import { type EmbedConstraints, embedOnce } from "./distance-geometry.js";
import { idealGeometry } from "./ideal-geometry.js";
import { minimize } from "./minimize.js";
import { type MmffTerms, mmffEnergy } from "./mmff.js";
import { hasRightStereo, planeConstraints, turnWrongDoubleBonds, volumeConstraints } from "./stereo.js";
import type { Structure } from "./structure.js";

/** One geometry. */
export interface Conformer {
  /** Å. [atoms, 3] */
  readonly positions: Float64Array;
  /** MMFF94 energy in kcal/mol; without parameters, the violation of the distance bounds. */
  readonly energy: number;
}

export interface EmbedOptions {
  /** How many geometries are wanted. */
  readonly count: number;
  /** Embeddings that are tried at least; by flexibility where it is not given. */
  readonly effort?: number | undefined;
  /** The time of `performance.now()` at which to make do with what there is. */
  readonly deadline: number;
}

export interface EmbedOutcome {
  /** By energy, at most `count`; fewer where a structure has fewer shapes. */
  readonly conformers: readonly Conformer[];
  /** Embeddings that failed, by reason. */
  readonly failures: Readonly<Record<EmbedFailure, number>>;
  readonly timedOut: boolean;
}

/** `distances`: the bounds were not met; `stereo`: a centre or double bond came out wrong; `energy`: the shape is absurd. */
export type EmbedFailure = "distances" | "stereo" | "energy";

/** Mean squared violation an atom, above which an embedding is not worth minimising. */
const MAX_VIOLATION = 0.2;
/** Largest energy an atom (kcal/mol) of a sound shape; strained cages have 15, atoms through rings more than 30. */
const MAX_ENERGY_PER_ATOM = 40;
const LEAST_EFFORT = 3;
const EFFORT_PER_FREEDOM = 4;
const LARGEST_EFFORT = 36;
/** Candidates minimised to the end beyond those wanted: rough energies order them only roughly. */
const FINISHED_BESIDE = 3;
/** Embeddings for each geometry wanted, at least: some turn out to be the same shape. */
const SPARE = 2;
/** Failed embeddings after which the structure is given up. */
const MAX_FAILURES = 30;
/** Shapes nearer than this root mean square deviation (Å, atoms other than hydrogen) are the same. */
const SAME_SHAPE = 0.4;
const SAME_ENERGY = 0.05;

/** @param terms null where MMFF94 does not cover the structure: its geometry then only meets the distance bounds */
export function embedConformers(
  structure: Structure,
  terms: MmffTerms | null,
  random: Random,
  options: EmbedOptions,
): EmbedOutcome {
  const failures = { distances: 0, stereo: 0, energy: 0 };
  if (structure.atoms === 1) {
    return { conformers: [{ positions: new Float64Array(3), energy: 0 }], failures, timedOut: false };
  }
  const constraints: EmbedConstraints = {
    bounds: distanceBounds(structure, idealGeometry(structure, terms)),
    volumes: volumeConstraints(structure),
    planes: planeConstraints(structure),
  };
  const rough = collect(structure, terms, constraints, random, options, failures);
  rough.sort((a, b) => a.energy - b.energy);
  const conformers: Conformer[] = [];
  for (const candidate of rough) {
    if (conformers.length >= options.count + (terms ? FINISHED_BESIDE : 0)) break;
    const finished = terms ? finish(terms, candidate, options.deadline) : candidate;
    if (!hasRightStereo(structure, constraints.volumes, finished.positions)) failures.stereo++;
    else if (!conformers.some((other) => isSameShape(structure, other, finished))) conformers.push(finished);
  }
  conformers.sort((a, b) => a.energy - b.energy);
  conformers.length = Math.min(conformers.length, options.count);
  return { conformers, failures, timedOut: performance.now() > options.deadline };
}

/** Embeddings minimised far enough to compare them. */
function collect(
  structure: Structure,
  terms: MmffTerms | null,
  constraints: EmbedConstraints,
  random: Random,
  { count, effort, deadline }: EmbedOptions,
  failures: Record<EmbedFailure, number>,
): Conformer[] {
  const wanted = Math.max(effort ?? effortFor(structure), SPARE * count);
  const found: Conformer[] = [];
  for (let attempt = 0; found.length < wanted; attempt++) {
    const failed = attempt - found.length;
    if (failed > MAX_FAILURES + wanted || (found.length === 0 && failed > MAX_FAILURES)) break;
    if (performance.now() > deadline) break;
    const { x, violation } = embedOnce(constraints, random.split("embedding", attempt), deadline);
    turnWrongDoubleBonds(structure, x);
    if (violation > MAX_VIOLATION) {
      failures.distances++;
    } else if (!hasRightStereo(structure, constraints.volumes, x)) {
      failures.stereo++;
    } else if (!terms) {
      found.push({ positions: x, energy: violation });
    } else {
      const energy = relax(terms, x, ROUGH, deadline);
      if (energy > MAX_ENERGY_PER_ATOM * structure.atoms) failures.energy++;
      else if (hasRightStereo(structure, constraints.volumes, x)) found.push({ positions: x, energy });
      else failures.stereo++;
    }
  }
  return found;
}

/**
 * Rigid structures need few embeddings, flexible ones more until a low shape is among them (measured on DFT geometries,
 * see docs/conformers.md).
 */
function effortFor({ bonds, bondOrder, neighbours, atomicNumber, rings }: Structure): number {
  const inRing = new Set(rings.flatMap((ring) => ring.map((atom, at) => bondName(atom, ring[(at + 1) % ring.length]))));
  const branches = (atom: number) => neighbours[atom].filter((next) => atomicNumber[next] !== 1).length > 1;
  let freedom = rings.filter((ring) => ring.length > 4 && ring.some((atom) => neighbours[atom].length === 4)).length;
  for (let bond = 0; bond < bondOrder.length; bond++) {
    const [i, j] = bonds.subarray(2 * bond, 2 * bond + 2);
    if (bondOrder[bond] === 1 && !inRing.has(bondName(i, j)) && branches(i) && branches(j)) freedom++;
  }
  return Math.min(LARGEST_EFFORT, LEAST_EFFORT + EFFORT_PER_FREEDOM * freedom);
}

function bondName(i: number, j: number): string {
  return i < j ? `${i},${j}` : `${j},${i}`;
}

interface Precision {
  readonly maxIterations: number;
  /** kcal/mol/Å */
  readonly gradientTolerance: number;
  /** kcal/mol */
  readonly valueTolerance: number;
}

const ROUGH: Precision = { maxIterations: 80, gradientTolerance: 1, valueTolerance: 0.3 };
const FINE: Precision = { maxIterations: 400, gradientTolerance: 0.02, valueTolerance: 2e-3 };

function relax(terms: MmffTerms, x: Float64Array, precision: Precision, deadline: number): number {
  const objective = (at: Float64Array, gradient: Float64Array) => mmffEnergy(terms, at, gradient);
  return minimize(objective, x, { ...precision, maxStep: 0.3, deadline }).value;
}

function finish(terms: MmffTerms, { positions }: Conformer, deadline: number): Conformer {
  const x = positions.slice();
  const energy = relax(terms, x, FINE, deadline);
  return { positions: x, energy };
}

/**
 * Whether two conformers are one shape: energies alike and distances between atoms alike. Distances need no superposition,
 * and mirror images count as one.
 */
function isSameShape({ atoms, atomicNumber }: Structure, a: Conformer, b: Conformer): boolean {
  if (Math.abs(a.energy - b.energy) > SAME_ENERGY * 10) return false;
  let sum = 0;
  let pairs = 0;
  for (let i = 0; i < atoms; i++) {
    if (atomicNumber[i] === 1) continue;
    for (let j = 0; j < i; j++) {
      if (atomicNumber[j] === 1) continue;
      const change = distance(a.positions, i, j) - distance(b.positions, i, j);
      sum += change * change;
      pairs++;
    }
  }
  if (pairs === 0) return true;
  return Math.sqrt(sum / pairs) < SAME_SHAPE / 2;
}

function distance(x: Float64Array, i: number, j: number): number {
  return Math.hypot(x[3 * i] - x[3 * j], x[3 * i + 1] - x[3 * j + 1], x[3 * i + 2] - x[3 * j + 2]);
}
