// MMFF94 energy and gradient over typed arrays (Halgren, J. Comput. Chem. 17, 490-519, 1996); the parameters come from outside.

/** The terms of one molecule. Lengths in Å, angles in degrees, energies in kcal/mol. */
export interface MmffTerms {
  readonly atoms: number;
  /** [bonds, 2] */
  readonly bondAtoms: Uint16Array;
  /** Length at rest, force constant (md/Å). [bonds, 2] */
  readonly bondValues: Float64Array;
  /** The apex in the middle. [angles, 3] */
  readonly angleAtoms: Uint16Array;
  /**
   * Angle at rest, force constant (md Å/rad²), 1 where linear, both lengths at rest and both stretch-bend constants
   * (md/rad) of the first and the second leg. [angles, 7]
   */
  readonly angleValues: Float64Array;
  /** The centre first; the last atom is the one that leaves the plane. [bends, 4] */
  readonly planeAtoms: Uint16Array;
  /** Force constant (md Å/rad²). [bends] */
  readonly planeValues: Float64Array;
  /** [torsions, 4] */
  readonly torsionAtoms: Uint16Array;
  /** V1, V2, V3. [torsions, 3] */
  readonly torsionValues: Float64Array;
  /** Atoms three bonds apart or more. [pairs, 2] */
  readonly pairAtoms: Uint16Array;
  /** Distance R*, well depth, and product of charges with the 1-4 factor. [pairs, 3] */
  readonly pairValues: Float64Array;
}

const DEGREES = 180 / Math.PI;
/** md Å to kcal/mol. */
const MILLIDYNE = 143.9325;
const BEND = MILLIDYNE / (DEGREES * DEGREES);
const CUBIC_BEND = -0.4 / DEGREES;
const STRETCH_BEND = MILLIDYNE / DEGREES;
const COULOMB = 332.0716;
/** Buffer of the electrostatic term, Å. */
const BUFFER = 0.05;

/** Energy in kcal/mol of coordinates in Å; the gradient (kcal/mol/Å) is overwritten. Both [atoms, 3]. */
export function mmffEnergy(terms: MmffTerms, x: Float64Array, gradient: Float64Array): number {
  gradient.fill(0);
  return (
    bonds(terms, x, gradient) +
    angles(terms, x, gradient) +
    planes(terms, x, gradient) +
    torsions(terms, x, gradient) +
    pairs(terms, x, gradient)
  );
}

function bonds({ bondAtoms, bondValues }: MmffTerms, x: Float64Array, gradient: Float64Array): number {
  let energy = 0;
  for (let t = 0; t < bondAtoms.length; t += 2) {
    const i = 3 * bondAtoms[t];
    const j = 3 * bondAtoms[t + 1];
    const dx = x[i] - x[j];
    const dy = x[i + 1] - x[j + 1];
    const dz = x[i + 2] - x[j + 2];
    const length = Math.sqrt(dx * dx + dy * dy + dz * dz) || 1e-8;
    const change = length - bondValues[t];
    const stiffness = MILLIDYNE * bondValues[t + 1];
    energy += 0.5 * stiffness * change * change * (1 + change * (-2 + (7 / 3) * change));
    const pull = (stiffness * change * (1 + change * (-3 + (14 / 3) * change))) / length;
    gradient[i] += pull * dx;
    gradient[i + 1] += pull * dy;
    gradient[i + 2] += pull * dz;
    gradient[j] -= pull * dx;
    gradient[j + 1] -= pull * dy;
    gradient[j + 2] -= pull * dz;
  }
  return energy;
}

/** Angle bends and the stretch-bend terms, which share their geometry. */
function angles({ angleAtoms, angleValues }: MmffTerms, x: Float64Array, gradient: Float64Array): number {
  let energy = 0;
  for (let t = 0, v = 0; t < angleAtoms.length; t += 3, v += 7) {
    const i = 3 * angleAtoms[t];
    const j = 3 * angleAtoms[t + 1];
    const k = 3 * angleAtoms[t + 2];
    let ax = x[i] - x[j];
    let ay = x[i + 1] - x[j + 1];
    let az = x[i + 2] - x[j + 2];
    let bx = x[k] - x[j];
    let by = x[k + 1] - x[j + 1];
    let bz = x[k + 2] - x[j + 2];
    const a = Math.sqrt(ax * ax + ay * ay + az * az) || 1e-8;
    const b = Math.sqrt(bx * bx + by * by + bz * bz) || 1e-8;
    ax /= a;
    ay /= a;
    az /= a;
    bx /= b;
    by /= b;
    bz /= b;
    const cosine = Math.max(-1, Math.min(1, ax * bx + ay * by + az * bz));
    const sine = Math.sqrt(Math.max(1e-12, 1 - cosine * cosine));
    const bend = DEGREES * Math.acos(cosine) - angleValues[v];
    const stiffness = angleValues[v + 1];
    let slopeCosine: number; // dE/d(cos θ)
    let slopeA = 0;
    let slopeB = 0;
    if (angleValues[v + 2] === 1) {
      energy += MILLIDYNE * stiffness * (1 + cosine);
      slopeCosine = MILLIDYNE * stiffness;
    } else {
      energy += 0.5 * BEND * stiffness * bend * bend * (1 + CUBIC_BEND * bend);
      const first = angleValues[v + 5];
      const second = angleValues[v + 6];
      const stretch = first * (a - angleValues[v + 3]) + second * (b - angleValues[v + 4]);
      energy += STRETCH_BEND * stretch * bend;
      const slopeDegrees = BEND * stiffness * bend * (1 + 1.5 * CUBIC_BEND * bend) + STRETCH_BEND * stretch;
      slopeCosine = (-slopeDegrees * DEGREES) / sine;
      slopeA = STRETCH_BEND * first * bend;
      slopeB = STRETCH_BEND * second * bend;
    }
    const towardsA = slopeCosine / a;
    const towardsB = slopeCosine / b;
    const gix = towardsA * (bx - cosine * ax) + slopeA * ax;
    const giy = towardsA * (by - cosine * ay) + slopeA * ay;
    const giz = towardsA * (bz - cosine * az) + slopeA * az;
    const gkx = towardsB * (ax - cosine * bx) + slopeB * bx;
    const gky = towardsB * (ay - cosine * by) + slopeB * by;
    const gkz = towardsB * (az - cosine * bz) + slopeB * bz;
    gradient[i] += gix;
    gradient[i + 1] += giy;
    gradient[i + 2] += giz;
    gradient[k] += gkx;
    gradient[k + 1] += gky;
    gradient[k + 2] += gkz;
    gradient[j] -= gix + gkx;
    gradient[j + 1] -= giy + gky;
    gradient[j + 2] -= giz + gkz;
  }
  return energy;
}

/** Out-of-plane bends: sin χ is the part of the fourth bond along the normal of the other two. */
function planes({ planeAtoms, planeValues }: MmffTerms, x: Float64Array, gradient: Float64Array): number {
  let energy = 0;
  for (let t = 0, v = 0; t < planeAtoms.length; t += 4, v++) {
    const j = 3 * planeAtoms[t];
    const i = 3 * planeAtoms[t + 1];
    const k = 3 * planeAtoms[t + 2];
    const l = 3 * planeAtoms[t + 3];
    const ax = x[i] - x[j];
    const ay = x[i + 1] - x[j + 1];
    const az = x[i + 2] - x[j + 2];
    const bx = x[k] - x[j];
    const by = x[k + 1] - x[j + 1];
    const bz = x[k + 2] - x[j + 2];
    const cx = x[l] - x[j];
    const cy = x[l + 1] - x[j + 1];
    const cz = x[l + 2] - x[j + 2];
    const nx = ay * bz - az * by;
    const ny = az * bx - ax * bz;
    const nz = ax * by - ay * bx;
    const normal = Math.sqrt(nx * nx + ny * ny + nz * nz) || 1e-8;
    const length = Math.sqrt(cx * cx + cy * cy + cz * cz) || 1e-8;
    const inverse = 1 / (normal * length);
    const sine = Math.max(-1, Math.min(1, (nx * cx + ny * cy + nz * cz) * inverse));
    const angle = DEGREES * Math.asin(sine);
    const stiffness = BEND * planeValues[v];
    energy += 0.5 * stiffness * angle * angle;
    const slope = (stiffness * angle * DEGREES) / Math.sqrt(Math.max(1e-8, 1 - sine * sine)); // dE/d(sin χ)
    const alongC = slope * inverse;
    const shrinkC = (slope * sine) / (length * length);
    const shrinkN = (slope * sine) / (normal * normal);
    const glx = alongC * nx - shrinkC * cx;
    const gly = alongC * ny - shrinkC * cy;
    const glz = alongC * nz - shrinkC * cz;
    const gnx = alongC * cx - shrinkN * nx;
    const gny = alongC * cy - shrinkN * ny;
    const gnz = alongC * cz - shrinkN * nz;
    const gix = by * gnz - bz * gny;
    const giy = bz * gnx - bx * gnz;
    const giz = bx * gny - by * gnx;
    const gkx = gny * az - gnz * ay;
    const gky = gnz * ax - gnx * az;
    const gkz = gnx * ay - gny * ax;
    gradient[i] += gix;
    gradient[i + 1] += giy;
    gradient[i + 2] += giz;
    gradient[k] += gkx;
    gradient[k + 1] += gky;
    gradient[k + 2] += gkz;
    gradient[l] += glx;
    gradient[l + 1] += gly;
    gradient[l + 2] += glz;
    gradient[j] -= gix + gkx + glx;
    gradient[j + 1] -= giy + gky + gly;
    gradient[j + 2] -= giz + gkz + glz;
  }
  return energy;
}

/** Torsions as polynomials of cos φ, so that no sign of φ is needed. */
function torsions({ torsionAtoms, torsionValues }: MmffTerms, x: Float64Array, gradient: Float64Array): number {
  let energy = 0;
  for (let t = 0, v = 0; t < torsionAtoms.length; t += 4, v += 3) {
    const i = 3 * torsionAtoms[t];
    const j = 3 * torsionAtoms[t + 1];
    const k = 3 * torsionAtoms[t + 2];
    const l = 3 * torsionAtoms[t + 3];
    const ax = x[i] - x[j];
    const ay = x[i + 1] - x[j + 1];
    const az = x[i + 2] - x[j + 2];
    const bx = x[k] - x[j];
    const by = x[k + 1] - x[j + 1];
    const bz = x[k + 2] - x[j + 2];
    const cx = x[l] - x[k];
    const cy = x[l + 1] - x[k + 1];
    const cz = x[l + 2] - x[k + 2];
    // Normals of the planes i-j-k and j-k-l; both point the same way where φ = 0.
    const mx = ay * bz - az * by;
    const my = az * bx - ax * bz;
    const mz = ax * by - ay * bx;
    const nx = cy * bz - cz * by;
    const ny = cz * bx - cx * bz;
    const nz = cx * by - cy * bx;
    const mm = mx * mx + my * my + mz * mz;
    const nn = nx * nx + ny * ny + nz * nz;
    if (mm < 1e-10 || nn < 1e-10) continue; // three atoms in a line: φ is not defined
    const inverse = 1 / Math.sqrt(mm * nn);
    const c = Math.max(-1, Math.min(1, (mx * nx + my * ny + mz * nz) * inverse));
    const v1 = torsionValues[v];
    const v2 = torsionValues[v + 1];
    const v3 = torsionValues[v + 2];
    energy += 0.5 * (v1 * (1 + c) + v2 * (2 - 2 * c * c) + v3 * (1 + c * (4 * c * c - 3)));
    const slope = 0.5 * (v1 - 4 * v2 * c + v3 * (12 * c * c - 3)); // dE/d(cos φ)
    const across = slope * inverse;
    const shrinkM = (slope * c) / mm;
    const shrinkN = (slope * c) / nn;
    const gmx = across * nx - shrinkM * mx;
    const gmy = across * ny - shrinkM * my;
    const gmz = across * nz - shrinkM * mz;
    const gnx = across * mx - shrinkN * nx;
    const gny = across * my - shrinkN * ny;
    const gnz = across * mz - shrinkN * nz;
    // m = a × b and n = c × b.
    const gax = by * gmz - bz * gmy;
    const gay = bz * gmx - bx * gmz;
    const gaz = bx * gmy - by * gmx;
    const gcx = by * gnz - bz * gny;
    const gcy = bz * gnx - bx * gnz;
    const gcz = bx * gny - by * gnx;
    const gbx = gmy * az - gmz * ay + (gny * cz - gnz * cy);
    const gby = gmz * ax - gmx * az + (gnz * cx - gnx * cz);
    const gbz = gmx * ay - gmy * ax + (gnx * cy - gny * cx);
    gradient[i] += gax;
    gradient[i + 1] += gay;
    gradient[i + 2] += gaz;
    gradient[j] -= gax + gbx;
    gradient[j + 1] -= gay + gby;
    gradient[j + 2] -= gaz + gbz;
    gradient[k] += gbx - gcx;
    gradient[k + 1] += gby - gcy;
    gradient[k + 2] += gbz - gcz;
    gradient[l] += gcx;
    gradient[l + 1] += gcy;
    gradient[l + 2] += gcz;
  }
  return energy;
}

/** Buffered 14-7 van der Waals and buffered Coulomb terms. */
function pairs({ pairAtoms, pairValues }: MmffTerms, x: Float64Array, gradient: Float64Array): number {
  let energy = 0;
  for (let t = 0, v = 0; t < pairAtoms.length; t += 2, v += 3) {
    const i = 3 * pairAtoms[t];
    const j = 3 * pairAtoms[t + 1];
    const dx = x[i] - x[j];
    const dy = x[i + 1] - x[j + 1];
    const dz = x[i + 2] - x[j + 2];
    const distance = Math.sqrt(dx * dx + dy * dy + dz * dz) || 1e-8;
    const rest = pairValues[v];
    const depth = pairValues[v + 1];
    const q = distance / rest;
    const q2 = q * q;
    const q6 = q2 * q2 * q2;
    const near = 1.07 / (q + 0.07);
    const near2 = near * near;
    const near7 = near2 * near2 * near2 * near;
    const soft = 1 / (q6 * q + 0.12);
    const well = 1.12 * soft - 2;
    const scale = depth * near7;
    const buffered = 1 / (distance + BUFFER);
    const charge = COULOMB * pairValues[v + 2] * buffered;
    energy += scale * well + charge;
    const slope = (scale / rest) * ((-7 * well) / (q + 0.07) - 7.84 * q6 * soft * soft) - charge * buffered;
    const pull = slope / distance;
    gradient[i] += pull * dx;
    gradient[i + 1] += pull * dy;
    gradient[i + 2] += pull * dz;
    gradient[j] -= pull * dx;
    gradient[j + 1] -= pull * dy;
    gradient[j + 2] -= pull * dz;
  }
  return energy;
}
