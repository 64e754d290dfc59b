import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConfigError } from "../errors.js";
import { Random } from "../random.js";
import {
  ADAM_DEFAULTS,
  type AdamConfig,
  accumulateGradients,
  adamStep,
  clipCoefficient,
  gradientNorm,
} from "./adam.js";
import { type Arena, type ArenaKind, createArena } from "./arena.js";

const KINDS: readonly ArenaKind[] = ["wasm-simd", "javascript"];

function fill(arena: Arena, seed: number, gradientSize = 1): void {
  const random = Random.fromSeed(seed);
  for (let i = 0; i < arena.count; i++) {
    arena.parameters[i] = random.normal();
    arena.gradients[i] = gradientSize * random.normal();
  }
}

/** The formulas of fairseq's Adam, in float64 throughout. */
function adam64(
  p: number[],
  m: number[],
  v: number[],
  gradients: ArrayLike<number>,
  c: AdamConfig,
  t: number,
  lr: number,
) {
  let square = 0;
  for (let i = 0; i < p.length; i++) square += gradients[i] ** 2;
  const norm = Math.sqrt(square);
  const clip = c.maxGradientNorm > 0 ? Math.min(1, c.maxGradientNorm / (norm + 1e-6)) : 1;
  const stepSize = (lr * Math.sqrt(1 - c.beta2 ** t)) / (1 - c.beta1 ** t);
  for (let i = 0; i < p.length; i++) {
    const g = clip * gradients[i];
    m[i] = c.beta1 * m[i] + (1 - c.beta1) * g;
    v[i] = c.beta2 * v[i] + (1 - c.beta2) * g * g;
    p[i] -= lr * c.weightDecay * p[i];
    p[i] -= (stepSize * m[i]) / (Math.sqrt(v[i]) + c.epsilon);
  }
  return { norm, clip };
}

for (const kind of KINDS) {
  test(`${kind}: one step worked by hand`, () => {
    const arena = createArena(3, { kind });
    arena.parameters.set([1, -2, 0.5]);
    arena.gradients.set([3, -4, 0]); // norm 5, clipped to 1
    const config = { ...ADAM_DEFAULTS, weightDecay: 0.1, maxGradientNorm: 1 };
    const report = adamStep(arena, config, { update: 1, learningRate: 0.01 });
    assert.equal(report.gradientNorm, 5);
    assert.ok(Math.abs(report.clipCoefficient - 0.2) < 1e-7);
    // First step: m = 0.1 g, v = 0.001 g², step = lr·sqrt(0.001)/0.1, so |update| is lr up to epsilon.
    const expected = [1 * 0.999 - 0.01, -2 * 0.999 + 0.01, 0.5 * 0.999];
    for (let i = 0; i < 3; i++) assert.ok(Math.abs(arena.parameters[i] - expected[i]) < 3e-7, `${arena.parameters[i]}`);
    assert.ok(Math.abs(arena.m[0] - 0.06) < 1e-7 && Math.abs(arena.v[1] - 0.00064) < 1e-9);
  });

  test(`${kind}: twenty steps follow the float64 formulas`, () => {
    for (const maxGradientNorm of [0, 2, 1e6]) {
      const config = { ...ADAM_DEFAULTS, weightDecay: 0.01, maxGradientNorm };
      const arena = createArena(1003, { kind });
      fill(arena, 7);
      const p = [...arena.parameters];
      const [m, v] = [new Array<number>(p.length).fill(0), new Array<number>(p.length).fill(0)];
      for (let update = 1; update <= 20; update++) {
        const random = Random.fromSeed(update);
        for (let i = 0; i < arena.count; i++) arena.gradients[i] = random.normal();
        const report = adamStep(arena, config, { update, learningRate: 1e-3 });
        const expected = adam64(p, m, v, arena.gradients, config, update, 1e-3);
        assert.ok(Math.abs(report.gradientNorm / expected.norm - 1) < 1e-12);
        assert.ok(Math.abs(report.clipCoefficient - expected.clip) < 1e-12);
      }
      const worst = Math.max(...p.map((value, i) => Math.abs(arena.parameters[i] - value)));
      assert.ok(worst < 3e-6, `worst difference ${worst}`);
    }
  });

  test(`${kind}: accumulated and scaled gradients equal their mean`, () => {
    const one = createArena(100, { kind });
    const two = createArena(100, { kind, accumulate: true });
    fill(one, 3);
    fill(two, 3);
    accumulateGradients(two);
    accumulateGradients(two);
    assert.equal(gradientNorm(two, true), 2 * gradientNorm(two));
    adamStep(one, ADAM_DEFAULTS, { update: 1, learningRate: 1e-2 });
    adamStep(two, ADAM_DEFAULTS, { update: 1, learningRate: 1e-2, gradientScale: 0.5, accumulated: true });
    assert.deepEqual(two.parameters, one.parameters);
    assert.throws(() => accumulateGradients(one), ConfigError);
  });

  test(`${kind}: a gradient that is not finite changes nothing`, () => {
    for (const bad of [Number.NaN, Infinity]) {
      const arena = createArena(50, { kind });
      fill(arena, 1);
      arena.gradients[17] = bad;
      const before = arena.parameters.slice();
      const report = adamStep(arena, ADAM_DEFAULTS, { update: 1, learningRate: 1e-3 });
      assert.equal(report.applied, false);
      assert.deepEqual(arena.parameters, before);
      assert.ok(arena.m.every((x) => x === 0) && arena.v.every((x) => x === 0));
    }
  });

  test(`${kind}: the largest float32 gradients still have a finite norm`, () => {
    const arena = createArena(4, { kind });
    arena.gradients.fill(3e38);
    assert.ok(Math.abs(gradientNorm(arena) / 6e38 - 1) < 1e-6);
  });
}

test("SIMD equals JavaScript bit for bit", () => {
  const settings = fc.record({
    count: fc.integer({ min: 1, max: 70_000 }),
    seed: fc.integer(),
    update: fc.constantFrom(1, 2, 10, 1000, 1_000_000),
    learningRate: fc.double({ min: 0, max: 0.1, noNaN: true }),
    weightDecay: fc.constantFrom(0, 0.01, 1),
    maxGradientNorm: fc.constantFrom(0, 1e-3, 5, 1e9),
    gradientSize: fc.constantFrom(1e-30, 1e-6, 1, 1e6, 1e30),
  });
  fc.assert(
    fc.property(settings, ({ count, seed, update, learningRate, gradientSize, ...rest }) => {
      const [simd, plain] = KINDS.map((kind) => {
        const arena = createArena(count, { kind });
        fill(arena, seed, gradientSize);
        const reports = [0, 1].map((k) =>
          adamStep(arena, { ...ADAM_DEFAULTS, ...rest }, { update: update + k, learningRate }),
        );
        return { arena, reports };
      });
      assert.deepEqual(simd.reports, plain.reports);
      for (const array of ["parameters", "m", "v"] as const) {
        assert.deepEqual(simd.arena[array], plain.arena[array], array);
      }
    }),
    { numRuns: 40, seed: 11 },
  );
});

test("zero gradients and zero rate leave the parameters alone", () => {
  const arena = createArena(9);
  fill(arena, 5, 0);
  const before = arena.parameters.slice();
  adamStep(arena, ADAM_DEFAULTS, { update: 1, learningRate: 1e-3 });
  assert.deepEqual(arena.parameters, before);
  arena.gradients.fill(1);
  adamStep(arena, ADAM_DEFAULTS, { update: 2, learningRate: 0 });
  assert.deepEqual(arena.parameters, before);
});

test("clip coefficient as in fairseq", () => {
  assert.equal(clipCoefficient(4, 5), 1);
  assert.equal(clipCoefficient(10, 5), 5 / (10 + 1e-6));
  assert.equal(clipCoefficient(10, 0), 1);
});

test("settings out of range are refused by name", () => {
  const arena = createArena(1);
  const step = { update: 1, learningRate: 1 };
  assert.throws(() => adamStep(arena, { ...ADAM_DEFAULTS, beta1: 1 }, step), /beta1.*\[0, 1\).*got 1/);
  assert.throws(() => adamStep(arena, { ...ADAM_DEFAULTS, epsilon: 0 }, step), /epsilon/);
  assert.throws(() => adamStep(arena, ADAM_DEFAULTS, { ...step, update: 0 }), /update/);
  assert.throws(() => adamStep(arena, ADAM_DEFAULTS, { ...step, learningRate: Number.NaN }), /learning rate/);
  assert.throws(() => createArena(0), ConfigError);
  assert.throws(() => createArena(300_000_000, { kind: "wasm-simd" }), /WebAssembly has at most 4294967296/);
});

test("the arrays of an arena do not touch each other", () => {
  const arena = createArena(21, { accumulate: true });
  const arrays = [arena.parameters, arena.gradients, arena.m, arena.v, arena.accumulated!];
  arrays.forEach((array, i) => void array.fill(i + 1));
  arrays.forEach((array, i) => void assert.ok(array.length === 21 && array.every((x) => x === i + 1)));
  assert.ok(arrays.every((array) => array.byteOffset % 64 === 0));
});
