// Calibration: factors and temperatures that were put in are found, and what they promise holds on other draws.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Random } from "../random.js";
import { coverage, fitFactors, fitTemperature, INTERVALS, scaleSpread, withTemperature } from "./calibration.js";

/** Errors that are `factor` times as large as their standard deviations say. */
function drawn(factors: readonly number[], rows: number, seed: number) {
  const random = Random.fromSeed(seed);
  const targets = factors.length;
  const std = Float64Array.from({ length: rows * targets }, () => 0.2 + random.uniform());
  const mean = std.map(() => random.normal());
  const labels = mean.map((value, i) => value + std[i] * factors[i % targets] * random.normal());
  return { mean, std, labels };
}

test("the factor of each target is found, and intervals then hold what they promise on other molecules", () => {
  const factors = [0.5, 3];
  const { mean, std, labels } = drawn(factors, 4000, 1);
  const found = fitFactors(mean, std, labels, 2) ?? [];
  found.forEach((factor, t) => void assert.ok(Math.abs(factor / factors[t] - 1) < 0.05, `${factor}`));
  const other = drawn(factors, 4000, 2);
  const scaled = scaleSpread(other.std, found);
  for (const { share, deviations } of INTERVALS)
    assert.ok(Math.abs(coverage(other.mean, scaled, other.labels, deviations) - share) < 0.02);
});

test("missing labels and spreads of 0 do not count; a target with few labels takes the factor of all", () => {
  const { mean, std, labels } = drawn([2, 2], 500, 3);
  for (let i = 1; i < labels.length; i += 2) if (i > 9) labels[i] = Number.NaN;
  std[0] = 0;
  const [first, second] = fitFactors(mean, std, labels, 2) ?? [];
  assert.ok(Math.abs(first - 2) < 0.2 && Math.abs(second - first) < 0.1, `${first} ${second}`);
  assert.equal(fitFactors(Float64Array.of(1), Float64Array.of(1), Float64Array.of(Number.NaN), 1), null);
});

test("the temperature that probabilities were sharpened with is found", () => {
  const random = Random.fromSeed(4);
  for (const temperature of [0.5, 1, 3]) {
    const honest = Float64Array.from({ length: 6000 }, () => 1 / (1 + Math.exp(-1.5 * random.normal())));
    const labels = honest.map((p, i) => (i % 10 === 0 ? Number.NaN : random.uniform() < p ? 1 : 0));
    const said = withTemperature("binary", honest, 1, 1 / temperature);
    const found = fitTemperature("binary", said, labels, 1) ?? Number.NaN;
    assert.ok(Math.abs(found / temperature - 1) < 0.08, `${found} for ${temperature}`);
  }
  assert.equal(fitTemperature("binary", Float64Array.of(0.5), Float64Array.of(Number.NaN), 1), null);
});

test("classes: a temperature keeps rows at 1 and the order of the classes, and is undone by its inverse", () => {
  const rows = fc.array(fc.tuple(...[0, 1, 2].map(() => fc.double({ min: 0.01, max: 1, noNaN: true }))), {
    minLength: 1,
    maxLength: 5,
  });
  fc.assert(
    fc.property(rows, fc.double({ min: 0.5, max: 2, noNaN: true }), (weights, temperature) => {
      const probabilities = Float64Array.from(
        weights.flatMap((row) => row.map((weight) => weight / row.reduce((sum, value) => sum + value, 0))),
      );
      const changed = withTemperature("classes", probabilities, 3, temperature);
      const back = withTemperature("classes", changed, 3, 1 / temperature);
      for (let row = 0; row < changed.length; row += 3) {
        const sum = changed[row] + changed[row + 1] + changed[row + 2];
        assert.ok(Math.abs(sum - 1) < 1e-12);
        for (let c = 0; c < 3; c++) {
          assert.ok(Math.abs(back[row + c] - probabilities[row + c]) < 1e-4);
          if (probabilities[row + c] > probabilities[row]) assert.ok(changed[row + c] >= changed[row]);
        }
      }
    }),
  );
});
