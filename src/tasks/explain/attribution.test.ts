import assert from "node:assert/strict";
import { test } from "node:test";
import { attribute, type ExplanationArrays, meanAttribution, strongestPairs } from "./attribution.js";

/** Graph token and two atoms, one head, width 2, two layers. */
function arrays(changes: Partial<ExplanationArrays> = {}): ExplanationArrays {
  return {
    ...{ tokens: 3, heads: 1, width: 2 },
    embedding: Float32Array.from([9, 9, 1, 2, 3, 4]),
    embeddingGradient: Float32Array.from([9, 9, 0.5, 1, -1, 0]),
    bias: Float32Array.from([0, 3, 0, 1, 1, 4, 0, 0, 0]),
    biasGradient: Float32Array.from([0, 0.5, 0, 0, 0, 1, 0, 0, 7]),
    attention: [Float32Array.from([1, 0, 0, 0, 1, 0, 0, 0, 1]), Float32Array.from([0, 0.75, 0.25, 0, 1, 0, 0, 0, 1])],
    ...changes,
  };
}

test("contributions worked by hand", () => {
  const { own, pairs, atoms } = attribute(arrays(), "cls");
  assert.deepEqual([...own], [2.5, -3]);
  // Row of atom 0: 1, 1, 4 with mean 2; its gradient is 1 at atom 1. The row of atom 1 is constant and cannot matter.
  assert.deepEqual([...pairs], [0, 2, 2, 0]);
  // The graph token looks at atom 0 with bias 3 in a row of mean 1 and gradient 1/2.
  assert.deepEqual([...atoms], [2.5 + 1 + 1, -3 + 1]);
});

test("a shift of a row of biases changes nothing", () => {
  const shifted = Float32Array.from([5, 8, 5, 1, 1, 4, 0, 0, 0]);
  assert.deepEqual(attribute(arrays({ bias: shifted }), "cls"), attribute(arrays(), "cls"));
});

test("roll-out follows the attention to the readout and sums to 1", () => {
  assert.deepEqual([...attribute(arrays(), "cls").rollout], [0.75, 0.25]);
  assert.deepEqual([...attribute(arrays(), "mean").rollout], [0.5, 0.5]);
});

test("models are averaged, and pairs sorted by size", () => {
  const one = attribute(arrays(), "cls");
  const other = attribute(arrays({ embeddingGradient: new Float32Array(6) }), "cls");
  assert.deepEqual([...meanAttribution([one, other]).own], [1.25, -1.5]);
  const pairs = Float64Array.from([0, 1, -3, 1, 0, 2, -3, 2, 0]);
  const strongest = strongestPairs({ ...one, own: new Float64Array(3), pairs }, 2);
  assert.deepEqual(strongest, [
    { first: 0, second: 2, value: -3 },
    { first: 1, second: 2, value: 2 },
  ]);
});
