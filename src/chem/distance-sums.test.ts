// Sums over distances: the two ways to walk a graph agree with the definition, on both sides of the size where they take turns.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { distanceSums } from "./distance-sums.js";

/** Every sum by its definition, with distances from repeated relaxation. */
function expectedSums(atoms: number, edges: readonly (readonly [number, number])[], colours: Int32Array): Int32Array {
  const sums = new Int32Array(atoms);
  for (let origin = 0; origin < atoms; origin++) {
    const distance = new Array<number>(atoms).fill(Number.POSITIVE_INFINITY);
    distance[origin] = 0;
    for (let round = 0; round < atoms; round++) {
      for (const [a, b] of edges) {
        distance[a] = Math.min(distance[a], distance[b] + 1);
        distance[b] = Math.min(distance[b], distance[a] + 1);
      }
    }
    for (let atom = 0; atom < atoms; atom++) {
      if (Number.isFinite(distance[atom])) sums[origin] += hash(colours[atom], distance[atom]);
    }
  }
  return sums;
}

const hash = (colour: number, distance: number) => Math.imul(colour ^ (distance * 0x9e3779b1), 0x85ebca6b) | 0;

const graphs = fc.integer({ min: 1, max: 80 }).chain((atoms) =>
  fc.record({
    atoms: fc.constant(atoms),
    edges: fc.array(fc.tuple(fc.nat(atoms - 1), fc.nat(atoms - 1)), { maxLength: 2 * atoms }),
    colours: fc.array(fc.integer(), { minLength: atoms, maxLength: atoms }),
  }),
);

test("sums over distances follow their definition, fragments and rings included", () => {
  const agree = ({ atoms, edges, colours }: { atoms: number; edges: [number, number][]; colours: number[] }) => {
    const neighbours = Array.from({ length: atoms }, (_, i) =>
      edges.flatMap(([a, b]) => [...(a === i ? [b] : []), ...(b === i ? [a] : [])]),
    );
    const start = new Int32Array(atoms + 1);
    for (const [i, list] of neighbours.entries()) start[i + 1] = start[i] + list.length;
    const rows = { atoms, start, neighbour: Int32Array.from(neighbours.flat()) };
    const sums = new Int32Array(atoms).fill(7);
    distanceSums(rows, Int32Array.from(colours), hash, sums);
    assert.deepEqual(sums, expectedSums(atoms, edges, Int32Array.from(colours)));
  };
  fc.assert(fc.property(graphs, agree), { numRuns: 150 });
});
