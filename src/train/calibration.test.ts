// Calibration: factors and temperatures that were put in are found, and what they promise holds on other draws.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Random } from "../random.js";
import { coverage, fitSpread, fitTemperature, INTERVALS, scaleSpread, withTemperature } from "./calibration.js";

/** Errors that are `factor` times as large as their standard deviations say. */
function drawn(factors: readonly number[], rows: number, seed: number) {
  const random = Random.fromSeed(seed);
  const targets = factors.length;
  const std = Float64Array.from({ length: rows * targets }, () => 0.2 + random.uniform());
  const mean = std.map(() => random.normal());
  const labels = mean.map((value, i) => value + std[i] * factors[i % targets] * random.normal());
  return { mean, std, labels };
}

/** That the intervals hold what they promise on molecules that nothing was fitted on. */
function holds(spread: ReturnType<typeof fitSpread>, other: ReturnType<typeof drawn>, tolerance = 0.02): void {
  assert.ok(spread);
  const scaled = scaleSpread(other.std, spread);
  for (const { share, deviations } of INTERVALS) {
    const covered = coverage(other.mean, scaled, other.labels, deviations);
    assert.ok(Math.abs(covered - share) < tolerance, `${covered} within the interval of ${share}`);
  }
}

test("the factor of each target is found, and intervals then hold what they promise on other molecules", () => {
  const factors = [0.5, 3];
  const { mean, std, labels } = drawn(factors, 4000, 1);
  const found = fitSpread(mean, std, labels, 2);
  found?.factors.forEach((factor, t) => void assert.ok(Math.abs(factor / factors[t] - 1) < 0.1, `${factor}`));
  holds(found, drawn(factors, 4000, 2));
});

test("models that happen to agree do not widen the intervals of the rest: there is a floor", () => {
  /** Three models with errors of their own of 0.3 around a common error of 0.5: their spread is an estimate with heavy tails. */
  const three = (seed: number) => {
    const random = Random.fromSeed(seed);
    const rows = Array.from({ length: 4000 }, () => {
      const said = Array.from({ length: 3 }, () => 0.3 * random.normal());
      const mean = said.reduce((sum, value) => sum + value, 0) / 3;
      const std = Math.sqrt(said.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 3);
      return { mean, std, label: 0.5 * random.normal() };
    });
    const column = (name: "mean" | "std" | "label") => Float64Array.from(rows, (row) => row[name]);
    return { mean: column("mean"), std: column("std"), labels: column("label") };
  };
  const { mean, std, labels } = three(6);
  const found = fitSpread(mean, std, labels, 1);
  assert.ok(found && Math.abs(found.floors[0] - Math.sqrt(0.25 + 0.03)) < 0.05, JSON.stringify(found));
  holds(found, three(7));
  // All of them agree everywhere: the floor is what the errors are.
  const same = fitSpread(mean, new Float64Array(std.length), labels, 1);
  assert.ok(same && same.factors[0] === 0 && Math.abs(same.floors[0] - 0.53) < 0.02, JSON.stringify(same));
});

test("missing labels do not count; a target with few labels takes the factor and floor of all", () => {
  const { mean, std, labels } = drawn([2, 2], 500, 3);
  for (let i = 1; i < labels.length; i += 2) if (i > 9) labels[i] = Number.NaN;
  const { factors, floors } = fitSpread(mean, std, labels, 2) ?? { factors: [], floors: [] };
  assert.ok(Math.abs(factors[0] - 2) < 0.3 && Math.abs(factors[1] - factors[0]) < 0.15, `${factors} ${floors}`);
  assert.equal(fitSpread(Float64Array.of(1), Float64Array.of(1), Float64Array.of(Number.NaN), 1), null);
  const before = scaleSpread(Float64Array.of(1, 2), { factors: [3] });
  assert.deepEqual([...before], [3, 6], "without floors, as runs had it before");
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
