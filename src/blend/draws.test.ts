// The draws: reproducible, a molecule's own, of the stated probabilities, and never geometry where there is none.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { MoleculeDraw } from "./draws.js";
import { aceticAcid, chain, draw, type Example, ethanol, flatEthanol, methane } from "./molecules.test.support.js";
import { ATOM_MODALITIES, MODALITIES, POLICY_NAMES, policy } from "./policy.js";

const example = (atoms: number, located: boolean): Example => chain(atoms, located ? "random" : "none");
const examples = fc.array(fc.tuple(fc.integer({ min: 1, max: 7 }), fc.boolean()), { minLength: 1, maxLength: 5 });
const options = fc.record({
  policy: fc.constantFrom(...POLICY_NAMES).map((name) => policy(name)),
  rotate: fc.boolean(),
  noise: fc.constantFrom(0, 0.2),
});

test("the same seed draws the same, another seed does not", () => {
  const many = [chain(9), ethanol];
  const settings = { rotate: true };
  assert.deepEqual(draw(many, settings, 5), draw(many, settings, 5));
  assert.notDeepEqual(draw(many, settings, 5), draw(many, settings, 6));
});

test("a molecule's draws do not depend on those after it", () => {
  fc.assert(
    fc.property(examples, examples, options, fc.nat(), (some, others, settings, seed) => {
      const first = some.map(([atoms, located]) => example(atoms, located));
      const rest = others.map(([atoms, located]) => example(atoms, located));
      const alone = draw(first, settings, seed);
      assert.deepEqual(draw([...first, ...rest], settings, seed).slice(0, first.length), alone);
    }),
    { numRuns: 50, seed: 1 },
  );
});

test("with a mask per batch, molecules share it; their atoms and noise stay their own", () => {
  const batch = [chain(6), chain(4), chain(6)];
  const [first, small, second] = draw(batch, { maskPerBatch: true });
  assert.deepEqual(second.pairs, first.pairs);
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < 4; j++) assert.equal(small.pairs[i * 4 + j], first.pairs[i * 6 + j], `pair ${i}, ${j}`);
  }
  assert.notDeepEqual(second.noise, first.noise);
  const [own, , others] = draw(batch, { maskPerBatch: false });
  assert.notDeepEqual(others.pairs, own.pairs);
});

/** Pearson's statistic of counts against probabilities. */
function chiSquare(counts: readonly number[], probabilities: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce(
    (sum, count, i) => sum + (count - total * probabilities[i]) ** 2 / (total * probabilities[i]),
    0,
  );
}

function countOf(values: Iterable<number>, kinds: readonly number[]): number[] {
  const counts = kinds.map(() => 0);
  for (const value of values) {
    const kind = kinds.indexOf(value);
    assert.ok(kind >= 0, `unexpected bits ${value}`);
    counts[kind]++;
  }
  return counts;
}

const merged = (draws: readonly MoleculeDraw[], what: "pairs" | "atoms") => draws.flatMap((one) => [...one[what]]);
const { spd, edge, geometry } = MODALITIES;
const BATCH = Array.from({ length: 40 }, () => chain(25));

/** Policy, whether molecules have coordinates, bits a pair or an atom may show, their probabilities. */
const FREQUENCIES: readonly [string, boolean, "pairs" | "atoms", readonly number[], readonly number[]][] = [
  ["blend", true, "pairs", [spd, edge, geometry], [0.2, 0.2, 0.6]],
  ["blend", true, "atoms", [ATOM_MODALITIES.degree, ATOM_MODALITIES.geometry], [0.4, 0.6]],
  ["blend", false, "pairs", [spd, edge], [0.5, 0.5]],
  ["mask-2d", true, "pairs", [spd | edge, 0], [0.7, 0.3]],
  ["mask-3d", true, "pairs", [geometry, 0], [0.7, 0.3]],
];

for (const [name, located, what, kinds, probabilities] of FREQUENCIES) {
  test(`${name}: ${what} ${located ? "with" : "without"} coordinates show ${kinds} as often as ${probabilities}`, () => {
    const batch = located ? BATCH : BATCH.map(() => chain(25, "none"));
    const counts = countOf(merged(draw(batch, { policy: policy(name) }), what), kinds);
    // 13.8 is exceeded by chance once in a thousand seeds with two degrees of freedom.
    const statistic = chiSquare(counts, probabilities);
    assert.ok(statistic < 13.8, `counts ${counts}, chi-square ${statistic}`);
  });
}

test("pairs are drawn one by one: (i, j) says nothing about (j, i)", () => {
  const [{ pairs }] = draw([chain(80)]);
  let same = 0;
  let total = 0;
  for (let i = 0; i < 80; i++) {
    for (let j = 0; j < i; j++, total++) same += Number(pairs[i * 80 + j] === pairs[j * 80 + i]);
  }
  const expected = 0.2 ** 2 + 0.2 ** 2 + 0.6 ** 2;
  const deviation = Math.sqrt((expected * (1 - expected)) / total);
  assert.ok(Math.abs(same / total - expected) < 3.5 * deviation, `${same / total} against ${expected}`);
});

test("noise is normal with the stated deviation, in Å", () => {
  const values = draw(BATCH, { noise: 0.2 }).flatMap(({ noise }) => [...noise]);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  assert.ok(Math.abs(mean) < (3.5 * 0.2) / Math.sqrt(values.length), `mean ${mean}`);
  assert.ok(Math.abs(Math.sqrt(variance) - 0.2) < (3.5 * 0.2) / Math.sqrt(2 * values.length), `variance ${variance}`);
});

test("where there are no coordinates nothing shows geometry and nothing is moved", () => {
  fc.assert(
    fc.property(options, fc.integer({ min: 1, max: 8 }), fc.boolean(), fc.nat(), (settings, atoms, shared, seed) => {
      const [, flat] = draw([chain(8), example(atoms, false)], { ...settings, maskPerBatch: shared }, seed);
      assert.ok(flat.pairs.every((shown) => !(shown & geometry)));
      assert.ok(flat.atoms.every((shown) => !(shown & ATOM_MODALITIES.geometry)));
      assert.deepEqual(flat.noise, new Float32Array(atoms * 3));
      assert.deepEqual(flat.positions, new Float32Array(atoms * 3));
      assert.deepEqual(flat.located, new Uint8Array(atoms));
    }),
    { numRuns: 60, seed: 2 },
  );
});

test("a molecule of which a policy can show nothing is not usable; any other is", () => {
  for (const name of POLICY_NAMES) {
    const [located, flat] = draw([ethanol, flatEthanol], { policy: policy(name) });
    assert.equal(located.usable, true, name);
    // mask-3d can still show it the pairs that are hidden anyway, and has no loss for it.
    assert.equal(flat.usable, name !== "generate-2d", name);
  }
});

test("a rotation keeps distances and does not touch mask and noise", () => {
  const [still] = draw([aceticAcid], { rotate: false }, 3);
  const [turned] = draw([aceticAcid], { rotate: true }, 3);
  assert.deepEqual([turned.pairs, turned.atoms, turned.noise], [still.pairs, still.atoms, still.noise]);
  assert.deepEqual(still.positions, aceticAcid.positions);
  assert.notDeepEqual(turned.positions, still.positions);
  const distance = ({ positions: p }: MoleculeDraw, i: number, j: number) =>
    Math.hypot(...[0, 1, 2].map((c) => p[i * 3 + c] - p[j * 3 + c]));
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < i; j++) assert.ok(Math.abs(distance(turned, i, j) - distance(still, i, j)) < 1e-5);
  }
});

test("an atom at the origin is as located as any other", () => {
  const [{ located }] = draw([{ ...methane, positions: new Float32Array(3) }]);
  assert.deepEqual([...located], [1]);
});
