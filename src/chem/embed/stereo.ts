// Handedness as signed volumes and double bonds as sides: what the embedder aims at, and the check that it got there.
import type { PlaneConstraint, VolumeConstraint } from "./distance-geometry.js";
import type { StereoBond, Structure } from "./structure.js";

/** Å³; a tetrahedral carbon has 7 to 10 between its neighbours, in a three- or four-ring less. */
const LEAST_VOLUME = 4.5;
const LEAST_VOLUME_SMALL_RING = 2;
/** Seen from the centre, where a lone pair takes the fourth place. */
const LEAST_VOLUME_LONE_PAIR = 1.2;

/**
 * A volume for each configured centre. RDKit's counterclockwise (the second to fourth neighbour seen from the first) is
 * the positive sign; a lone pair counts as last, and the centre lies on its side.
 */
export function volumeConstraints({ centres, rings }: Structure): VolumeConstraint[] {
  return centres.map(({ atom, neighbours, clockwise }) => {
    const [a, b, c] = neighbours;
    const sign = clockwise ? -1 : 1;
    if (neighbours.length === 3) return { atoms: [a, b, c, atom], sign, least: LEAST_VOLUME_LONE_PAIR };
    const small = rings.some((ring) => ring.length < 5 && ring.includes(atom));
    return { atoms: [a, b, c, neighbours[3]], sign, least: small ? LEAST_VOLUME_SMALL_RING : LEAST_VOLUME };
  });
}

/** Atoms with a double or aromatic bond and three neighbours, which lie in a plane with them, and the planes of double bonds. */
export function planeConstraints({ bonds, bondOrder, aromaticBond, neighbours, atomicNumber }: Structure) {
  const flat = new Set<number>();
  for (let bond = 0; bond < bondOrder.length; bond++) {
    if (bondOrder[bond] !== 2 && aromaticBond[bond] === 0) continue;
    for (const atom of [bonds[2 * bond], bonds[2 * bond + 1]]) if (atomicNumber[atom] <= 10) flat.add(atom);
  }
  const planes: PlaneConstraint[] = [];
  for (const atom of flat) {
    const around = neighbours[atom];
    if (around.length === 3) planes.push([around[0], around[1], around[2], atom]);
  }
  for (let bond = 0; bond < bondOrder.length; bond++) {
    const [left, right] = bonds.subarray(2 * bond, 2 * bond + 2);
    if (bondOrder[bond] !== 2 || !flat.has(left) || !flat.has(right)) continue;
    if (neighbours[left].length > 3 || neighbours[right].length > 3) continue;
    const leftEnd = neighbours[left].find((atom) => atom !== right);
    const rightEnd = neighbours[right].find((atom) => atom !== left);
    // An allene's ends stand across each other.
    const cumulated = neighbours[left].length === 2 && atomicNumber[left] === 6;
    if (leftEnd === undefined || rightEnd === undefined || cumulated) continue;
    if (neighbours[right].length === 2 && atomicNumber[right] === 6) continue;
    planes.push([leftEnd, left, right, rightEnd]);
  }
  return planes;
}

/** Whether every configured centre and double bond has its configuration. @param x Å [atoms, 3] */
export function hasRightStereo(structure: Structure, volumes: readonly VolumeConstraint[], x: Float64Array): boolean {
  for (const { atoms, sign, least } of volumes) if (sign * signedVolume(x, atoms) < least / 4) return false;
  return structure.stereoBonds.every((bond) => rightSide(bond, x) > 0.3);
}

/** Near 1 where a double bond has its configuration, near -1 where it has the other. */
function rightSide({ left, right, leftSubstituent, rightSubstituent, cis }: StereoBond, x: Float64Array): number {
  return (cis ? 1 : -1) * sameSide(x, left, right, leftSubstituent, rightSubstituent);
}

/**
 * Turns what lies beyond each double bond outside rings that came out wrong by half a turn. In a long polyene some bond nearly
 * always does, and embedding all of it anew would rarely help.
 *
 * @param x Å [atoms, 3], changed in place
 */
export function turnWrongDoubleBonds(structure: Structure, x: Float64Array): void {
  for (const bond of structure.stereoBonds) {
    if (rightSide(bond, x) > 0) continue;
    const beyond = atomsBeyond(structure, bond.left, bond.right);
    if (!beyond) continue;
    const [ux, uy, uz] = difference(x, bond.right, bond.left);
    const square = ux * ux + uy * uy + uz * uz || 1;
    for (const atom of beyond) {
      const [px, py, pz] = difference(x, atom, bond.right);
      const along = (2 * (px * ux + py * uy + pz * uz)) / square;
      x[3 * atom] += along * ux - 2 * px;
      x[3 * atom + 1] += along * uy - 2 * py;
      x[3 * atom + 2] += along * uz - 2 * pz;
    }
  }
}

/** Atoms on the far side of a bond; null where a ring leads back. */
function atomsBeyond({ atoms, neighbours }: Structure, from: number, to: number): number[] | null {
  const seen = new Uint8Array(atoms);
  seen[to] = 1;
  const found: number[] = [];
  const stack = [to];
  for (let atom = stack.pop(); atom !== undefined; atom = stack.pop()) {
    for (const next of neighbours[atom]) {
      if (next === from && atom !== to) return null;
      if (next === from || seen[next]) continue;
      seen[next] = 1;
      found.push(next);
      stack.push(next);
    }
  }
  return found;
}

function signedVolume(x: Float64Array, [p, q, r, o]: readonly number[]): number {
  const [ax, ay, az] = difference(x, p, o);
  const [bx, by, bz] = difference(x, q, o);
  const [cx, cy, cz] = difference(x, r, o);
  return ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx);
}

/** Cosine of the torsion about a double bond: near 1 for cis, -1 for trans. */
function sameSide(x: Float64Array, left: number, right: number, leftEnd: number, rightEnd: number): number {
  const [bx, by, bz] = difference(x, right, left);
  const length = bx * bx + by * by + bz * bz;
  const perpendicular = (end: number, from: number) => {
    const [ax, ay, az] = difference(x, end, from);
    const share = (ax * bx + ay * by + az * bz) / length;
    return [ax - share * bx, ay - share * by, az - share * bz] as const;
  };
  const [ax, ay, az] = perpendicular(leftEnd, left);
  const [cx, cy, cz] = perpendicular(rightEnd, right);
  const norm = Math.sqrt((ax * ax + ay * ay + az * az) * (cx * cx + cy * cy + cz * cz));
  return norm > 1e-9 ? (ax * cx + ay * cy + az * cz) / norm : 0;
}

function difference(x: Float64Array, a: number, b: number): readonly [number, number, number] {
  return [x[3 * a] - x[3 * b], x[3 * a + 1] - x[3 * b + 1], x[3 * a + 2] - x[3 * b + 2]];
}
