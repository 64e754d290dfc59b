// The minimiser on functions whose minimum is known.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { minimize } from "./minimize.js";

const exact = { maxIterations: 1000, gradientTolerance: 1e-8, valueTolerance: 0, maxStep: 1 };

describe("minimize", () => {
  it("finds the bottom of Rosenbrock's valley", () => {
    const x = Float64Array.of(-1.2, 1);
    const { value, iterations } = minimize(
      ([a, b], gradient) => {
        gradient[0] = -400 * a * (b - a * a) - 2 * (1 - a);
        gradient[1] = 200 * (b - a * a);
        return 100 * (b - a * a) ** 2 + (1 - a) ** 2;
      },
      x,
      exact,
    );
    assert.ok(value < 1e-12 && iterations < 100, `${value} after ${iterations}`);
    assert.ok(Math.abs(x[0] - 1) < 1e-5 && Math.abs(x[1] - 1) < 1e-5);
  });

  it("solves a badly scaled quadratic and never goes uphill", () => {
    const scale = Float64Array.from({ length: 30 }, (_, i) => 10 ** (i / 10));
    const x = new Float64Array(30).fill(3);
    const seen: number[] = [];
    minimize(
      (at, gradient) => {
        let value = 0;
        for (let i = 0; i < at.length; i++) {
          gradient[i] = scale[i] * at[i];
          value += 0.5 * scale[i] * at[i] ** 2;
        }
        seen.push(value);
        return value;
      },
      x,
      exact,
    );
    assert.ok(x.every((value) => Math.abs(value) < 1e-6));
    assert.ok(seen[seen.length - 1] <= seen[0]);
  });

  it("keeps each step within its bound", () => {
    const x = Float64Array.of(100);
    minimize(
      ([a], gradient) => {
        gradient[0] = 2 * a;
        return a * a;
      },
      x,
      { ...exact, maxIterations: 1, maxStep: 0.5 },
    );
    assert.equal(x[0], 99.5);
  });

  it("stops at its deadline", () => {
    const x = Float64Array.of(5);
    const result = minimize(
      ([a], gradient) => {
        gradient[0] = 2 * a;
        return a * a;
      },
      x,
      { ...exact, deadline: 0 },
    );
    assert.deepEqual(result, { value: 25, iterations: 0 });
  });
});
