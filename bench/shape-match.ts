// How far two geometries of one molecule lie apart: least RMSD over rotations and over all ways to match equal atoms.

/** Heavy atoms of one connected molecule. */
export interface Shape {
  /** [atoms] */
  readonly elements: ArrayLike<number>;
  /** Begin and end atom. [bonds, 2] */
  readonly bonds: ArrayLike<number>;
}

/** Matchings that are looked at, at most; molecules with more equal groups than that are measured a little too far apart. */
const MOST_MATCHINGS = 20_000;

function neighbours({ elements, bonds }: Shape): number[][] {
  const lists = Array.from(elements, (): number[] => []);
  for (let i = 0; i < bonds.length; i += 2) {
    lists[bonds[i]].push(bonds[i + 1]);
    lists[bonds[i + 1]].push(bonds[i]);
  }
  return lists;
}

/** A name of each atom that its counterpart shares: element and, round after round, the names around it. */
function names({ elements }: Shape, around: readonly number[][]): string[] {
  let own = Array.from(elements, String);
  for (let round = 0; round < 4; round++) {
    own = own.map(
      (name, atom) =>
        `${name}(${around[atom]
          .map((other) => own[other])
          .sort()
          .join()})`,
    );
    // Names grow with every round; a clash only makes `matchings` try in vain.
    own = own.map(hash);
  }
  return own;
}

function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return (value >>> 0).toString(36);
}

/** Atoms so that each but the first is bonded to one before it. */
function walk(around: readonly number[][]): number[] {
  const order = [0];
  for (const atom of order) for (const next of around[atom]) if (!order.includes(next)) order.push(next);
  return order;
}

/**
 * Every way to put the atoms of `b` onto those of `a` so that elements and bonds (whatever their order) agree: each gives, by
 * atom of `a`, the atom of `b`. None where they are different molecules, or not connected.
 */
export function matchings(a: Shape, b: Shape): Int32Array[] {
  const found: Int32Array[] = [];
  const [aroundA, aroundB] = [neighbours(a), neighbours(b)];
  const [namesA, namesB] = [names(a, aroundA), names(b, aroundB)];
  const order = walk(aroundA);
  const atoms = a.elements.length;
  if (order.length !== atoms || b.elements.length !== atoms || a.bonds.length !== b.bonds.length) return [];
  const partner = new Int32Array(atoms).fill(-1);
  const used = new Uint8Array(atoms);
  const place = (step: number): void => {
    if (found.length >= MOST_MATCHINGS) return;
    if (step === atoms) {
      found.push(partner.slice());
      return;
    }
    const atom = order[step];
    const placed = aroundA[atom].filter((other) => partner[other] >= 0);
    const candidates = placed.length > 0 ? aroundB[partner[placed[0]]] : [...namesB.keys()];
    for (const candidate of candidates) {
      if (used[candidate] || namesA[atom] !== namesB[candidate]) continue;
      if (!placed.every((other) => aroundB[candidate].includes(partner[other]))) continue;
      partner[atom] = candidate;
      used[candidate] = 1;
      place(step + 1);
      partner[atom] = -1;
      used[candidate] = 0;
    }
  };
  place(0);
  return found;
}

function centred(x: ArrayLike<number>): Float64Array {
  const atoms = x.length / 3;
  const mean = [0, 0, 0];
  for (let i = 0; i < x.length; i++) mean[i % 3] += x[i] / atoms;
  return Float64Array.from({ length: x.length }, (_, i) => x[i] - mean[i % 3]);
}

/** Largest eigenvalue of Horn's quaternion matrix of the products S of two sets of coordinates, by Newton's method from above. */
function largestEigenvalue(s: Float64Array, bound: number): number {
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = s;
  const matrix = [
    [xx + yy + zz, yz - zy, zx - xz, xy - yx],
    [yz - zy, xx - yy - zz, xy + yx, zx + xz],
    [zx - xz, xy + yx, yy - xx - zz, yz + zy],
    [xy - yx, zx + xz, yz + zy, zz - xx - yy],
  ];
  const squares = matrix.flat().reduce((sum, value) => sum + value * value, 0);
  const c2 = -squares / 2;
  const c1 = -8 * (xx * (yy * zz - yz * zy) - xy * (yx * zz - yz * zx) + xz * (yx * zy - yy * zx));
  const c0 = determinant(matrix);
  let value = bound;
  for (let i = 0; i < 100; i++) {
    const polynomial = ((value * value + c2) * value + c1) * value + c0;
    const slope = (4 * value * value + 2 * c2) * value + c1;
    if (slope === 0) break;
    const next = value - polynomial / slope;
    if (Math.abs(next - value) < 1e-12 * Math.abs(bound)) return next;
    value = next;
  }
  return value;
}

function determinant(rows: readonly (readonly number[])[]): number {
  if (rows.length === 1) return rows[0][0];
  return rows[0].reduce((sum, value, column) => {
    const minor = rows.slice(1).map((row) => row.filter((_, i) => i !== column));
    return sum + (column % 2 === 0 ? 1 : -1) * value * determinant(minor);
  }, 0);
}

/**
 * Å; mirror images are different shapes.
 * @param a coordinates [atoms, 3] @param b of the same molecule, its atoms in the order of `matching`'s values
 */
export function leastRmsd(a: ArrayLike<number>, b: ArrayLike<number>, ways: readonly Int32Array[]): number {
  const [p, q] = [centred(a), centred(b)];
  const atoms = p.length / 3;
  const norm = p.reduce((sum, value) => sum + value * value, 0) + q.reduce((sum, value) => sum + value * value, 0);
  const products = new Float64Array(9);
  let best = Number.POSITIVE_INFINITY;
  for (const way of ways) {
    products.fill(0);
    for (let atom = 0; atom < atoms; atom++) {
      for (let i = 0; i < 3; i++)
        for (let j = 0; j < 3; j++) products[3 * i + j] += p[3 * atom + i] * q[3 * way[atom] + j];
    }
    const squares = Math.max(0, norm - 2 * largestEigenvalue(products, norm / 2));
    best = Math.min(best, Math.sqrt(squares / atoms));
  }
  return best;
}
