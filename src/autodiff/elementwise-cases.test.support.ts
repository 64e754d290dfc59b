// Random gradient cases of the elementwise operators and the reductions, by operator.
import fc from "fast-check";
import type { Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import type { Dim, Shape } from "../onnx/shape.js";
import type { Random } from "../random.js";
import type { GradientCase, Operand } from "./gradient-check.test.support.js";

export type CaseArbitrary = fc.Arbitrary<GradientCase>;

/** Lengths of the symbols of two runs through one session; a symbol may happen to be 1. */
export const SIZES = [
  { a: 2, b: 3, c: 4 },
  { a: 3, b: 1, c: 2 },
] as const;

export const anyDim: fc.Arbitrary<Dim> = fc.constantFrom<Dim>(1, 2, 3, "a", "b");
export const staticDim = fc.constantFrom(1, 2, 3);

export function anyShape(minRank = 0, maxRank = 3): fc.Arbitrary<Dim[]> {
  return fc.array(anyDim, { minLength: minRank, maxLength: maxRank });
}

/** A shape that broadcasts to `shape`: some axes of length 1, some leading ones left out. */
export function broadcastPart(shape: Shape): fc.Arbitrary<Shape> {
  return fc
    .tuple(fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }), fc.nat(shape.length))
    .map(([keep, dropped]) => shape.map((dim, i) => (keep[i] ? dim : 1)).slice(dropped));
}

/** Within 0.3 … 1.7 of zero on either side. */
const awayFromZero = (random: Random) => (random.uniform() < 0.5 ? -1 : 1) * (0.3 + 1.4 * random.uniform());
const positive = (random: Random) => 0.5 + 1.5 * random.uniform();
const grid = (offset: number) => (random: Random) => offset + random.below(5) / 2;

function unary(build: (x: Value) => Value, sample?: Operand["sample"], minRank = 0): CaseArbitrary {
  return anyShape(minRank).map((shape) => ({
    operands: [{ shape, ...(sample && { sample }) }],
    build: ([x]) => build(x),
    sizes: SIZES,
  }));
}

function binary(
  build: (a: Value, b: Value) => Value,
  left?: Operand["sample"],
  right: Operand["sample"] = left,
): CaseArbitrary {
  return anyShape()
    .chain((shape) => fc.tuple(broadcastPart(shape), broadcastPart(shape)))
    .map(([a, b]) => ({
      operands: [
        { shape: a, ...(left && { sample: left }) },
        { shape: b, ...(right && { sample: right }) },
      ],
      build: ([x, y]) => build(x, y),
      sizes: SIZES,
    }));
}

type Reduction = typeof ops.reduceSum;

/** Any axes, counted from either end; `mean` needs them static. */
function reduction(reduce: Reduction, dim: fc.Arbitrary<Dim>): CaseArbitrary {
  return fc
    .tuple(
      fc.array(fc.record({ dim, reduced: fc.boolean(), negative: fc.boolean() }), { minLength: 1, maxLength: 3 }),
      fc.array(anyDim, { maxLength: 1 }),
      fc.boolean(),
    )
    .filter(([axes]) => axes.some(({ reduced }) => reduced))
    .map(([axes, rest, keep]) => {
      const shape = [...axes.map((axis) => axis.dim), ...rest];
      const reduced = axes.flatMap(({ reduced: yes, negative }, i) => (yes ? [negative ? i - shape.length : i] : []));
      return { operands: [{ shape }], build: ([x]) => reduce(x, reduced, keep), sizes: SIZES };
    });
}

/** Through the other float type and back, so that both directions are on the way. */
const cast: CaseArbitrary = anyShape().map((shape) => ({
  operands: [{ shape }],
  build: ([x]) => {
    const wide = ops.cast(x, "float64");
    return ops.cast(ops.mul(wide, wide), "float32");
  },
  sizes: SIZES,
  dtype: "float32",
}));

/** Below, between and above the two corners, which are at ±2. */
const hardSigmoid: CaseArbitrary = unary(
  (x) => ops.hardSigmoid(x, 0.25, 0.5),
  (random) => -3 + 1.5 * random.below(5),
).map((example) => ({ ...example, dtype: "float32" }));

const layerNormalization: CaseArbitrary = fc
  .record({
    lead: anyShape(0, 2),
    width: fc.constantFrom(1, 3, 4),
    bias: fc.boolean(),
    epsilon: fc.constantFrom(0.5, 0.05),
  })
  .map(({ lead, width, bias, epsilon }) => ({
    operands: [{ shape: [...lead, width] }, { shape: [width] }, ...(bias ? [{ shape: [width] }] : [])],
    build: ([x, weight, offset]) => ops.layerNorm(x, weight, offset ?? null, epsilon),
    sizes: SIZES,
    // Its statistics are float32 in any case.
    dtype: "float32",
  }));

export const ELEMENTWISE_CASES: Readonly<Record<string, CaseArbitrary>> = {
  Abs: unary(ops.abs, awayFromZero),
  Add: binary(ops.add),
  Cast: cast,
  Div: binary(ops.div, undefined, awayFromZero),
  Erf: unary(ops.erf),
  Exp: unary(ops.exp),
  Gelu: unary(ops.gelu),
  HardSigmoid: hardSigmoid,
  LayerNormalization: layerNormalization,
  Log: unary(ops.log, positive),
  LogSoftmax: unary(ops.logSoftmax, undefined, 1),
  // Operands from two grids that are a quarter apart: never equal.
  Max: binary(ops.max, grid(0), grid(0.25)),
  Mul: binary(ops.mul),
  Neg: unary(ops.neg),
  ReduceMean: reduction(ops.reduceMean, staticDim),
  ReduceSum: reduction(ops.reduceSum, anyDim),
  Softmax: unary(ops.softmax, undefined, 1),
  Sqrt: unary(ops.sqrt, positive),
  Sub: binary(ops.sub),
};
