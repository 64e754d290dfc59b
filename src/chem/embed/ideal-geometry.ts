// Bond lengths, angles and torsions that a structure should have: from MMFF94 where it covers the structure, else from radii and shape.
import type { MmffTerms } from "./mmff.js";
import type { Structure } from "./structure.js";

/** Between `low` and `high`, in degrees. */
export interface AngleRange {
  readonly low: number;
  readonly high: number;
}

export interface IdealGeometry {
  /** Å. [bonds] */
  readonly bondLength: Float64Array;
  /** Length of the bond between two neighbours, Å. */
  lengthBetween(i: number, j: number): number;
  /** Angle at `apex`. */
  angle(i: number, apex: number, k: number): AngleRange;
  /** Size of the torsion i-j-k-l, from 0 (cis) to 180 (trans), about the bond `bond` between j and k. */
  torsion(bond: number, i: number, j: number, k: number, l: number): AngleRange;
}

/** Covalent radii in Å (Cordero et al. 2008); 1.5 for elements not listed. */
const COVALENT_RADIUS: Readonly<Record<number, number>> = {
  1: 0.31, 3: 1.28, 4: 0.96, 5: 0.84, 6: 0.76, 7: 0.71, 8: 0.66, 9: 0.57, 11: 1.66, 12: 1.41, 13: 1.21, 14: 1.11,
  15: 1.07, 16: 1.05, 17: 1.02, 30: 1.22, 31: 1.22, 32: 1.2, 33: 1.19, 34: 1.2, 35: 1.2, 50: 1.39, 51: 1.39, 52: 1.38,
  53: 1.39, 78: 1.36, 79: 1.36, 80: 1.32, 81: 1.45, 82: 1.46, 83: 1.48,
}; // biome-ignore format: a table
const FREE: AngleRange = { low: 0, high: 180 };
const CIS: AngleRange = { low: 0, high: 8 };
const TRANS: AngleRange = { low: 172, high: 180 };

/** What the torsion rules ask of bonds and atoms. */
interface Shape {
  readonly structure: Structure;
  /** Rings through each bond, as indices into `structure.rings`. */
  readonly ringsOfBond: readonly (readonly number[])[];
  readonly atomRings: readonly ReadonlySet<number>[];
  /** 1 for atoms with a double or aromatic bond, or a lone pair beside one: their bonds lie in a plane. [atoms] */
  readonly planar: Uint8Array;
  /** 1 for atoms with a triple bond or two double bonds. [atoms] */
  readonly linear: Uint8Array;
  /** -1 where none, else an index into `structure.stereoBonds`. [bonds] */
  readonly stereoOfBond: Int32Array;
  bondBetween(i: number, j: number): number;
}

/** @param terms null where MMFF94 does not cover the structure */
export function idealGeometry(structure: Structure, terms: MmffTerms | null): IdealGeometry {
  const shape = readShape(structure);
  const bondLength = bondLengths(structure, terms);
  const rest = new Map<number, number>();
  const n = structure.atoms;
  const key = (i: number, apex: number, k: number) => (apex * n + Math.min(i, k)) * n + Math.max(i, k);
  if (terms) {
    for (let t = 0; 3 * t < terms.angleAtoms.length; t++) {
      const [i, apex, k] = terms.angleAtoms.subarray(3 * t, 3 * t + 3);
      rest.set(key(i, apex, k), terms.angleValues[7 * t + 2] === 1 ? 180 : terms.angleValues[7 * t]);
    }
  }
  const geometry: IdealGeometry = {
    bondLength,
    lengthBetween: (i, j) => bondLength[shape.bondBetween(i, j)],
    angle: (i, apex, k) => angleRange(shape, i, apex, k, rest.get(key(i, apex, k)) ?? guessAngle(shape, i, apex, k)),
    torsion: (bond, i, j, k, l) => torsionRange(shape, bond, [i, j, k, l]),
  };
  return geometry;
}

function bondLengths({ bonds, bondOrder, aromaticBond, atomicNumber }: Structure, terms: MmffTerms | null) {
  if (terms) return Float64Array.from({ length: bondOrder.length }, (_, bond) => terms.bondValues[2 * bond]);
  return Float64Array.from({ length: bondOrder.length }, (_, bond) => {
    const radius = (atom: number) => COVALENT_RADIUS[atomicNumber[atom]] ?? 1.5;
    const single = radius(bonds[2 * bond]) + radius(bonds[2 * bond + 1]);
    const shortening = aromaticBond[bond] ? 0.08 : [0, 0, 0.13, 0.21][Math.min(3, bondOrder[bond])];
    return single * (1 - shortening);
  });
}

function readShape(structure: Structure): Shape {
  const { atoms, bonds, bondOrder, aromaticBond, atomicNumber, neighbours, rings, stereoBonds } = structure;
  const index = new Map<number, number>();
  const planar = new Uint8Array(atoms);
  const linear = new Uint8Array(atoms);
  for (let bond = 0; bond < bondOrder.length; bond++) {
    const [i, j] = bonds.subarray(2 * bond, 2 * bond + 2);
    index.set(i * atoms + j, bond).set(j * atoms + i, bond);
    for (const atom of [i, j]) {
      if (bondOrder[bond] === 3 || (bondOrder[bond] === 2 && planar[atom] === 1)) linear[atom] = 1;
      if (bondOrder[bond] === 2) planar[atom] = 1;
    }
    if (aromaticBond[bond]) planar[i] = planar[j] = 1;
  }
  const heavy = new Set([6, 7]);
  for (let atom = 0; atom < atoms; atom++) {
    // Sulfones, phosphates: double bonds without a plane.
    if (neighbours[atom].length > 3 || (atomicNumber[atom] > 10 && neighbours[atom].length > 2)) planar[atom] = 0;
    if (neighbours[atom].length !== 2 || atomicNumber[atom] > 10) linear[atom] = 0;
  }
  const double = planar.slice();
  for (let atom = 0; atom < atoms; atom++) {
    const lonePair = atomicNumber[atom] === 7 && neighbours[atom].length === 3 && !double[atom];
    if (lonePair && neighbours[atom].some((next) => double[next] && heavy.has(atomicNumber[next]))) planar[atom] = 1;
  }
  const bondBetween = (i: number, j: number) => index.get(i * atoms + j) ?? -1;
  const ringsOfBond: number[][] = Array.from(bondOrder, () => []);
  const atomRings = Array.from({ length: atoms }, () => new Set<number>());
  rings.forEach((ring, number) => {
    ring.forEach((atom, at) => {
      atomRings[atom].add(number);
      ringsOfBond[bondBetween(atom, ring[(at + 1) % ring.length])].push(number);
    });
  });
  const stereoOfBond = new Int32Array(bondOrder.length).fill(-1);
  stereoBonds.forEach(({ left, right }, at) => {
    stereoOfBond[bondBetween(left, right)] = at;
  });
  return { structure, ringsOfBond, atomRings, planar, linear, stereoOfBond, bondBetween };
}

/** Without parameters: by the number of neighbours and the plane. */
function guessAngle({ structure, planar, linear }: Shape, i: number, apex: number, k: number): number {
  const around = structure.neighbours[apex].length;
  if (linear[apex]) return 180;
  if (structure.rings.some((ring) => ring.length === 3 && [i, apex, k].every((atom) => ring.includes(atom)))) return 60;
  if (planar[apex] && around === 3) return 120;
  return around > 4 ? 110 : 109.5;
}

/** Angles in small rings are smaller than their atoms would have them, and those beside the ring larger. */
function angleRange(
  { structure, atomRings, planar }: Shape,
  i: number,
  apex: number,
  k: number,
  rest: number,
): AngleRange {
  const around = structure.neighbours[apex].length;
  if (around > 4) return { low: 75, high: 180 };
  let low = rest - 2;
  let high = rest + 2;
  let inside = 0;
  for (const number of atomRings[apex]) {
    const ring = structure.rings[number];
    const both = atomRings[i].has(number) && atomRings[k].has(number);
    if (both && ring.length === 4) return { low: 82, high: Math.max(rest, 96) };
    if (both && ring.length === 5) {
      inside = 5;
      low = Math.min(low, planar[apex] ? 101 : 93);
    } else if (ring.length <= 5) high = Math.max(high, rest + (ring.length === 5 ? 9 : 28));
    if (both && ring.length >= 6 && !planar[apex]) {
      low = Math.min(low, atomRings[apex].size > 1 ? 96 : rest - 5);
      high = Math.max(high, rest + 6);
    }
    if (both && ring.length > 7) high = Math.max(high, rest + 8);
  }
  if (inside === 5) high = Math.min(high, Math.max(rest - 1, 113));
  return { low, high: Math.min(180, high) };
}

function torsionRange(shape: Shape, bond: number, [i, j, k, l]: readonly [number, number, number, number]): AngleRange {
  const { structure, ringsOfBond, atomRings, planar, linear, stereoOfBond } = shape;
  if (linear[j] || linear[k]) return FREE;
  const flat = planar[j] === 1 && planar[k] === 1;
  const stiff = structure.aromaticBond[bond] === 1 || structure.bondOrder[bond] === 2;
  for (const number of ringsOfBond[bond]) {
    const size = structure.rings[number].length;
    const inI = atomRings[i].has(number);
    const inL = atomRings[l].has(number);
    if (inI && inL) {
      if (size <= 6 && (stiff || (flat && isAromaticRing(shape, number)))) return CIS;
      if (size === 4) return { low: 0, high: 40 };
      if (size === 5) return { low: 0, high: 72 };
      if (size === 6) return { low: 0, high: 80 };
      if (size === 7) return { low: 0, high: 115 };
    } else if (stiff && flat && size < 8) {
      return inI || inL ? TRANS : CIS;
    }
  }
  const stereo = stereoOfBond[bond];
  if (stereo >= 0) {
    const { leftSubstituent, rightSubstituent, cis } = structure.stereoBonds[stereo];
    const ends = [leftSubstituent, rightSubstituent];
    const sameKind = ends.includes(i) === ends.includes(l);
    return sameKind === cis ? CIS : TRANS;
  }
  if (stiff || ringsOfBond[bond].length > 0) return FREE;
  return amideRange(shape, i, j, k, l) ?? (planar[j] || planar[k] ? FREE : { low: 35, high: 180 });
}

function isAromaticRing({ structure, bondBetween }: Shape, number: number): boolean {
  const ring = structure.rings[number];
  return ring.every((atom, at) => structure.aromaticBond[bondBetween(atom, ring[(at + 1) % ring.length])] === 1);
}

/** Secondary amides, esters and acids in open chains: the substituent lies beside the carbonyl oxygen, not opposite. */
function amideRange({ structure, bondBetween }: Shape, i: number, j: number, k: number, l: number): AngleRange | null {
  const { atomicNumber, neighbours, bondOrder } = structure;
  const carbonyl = (atom: number) => {
    const oxygen = neighbours[atom].find(
      (next) => atomicNumber[next] === 8 && neighbours[next].length === 1 && bondOrder[bondBetween(atom, next)] === 2,
    );
    return atomicNumber[atom] === 6 && neighbours[atom].length === 3 ? (oxygen ?? -1) : -1;
  };
  for (const [c, x, far, end] of [
    [j, k, i, l],
    [k, j, l, i],
  ]) {
    const oxygen = carbonyl(c);
    if (oxygen < 0) continue;
    const isAmide = atomicNumber[x] === 7 && neighbours[x].length === 3;
    const hydrogens = neighbours[x].filter((atom) => atomicNumber[atom] === 1).length;
    const isEster = atomicNumber[x] === 8 && neighbours[x].length === 2;
    if (isEster) return far === oxygen ? CIS : TRANS;
    if (isAmide && hydrogens === 1) return (far === oxygen) === (atomicNumber[end] === 1) ? TRANS : CIS;
    if (isAmide) return FREE;
  }
  return null;
}
