// Targets of the 3D pair head and of the denoising head, each multiplied by its weight in the loss.
import type { GraphRelations } from "../relations/relations.js";
import type { MoleculeDraw } from "./draws.js";
import { ATOM_MODALITIES, type GeometryTarget, MODALITIES, type Policy } from "./policy.js";
import { type BatchSize, type BatchTensor, type BatchTensors, scalar } from "./tensors.js";

/** Calls `visit` for each pair that counts in the 3D loss: both atoms located, apart, and recovered by the policy. */
function forEachPair(
  { atoms }: GraphRelations,
  { pairs, positions, located, usable }: MoleculeDraw,
  { recover }: Policy,
  visit: (i: number, j: number, dx: number, dy: number, dz: number) => void,
): void {
  if (!usable || recover.geometry === "none") return;
  for (let i = 0; i < atoms; i++) {
    for (let j = 0; j < atoms; j++) {
      if (!located[i] || !located[j]) continue;
      if (recover.geometry === "hidden" && pairs[i * atoms + j] & MODALITIES.geometry) continue;
      const dx = positions[j * 3] - positions[i * 3];
      const dy = positions[j * 3 + 1] - positions[i * 3 + 1];
      const dz = positions[j * 3 + 2] - positions[i * 3 + 2];
      if (dx !== 0 || dy !== 0 || dz !== 0) visit(i, j, dx, dy, dz);
    }
  }
}

/**
 * Mean over the pairs of a molecule, then over the molecules that have any (reference criterion, 3D loss): unit vectors
 * times their weight for the displacement, distances and weights apart for the distance.
 */
export function fillGeometryTargets(
  graphs: readonly GraphRelations[],
  draws: readonly MoleculeDraw[],
  policy: Policy,
  target: GeometryTarget,
  { batch, atoms: n }: BatchSize,
): BatchTensors {
  const pairCounts = graphs.map((graph, b) => {
    let count = 0;
    forEachPair(graph, draws[b], policy, () => count++);
    return count;
  });
  const molecules = pairCounts.filter((count) => count > 0).length;
  const shape = [batch, n, n];
  const displacement = new Float32Array(target === "displacement" ? batch * n * n * 3 : 0);
  const distance = new Float32Array(target === "distance" ? batch * n * n : 0);
  const weights = new Float32Array(distance.length);
  graphs.forEach((graph, b) => {
    const weight = 1 / (pairCounts[b] * molecules);
    forEachPair(graph, draws[b], policy, (i, j, dx, dy, dz) => {
      const at = (b * n + i) * n + j;
      const length = Math.sqrt(dx * dx + dy * dy + dz * dz);
      if (target === "distance") {
        distance[at] = length;
        weights[at] = weight;
      } else {
        displacement[at * 3] = (dx / length) * weight;
        displacement[at * 3 + 1] = (dy / length) * weight;
        displacement[at * 3 + 2] = (dz / length) * weight;
      }
    });
  });
  if (target === "distance")
    return { distance_target: { data: distance, shape }, distance_weight: { data: weights, shape } };
  return {
    displacement_target: { data: displacement, shape: [...shape, 3] },
    geometry_total: scalar(molecules > 0 ? 1 : 0),
  };
}

/** Mean over the located atoms of the batch, in blending over those that show 3D (reference criterion, node loss). */
export function fillNoiseTargets(
  graphs: readonly GraphRelations[],
  draws: readonly MoleculeDraw[],
  { recover, denoiseLoneAtoms }: Policy,
  { batch, atoms: n }: BatchSize,
): Record<"noise_target" | "noise_total", BatchTensor> {
  const target = new Float32Array(batch * n * 3);
  const atoms: { readonly at: number; readonly vector: Float32Array }[] = [];
  graphs.forEach((graph, b) => {
    const { located, noise, atoms: shown, usable } = draws[b];
    if (!usable || recover.noise === "none" || (graph.atoms === 1 && !denoiseLoneAtoms)) return;
    for (let i = 0; i < graph.atoms; i++) {
      if (!located[i] || (recover.noise === "shown" && !(shown[i] & ATOM_MODALITIES.geometry))) continue;
      atoms.push({ at: (b * n + i) * 3, vector: noise.subarray(i * 3, i * 3 + 3) });
    }
  });
  for (const { at, vector } of atoms) {
    const [x, y, z] = vector;
    // A draw of exactly zero has no direction; like the reference's cosine it then counts as 0.
    const length = Math.sqrt(x * x + y * y + z * z) || 1;
    target[at] = x / length / atoms.length;
    target[at + 1] = y / length / atoms.length;
    target[at + 2] = z / length / atoms.length;
  }
  return {
    noise_target: { data: target, shape: [batch, n, 3] },
    noise_total: scalar(atoms.length > 0 ? 1 : 0),
  };
}
