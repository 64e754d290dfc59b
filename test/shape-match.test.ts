// The benchmark's measure of how far two geometries lie apart, on shapes whose answer is known.
import assert from "node:assert/strict";
import { test } from "node:test";
import { leastRmsd, matchings, type Shape } from "../bench/shape-match.js";
import { Random } from "../src/random.js";

/** Toluene without hydrogens: a ring that may be turned over. */
const TOLUENE: Shape = {
  elements: [6, 6, 6, 6, 6, 6, 6],
  bonds: [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 1],
};

function turned(x: ArrayLike<number>, random: Random): Float64Array {
  const [w, i, j, k] = [0, 1, 2, 3].map(() => random.normal());
  const n = w * w + i * i + j * j + k * k;
  const rotation = [
    [w * w + i * i - j * j - k * k, 2 * (i * j - w * k), 2 * (i * k + w * j)],
    [2 * (i * j + w * k), w * w - i * i + j * j - k * k, 2 * (j * k - w * i)],
    [2 * (i * k - w * j), 2 * (j * k + w * i), w * w - i * i - j * j + k * k],
  ];
  return Float64Array.from(x, (_, at) => {
    const atom = at - (at % 3);
    return 5 + rotation[at % 3].reduce((sum, value, axis) => sum + (value / n) * x[atom + axis], 0);
  });
}

test("matchings are the symmetries, and none of another molecule", () => {
  assert.equal(matchings(TOLUENE, TOLUENE).length, 2);
  const neopentane: Shape = { elements: [6, 6, 6, 6, 6], bonds: [0, 1, 0, 2, 0, 3, 0, 4] };
  assert.equal(matchings(neopentane, neopentane).length, 24);
  assert.equal(matchings(neopentane, { ...neopentane, elements: [6, 6, 6, 6, 7] }).length, 0);
  assert.equal(matchings(TOLUENE, { ...TOLUENE, bonds: [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 2] }).length, 0);
  assert.equal(matchings({ elements: [11, 17], bonds: [] }, { elements: [11, 17], bonds: [] }).length, 0);
});

test("RMSD: nothing after turning and renumbering, as known where atoms were moved, and mirror images apart", () => {
  const random = Random.fromSeed(3);
  for (let round = 0; round < 50; round++) {
    const x = Float64Array.from({ length: 21 }, () => 2 * random.normal());
    // The same molecule written from its other end.
    const place = [6, 0, 1, 2, 3, 4, 5];
    const other: Shape = {
      elements: TOLUENE.elements,
      bonds: Array.from(TOLUENE.bonds, (atom) => place[atom]),
    };
    const y = new Float64Array(21);
    place.forEach((to, atom) => {
      y.set(x.subarray(3 * atom, 3 * atom + 3), 3 * to);
    });
    const ways = matchings(TOLUENE, other);
    assert.equal(ways.length, 2);
    assert.ok(leastRmsd(x, turned(y, random), ways) < 1e-5);
    const mirrored = y.map((value, i) => (i % 3 === 0 ? -value : value));
    assert.ok(leastRmsd(x, mirrored, ways) > 0.05, "mirror image");
  }
  // Two atoms 1 Å apart and 3 Å apart: each is 1 Å off its place.
  const pair: Shape = { elements: [6, 8], bonds: [0, 1] };
  const distance = leastRmsd([0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 3, 0], matchings(pair, pair));
  assert.ok(Math.abs(distance - 1) < 1e-6, `${distance}`);
});
