// Lower and upper bounds of every interatomic distance, from bond lengths, angles, rings, configuration and van der Waals radii.
import type { IdealGeometry } from "./ideal-geometry.js";
import { type Structure, topologicalDistances } from "./structure.js";

/** Bounds in Å: of the pair i < j, the upper at [i * atoms + j] and the lower at [j * atoms + i]. [atoms, atoms] */
export interface DistanceBounds {
  readonly atoms: number;
  readonly values: Float64Array;
}

const RADIANS = Math.PI / 180;
const FAR = 1e3;

/** Van der Waals radii in Å (Bondi 1964; Rowland & Taylor 1996 for H); 2.0 for the rest. */
const VDW_RADIUS: Readonly<Record<number, number>> = {
  1: 1.1,
  5: 1.92,
  6: 1.7,
  7: 1.55,
  8: 1.52,
  9: 1.47,
  14: 2.1,
  15: 1.8,
  16: 1.8,
  17: 1.75,
  34: 1.9,
  35: 1.85,
  53: 1.98,
};
const HYDROGEN_BOND = 1.75;

/** How close two atoms this many bonds apart may come, as a share of the sum of their radii. */
const CONTACT = [0, 0, 0, 0, 0.72, 0.82, 0.9];

/** Bounds before smoothing are kept in two matrices by pair. */
interface Draft {
  readonly structure: Structure;
  readonly ideal: IdealGeometry;
  readonly distance: Uint8Array;
  readonly lower: Float64Array;
  readonly upper: Float64Array;
}

export function distanceBounds(structure: Structure, ideal: IdealGeometry): DistanceBounds {
  const n = structure.atoms;
  const lower = new Float64Array(n * n);
  const upper = new Float64Array(n * n).fill(FAR);
  const draft = { structure, ideal, distance: topologicalDistances(structure), lower, upper };
  boundContacts(draft);
  boundTorsions(draft);
  boundAngles(draft);
  const { bonds } = structure;
  for (let bond = 0; 2 * bond < bonds.length; bond++) {
    setBounds(
      draft,
      bonds[2 * bond],
      bonds[2 * bond + 1],
      ideal.bondLength[bond] - 0.01,
      ideal.bondLength[bond] + 0.01,
    );
  }
  smooth(draft);
  const values = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      values[i * n + j] = Math.max(upper[i * n + j], lower[i * n + j]);
      values[j * n + i] = lower[i * n + j];
    }
  }
  return { atoms: n, values };
}

function setBounds({ structure: { atoms }, lower, upper }: Draft, i: number, j: number, low: number, high: number) {
  lower[i * atoms + j] = lower[j * atoms + i] = low;
  upper[i * atoms + j] = upper[j * atoms + i] = high;
}

function boundContacts(draft: Draft): void {
  const { structure, distance } = draft;
  const { atoms, atomicNumber, neighbours } = structure;
  const polar = (atom: number) => [7, 8, 9, 16, 17].includes(atomicNumber[atom]);
  const donor = (atom: number) => atomicNumber[atom] === 1 && neighbours[atom].some(polar);
  for (let i = 0; i < atoms; i++) {
    for (let j = 0; j < i; j++) {
      const bonds = distance[i * atoms + j];
      if (bonds < 4) continue;
      const radii = (VDW_RADIUS[atomicNumber[i]] ?? 2) + (VDW_RADIUS[atomicNumber[j]] ?? 2);
      const bridged = (donor(i) && polar(j)) || (donor(j) && polar(i));
      setBounds(draft, i, j, bridged ? HYDROGEN_BOND : radii * CONTACT[Math.min(bonds, 6)], FAR);
    }
  }
}

function boundAngles(draft: Draft): void {
  const { structure, ideal, distance } = draft;
  for (let apex = 0; apex < structure.atoms; apex++) {
    const around = structure.neighbours[apex];
    for (let a = 0; a < around.length; a++) {
      for (let b = a + 1; b < around.length; b++) {
        if (distance[around[a] * structure.atoms + around[b]] === 1) continue;
        const first = ideal.lengthBetween(apex, around[a]);
        const second = ideal.lengthBetween(apex, around[b]);
        const { low, high } = ideal.angle(around[a], apex, around[b]);
        const near = opposite(first, second, low);
        const far = opposite(first, second, high);
        // Two-bond pairs of a four-ring are reached over two apexes: both must be allowed.
        merge(draft, around[a], around[b], near - 0.01, far + 0.01, 2);
      }
    }
  }
}

/** Third side of a triangle from two sides and the angle (degrees) between them. */
function opposite(a: number, b: number, angle: number): number {
  return Math.sqrt(Math.max(0.01, a * a + b * b - 2 * a * b * Math.cos(angle * RADIANS)));
}

/** Narrows the bounds of a pair, or where several paths contradict each other widens them to hold all. */
function merge(draft: Draft, i: number, j: number, low: number, high: number, bonds: number): void {
  const { structure, distance, lower, upper } = draft;
  const at = i * structure.atoms + j;
  if (distance[at] !== bonds) return;
  const seen = upper[at] < FAR;
  if (!seen) setBounds(draft, i, j, low, high);
  else if (low <= upper[at] && high >= lower[at]) {
    setBounds(draft, i, j, Math.max(low, lower[at]), Math.min(high, upper[at]));
  } else setBounds(draft, i, j, Math.min(low, lower[at]), Math.max(high, upper[at]));
}

function boundTorsions(draft: Draft): void {
  const { structure, ideal } = draft;
  const { bonds, neighbours } = structure;
  for (let bond = 0; 2 * bond < bonds.length; bond++) {
    const j = bonds[2 * bond];
    const k = bonds[2 * bond + 1];
    for (const i of neighbours[j]) {
      if (i === k) continue;
      for (const l of neighbours[k]) {
        if (l === j || l === i) continue;
        const { low, high } = ideal.torsion(bond, i, j, k, l);
        const first = ideal.angle(i, j, k);
        const second = ideal.angle(j, k, l);
        const lengths = [ideal.lengthBetween(i, j), ideal.bondLength[bond], ideal.lengthBetween(k, l)] as const;
        const near = acrossTorsion(lengths, first.low, second.low, low) - 0.02;
        const far = acrossTorsion(lengths, first.high, second.high, high) + 0.02;
        merge(draft, i, l, near, far, 3);
      }
    }
  }
}

/** Distance of the ends of four atoms in a row, from three lengths, two angles and the torsion (degrees). */
function acrossTorsion(
  [first, middle, last]: readonly [number, number, number],
  angleFirst: number,
  angleLast: number,
  torsion: number,
): number {
  const along = middle - first * Math.cos(angleFirst * RADIANS) - last * Math.cos(angleLast * RADIANS);
  const a = first * Math.sin(angleFirst * RADIANS);
  const b = last * Math.sin(angleLast * RADIANS);
  return Math.sqrt(along * along + a * a + b * b - 2 * a * b * Math.cos(torsion * RADIANS));
}

/** Triangle inequalities over all triples, as shortest paths (Dress & Havel 1988). */
function smooth({ structure: { atoms: n }, lower, upper }: Draft): void {
  for (let k = 0; k < n; k++) {
    const rowK = k * n;
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const rowI = i * n;
      const upperIK = upper[rowI + k];
      const lowerIK = lower[rowI + k];
      for (let j = 0; j < i; j++) {
        if (j === k) continue;
        const through = upperIK + upper[rowK + j];
        if (through < upper[rowI + j]) upper[rowI + j] = upper[j * n + i] = through;
        const apart = Math.max(lowerIK - upper[rowK + j], lower[rowK + j] - upperIK);
        if (apart > lower[rowI + j]) lower[rowI + j] = lower[j * n + i] = Math.min(apart, upper[rowI + j]);
      }
    }
  }
}
