// Coordinates → distances and directions of all atom pairs, and rotations drawn from a seeded generator.

import { ShapeError } from "../errors.js";
import type { Random } from "../random.js";

/** Added to a distance before a displacement is divided by it, in Å (reference moleblend_layers.py:190). */
export const DIRECTION_EPSILON = 1e-5;

/** Where the pairs of one molecule lie in a padded batch; all counts are elements, not bytes. */
export interface PairPlacement {
  /** Element of `positions` where the molecule begins. */
  readonly positionOffset?: number;
  /** Element of `distance` where pair (0, 0) lies. */
  readonly distanceOffset?: number;
  /** Element of `direction` where pair (0, 0) of the x plane lies. */
  readonly directionOffset?: number;
  /** From a row of pairs to the next, in both outputs; the number of atoms by default. */
  readonly rowStride?: number;
  /** From the x to the y to the z plane of `direction`; rows · rowStride by default. */
  readonly planeStride?: number;
}

/**
 * Distances in Å, [n, n], and directions (pos_j - pos_i) / (distance + 1e-5), [3, n, n], of all ordered pairs (i, j).
 * Computed in float64 and stored as float32. Elements outside the n × n blocks are left as they are.
 *
 * @param positions Å, [n, 3]
 * @throws ShapeError when an array is too short for the placement
 */
export function pairGeometry(
  positions: Float32Array,
  atoms: number,
  distance: Float32Array,
  direction: Float32Array,
  placement: PairPlacement = {},
): void {
  const { positionOffset = 0, distanceOffset = 0, directionOffset = 0, rowStride = atoms } = placement;
  const planeStride = placement.planeStride ?? atoms * rowStride;
  const lastPair = (atoms - 1) * (rowStride + 1);
  requireRoom("positions", positions, positionOffset + atoms * 3);
  requireRoom("distance", distance, distanceOffset + lastPair + 1);
  requireRoom("direction", direction, directionOffset + 2 * planeStride + lastPair + 1);
  for (let i = 0; i < atoms; i++) {
    const a = positionOffset + i * 3;
    const xi = positions[a];
    const yi = positions[a + 1];
    const zi = positions[a + 2];
    const distanceRow = distanceOffset + i * rowStride;
    const directionRow = directionOffset + i * rowStride;
    distance[distanceRow + i] = 0;
    for (let c = 0; c < 3; c++) direction[directionRow + i + c * planeStride] = 0;
    for (let j = i + 1; j < atoms; j++) {
      const b = positionOffset + j * 3;
      const dx = positions[b] - xi;
      const dy = positions[b + 1] - yi;
      const dz = positions[b + 2] - zi;
      const length = Math.sqrt(dx * dx + dy * dy + dz * dz);
      const scale = 1 / (length + DIRECTION_EPSILON);
      const there = directionRow + j;
      const back = directionOffset + j * rowStride + i;
      distance[distanceRow + j] = length;
      distance[distanceOffset + j * rowStride + i] = length;
      direction[there] = dx * scale;
      direction[there + planeStride] = dy * scale;
      direction[there + 2 * planeStride] = dz * scale;
      direction[back] = -dx * scale;
      direction[back + planeStride] = -dy * scale;
      direction[back + 2 * planeStride] = -dz * scale;
    }
  }
}

function requireRoom(what: string, array: Float32Array, needed: number): void {
  if (array.length < needed) throw new ShapeError(`${what}: expected at least ${needed} values, got ${array.length}`);
}

/** A rotation matrix, row-major [3, 3], uniform over SO(3): four normal draws are a uniform direction of a quaternion. */
export function randomRotation(random: Random): Float64Array {
  let w = 0;
  let x = 0;
  let y = 0;
  let z = 0;
  let norm = 0;
  // A quaternion of length 0 has no direction; its probability is negligible, but not zero.
  while (norm < 1e-12) {
    w = random.normal();
    x = random.normal();
    y = random.normal();
    z = random.normal();
    norm = w * w + x * x + y * y + z * z;
  }
  const s = 2 / norm;
  return Float64Array.of(
    1 - s * (y * y + z * z),
    s * (x * y - z * w),
    s * (x * z + y * w),
    s * (x * y + z * w),
    1 - s * (x * x + z * z),
    s * (y * z - x * w),
    s * (x * z - y * w),
    s * (y * z + x * w),
    1 - s * (x * x + y * y),
  );
}

/** Rotated copy of coordinates [n, 3] about the origin: rotation · position for every atom. */
export function rotate(positions: Float32Array, rotation: Float64Array): Float32Array {
  const [a, b, c, d, e, f, g, h, i] = rotation;
  const out = new Float32Array(positions.length);
  for (let at = 0; at + 2 < positions.length; at += 3) {
    const x = positions[at];
    const y = positions[at + 1];
    const z = positions[at + 2];
    out[at] = a * x + b * y + c * z;
    out[at + 1] = d * x + e * y + f * z;
    out[at + 2] = g * x + h * y + i * z;
  }
  return out;
}
