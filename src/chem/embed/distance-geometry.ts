// Coordinates that meet distance bounds and handedness: metric-matrix embedding in four dimensions, then minimisation of the violations.
import type { Random } from "../../random.js";
import type { DistanceBounds } from "./bounds.js";
import { minimize, type Objective } from "./minimize.js";

/** Four atoms whose signed volume must reach a bound: sign * (p0-p3)·((p1-p3)×(p2-p3)) >= least, in Å³. */
export interface VolumeConstraint {
  readonly atoms: readonly [number, number, number, number];
  readonly sign: 1 | -1;
  readonly least: number;
}

/** Four atoms that should lie in a plane. */
export type PlaneConstraint = readonly [number, number, number, number];

export interface EmbedConstraints {
  readonly bounds: DistanceBounds;
  readonly volumes: readonly VolumeConstraint[];
  readonly planes: readonly PlaneConstraint[];
}

const DIMENSIONS = 4;
const POWER_ITERATIONS = 25;

/**
 * Embeds once.
 *
 * @returns coordinates in Å [atoms, 3] and the mean violation per atom (squared relative deviations); the caller judges it
 */
export function embedOnce(constraints: EmbedConstraints, random: Random, deadline: number) {
  const { atoms } = constraints.bounds;
  const x = metricEmbedding(constraints.bounds, random);
  const scratch = { maxStep: 0.5, deadline };
  // Free use of the fourth dimension lets atoms pass each other; then it is closed.
  const open = violation(constraints, 0.1);
  minimize(open, x, { ...scratch, maxIterations: 150, gradientTolerance: 2e-2, valueTolerance: 5e-2 });
  const closed = violation(constraints, 2);
  const { value } = minimize(closed, x, {
    ...scratch,
    maxIterations: 150,
    gradientTolerance: 1e-2,
    valueTolerance: 1e-2,
  });
  const flat = new Float64Array(3 * atoms);
  for (let atom = 0; atom < atoms; atom++) flat.set(x.subarray(DIMENSIONS * atom, DIMENSIONS * atom + 3), 3 * atom);
  return { x: flat, violation: value / Math.max(1, atoms) };
}

/** Coordinates whose distances come as near as four dimensions allow to ones drawn between the bounds. [atoms, 4] */
function metricEmbedding({ atoms: n, values }: DistanceBounds, random: Random): Float64Array {
  const squared = new Float64Array(n * n);
  const mean = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const low = values[j * n + i];
      const distance = low + random.uniform() * (values[i * n + j] - low);
      squared[i * n + j] = squared[j * n + i] = distance * distance;
    }
  }
  let total = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) mean[i] += squared[i * n + j] / n;
    total += mean[i] / n;
  }
  const metric = squared; // double centring in place (Torgerson 1952)
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) metric[i * n + j] = 0.5 * (mean[i] + mean[j] - total - squared[i * n + j]);
  }
  const x = new Float64Array(n * DIMENSIONS);
  const found: Float64Array[] = [];
  for (let axis = 0; axis < DIMENSIONS; axis++) {
    const { vector, eigenvalue } = largestEigenvector(metric, n, found, random);
    found.push(vector);
    const scale = eigenvalue > 1e-3 ? Math.sqrt(eigenvalue) : 0;
    for (let i = 0; i < n; i++) {
      x[i * DIMENSIONS + axis] = scale > 0 ? scale * vector[i] : random.uniform() - 0.5;
    }
  }
  return x;
}

/** Power iteration beside the eigenvectors already found. */
function largestEigenvector(matrix: Float64Array, n: number, found: readonly Float64Array[], random: Random) {
  let vector = Float64Array.from({ length: n }, () => random.uniform() - 0.5);
  let next = new Float64Array(n);
  let eigenvalue = 0;
  for (let round = 0; round < POWER_ITERATIONS; round++) {
    for (const other of found) {
      let overlap = 0;
      for (let i = 0; i < n; i++) overlap += other[i] * vector[i];
      for (let i = 0; i < n; i++) vector[i] -= overlap * other[i];
    }
    let square = 0;
    for (let i = 0; i < n; i++) square += vector[i] * vector[i];
    const inverse = 1 / (Math.sqrt(square) || 1);
    for (let i = 0; i < n; i++) vector[i] *= inverse;
    if (round === POWER_ITERATIONS - 1) break;
    eigenvalue = 0;
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += matrix[i * n + j] * vector[j];
      next[i] = sum;
      eigenvalue += sum * vector[i];
    }
    [vector, next] = [next, vector];
  }
  return { vector, eigenvalue };
}

/** Sum of squared violations in four dimensions (Crippen & Havel's form, in relative squared distances). */
function violation({ bounds, volumes, planes }: EmbedConstraints, fourthWeight: number): Objective {
  const n = bounds.atoms;
  const { values } = bounds;
  return (x, gradient) => {
    gradient.fill(0);
    let error = 0;
    for (let i = 0; i < n; i++) {
      const a = i * DIMENSIONS;
      const x0 = x[a];
      const x1 = x[a + 1];
      const x2 = x[a + 2];
      const x3 = x[a + 3];
      for (let j = i + 1; j < n; j++) {
        const b = j * DIMENSIONS;
        const d0 = x0 - x[b];
        const d1 = x1 - x[b + 1];
        const d2 = x2 - x[b + 2];
        const d3 = x3 - x[b + 3];
        const square = d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3;
        const upper = values[i * n + j];
        const lower = values[j * n + i];
        let slope: number; // dE/d(square)
        if (square > upper * upper) {
          const excess = square / (upper * upper) - 1;
          error += excess * excess;
          slope = (2 * excess) / (upper * upper);
        } else if (square < lower * lower) {
          const low2 = lower * lower;
          const sum = low2 + square;
          const lack = (2 * low2) / sum - 1;
          error += lack * lack;
          slope = (-4 * lack * low2) / (sum * sum);
        } else continue;
        slope *= 2;
        gradient[a] += slope * d0;
        gradient[a + 1] += slope * d1;
        gradient[a + 2] += slope * d2;
        gradient[a + 3] += slope * d3;
        gradient[b] -= slope * d0;
        gradient[b + 1] -= slope * d1;
        gradient[b + 2] -= slope * d2;
        gradient[b + 3] -= slope * d3;
      }
      error += fourthWeight * x3 * x3;
      gradient[a + 3] += 2 * fourthWeight * x3;
    }
    for (const { atoms, sign, least } of volumes) error += volumeError(x, gradient, atoms, sign, least, 0.3);
    for (const atoms of planes) error += volumeError(x, gradient, atoms, 0, 0, 0.05);
    return error;
  };
}

/** Squared lack of signed volume; with sign 0, the squared volume itself. */
function volumeError(
  x: Float64Array,
  gradient: Float64Array,
  [p, q, r, s]: readonly [number, number, number, number],
  sign: -1 | 0 | 1,
  least: number,
  weight: number,
): number {
  const [i, j, k, o] = [p * DIMENSIONS, q * DIMENSIONS, r * DIMENSIONS, s * DIMENSIONS];
  const ax = x[i] - x[o];
  const ay = x[i + 1] - x[o + 1];
  const az = x[i + 2] - x[o + 2];
  const bx = x[j] - x[o];
  const by = x[j + 1] - x[o + 1];
  const bz = x[j + 2] - x[o + 2];
  const cx = x[k] - x[o];
  const cy = x[k + 1] - x[o + 1];
  const cz = x[k + 2] - x[o + 2];
  const ux = by * cz - bz * cy;
  const uy = bz * cx - bx * cz;
  const uz = bx * cy - by * cx;
  const volume = ax * ux + ay * uy + az * uz;
  const lack = sign === 0 ? volume : sign * volume - least;
  if (sign !== 0 && lack >= 0) return 0;
  const slope = 2 * weight * lack * (sign === 0 ? 1 : sign);
  const vx = cy * az - cz * ay;
  const vy = cz * ax - cx * az;
  const vz = cx * ay - cy * ax;
  const wx = ay * bz - az * by;
  const wy = az * bx - ax * bz;
  const wz = ax * by - ay * bx;
  gradient[i] += slope * ux;
  gradient[i + 1] += slope * uy;
  gradient[i + 2] += slope * uz;
  gradient[j] += slope * vx;
  gradient[j + 1] += slope * vy;
  gradient[j + 2] += slope * vz;
  gradient[k] += slope * wx;
  gradient[k + 1] += slope * wy;
  gradient[k + 2] += slope * wz;
  gradient[o] -= slope * (ux + vx + wx);
  gradient[o + 1] -= slope * (uy + vy + wy);
  gradient[o + 2] -= slope * (uz + vz + wz);
  return weight * lack * lack;
}
