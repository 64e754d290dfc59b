// Random gradient cases of the matrix products and of the operators that move elements, by operator.
import fc from "fast-check";
import * as ops from "../onnx/ops.js";
import type { Dim, Shape } from "../onnx/shape.js";
import {
  anyDim,
  anyShape,
  broadcastPart,
  type CaseArbitrary,
  SIZES,
  staticDim,
} from "./elementwise-cases.test.support.js";

/** `[..., rows, columns]`, turned round where the operator turns it back. */
const matrix = (batch: Shape, rows: Dim, columns: Dim, turned: boolean): Shape =>
  turned ? [...batch, columns, rows] : [...batch, rows, columns];

const factor = fc.constantFrom(1, 0.5, -2);

const product = fc.record({ m: anyDim, k: fc.constantFrom<Dim>(2, 3, "c"), n: anyDim });

const batches = anyShape(0, 2).chain((batch) => fc.tuple(broadcastPart(batch), broadcastPart(batch)));

const matMul: CaseArbitrary = fc.tuple(product, batches).map(([{ m, k, n }, [left, right]]) => ({
  operands: [{ shape: [...left, m, k] }, { shape: [...right, k, n] }],
  build: ([a, b]) => ops.matMul(a, b),
  sizes: SIZES,
}));

/** The operator itself, not `ops.fusedMatMul`, which spells it out in float64. */
const fusedMatMul: CaseArbitrary = fc
  .record({ product, batches, transA: fc.boolean(), transB: fc.boolean(), alpha: factor })
  .map(({ product: { m, k, n }, batches: [left, right], transA, transB, alpha }) => ({
    operands: [{ shape: matrix(left, m, k, transA) }, { shape: matrix(right, k, n, transB) }],
    build: ([a, b]) =>
      a.graph.node("FusedMatMul", [a, b], { transA: Number(transA), transB: Number(transB), alpha })[0],
    sizes: SIZES,
  }));

const gemm: CaseArbitrary = fc
  .record({ product, transA: fc.boolean(), transB: fc.boolean(), alpha: factor, beta: factor })
  .chain((record) => fc.tuple(fc.constant(record), fc.option(broadcastPart([record.product.m, record.product.n]))))
  .map(
    ([
      {
        product: { m, k, n },
        ...options
      },
      bias,
    ]) => ({
      operands: [
        { shape: matrix([], m, k, options.transA) },
        { shape: matrix([], k, n, options.transB) },
        ...(bias ? [{ shape: bias }] : []),
      ],
      build: ([a, b, c]) => ops.gemm(a, b, c ?? null, options),
      sizes: SIZES,
    }),
  );

const transpose: CaseArbitrary = anyShape(1, 4)
  .chain((shape) => fc.tuple(fc.constant(shape), fc.shuffledSubarray([...shape.keys()], { minLength: shape.length })))
  .map(([shape, perm]) => ({
    operands: [{ shape }],
    // Never the identity, which makes no node: a second axis order follows.
    build: ([x]) => x.graph.node("Transpose", [x], { perm })[0],
    sizes: SIZES,
  }));

/** To the same elements in any order of the axes, by way of one in which neighbours are merged. */
const reshape: CaseArbitrary = anyShape(2, 4)
  .chain((shape) =>
    fc.tuple(
      fc.constant(shape),
      fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }),
      fc.integer({ min: 1, max: shape.length - 1 }),
    ),
  )
  .map(([shape, order, cut]) => ({
    operands: [{ shape }],
    build: ([x]) => {
      const merged = ops.reshape(x, [shape.slice(0, cut), shape.slice(cut)].map(mergedDim));
      const squared = ops.mul(merged, merged);
      // In shuffled order an axis of length 2 makes sure that a Reshape node remains.
      return ops.reshape(
        squared,
        order.map((axis) => shape[axis]),
      );
    },
    sizes: SIZES,
  }));

function mergedDim(dims: Shape): Dim {
  const symbols = dims.filter((dim) => typeof dim === "string").sort();
  const number = dims.reduce((total: number, dim) => (typeof dim === "number" ? total * dim : total), 1);
  return symbols.length === 0 ? number : [...(number === 1 ? [] : [number]), ...symbols].join("*");
}

const expand: CaseArbitrary = anyShape(1)
  .chain((shape) => fc.tuple(fc.constant(shape), broadcastPart(shape)))
  .map(([shape, part]) => ({
    // The second operand is there for its symbols alone.
    operands: [{ shape: part }, { shape, fixed: true }],
    build: ([x]) => ops.expand(ops.exp(x), shape),
    sizes: SIZES,
  }));

/** How much of a symbolic axis `c` is left, as a symbol of its own. */
const withRest = (difference: number) => SIZES.map((sizes) => ({ ...sizes, rest: sizes.c + difference }));

const around = fc.tuple(anyShape(0, 1), anyShape(0, 1));

const staticSlice: CaseArbitrary = fc
  .record({ around, length: fc.constantFrom(3, 4), from: fc.nat(2), negative: fc.tuple(fc.boolean(), fc.boolean()) })
  .chain((record) => fc.tuple(fc.constant(record), fc.integer({ min: record.from + 1, max: record.length })))
  .map(
    ([
      {
        around: [before, after],
        length,
        from,
        negative,
      },
      to,
    ]) => ({
      operands: [{ shape: [...before, length, ...after] }],
      build: ([x]) => {
        const end = to === length ? null : negative[1] ? to - length : to;
        return ops.slice(x, before.length, negative[0] ? from - length : from, end, to - from);
      },
      sizes: SIZES,
    }),
  );

const symbolicSlice: CaseArbitrary = fc
  .record({ around, from: fc.nat(1), end: fc.constantFrom(null, -1) })
  .filter(({ from, end }) => from > 0 || end !== null)
  .map(({ around: [before, after], from, end }) => ({
    operands: [{ shape: [...before, "c", ...after] }],
    build: ([x]) => ops.slice(x, before.length - x.shape.length, from, end, "rest"),
    // At least one element is left of c = 3 and c = 4.
    sizes: withRest(-from + (end ?? 0)).map((sizes) => ({ ...sizes, c: sizes.c + 1, rest: sizes.rest + 1 })),
  }));

/** A stretch from the front, of a length that is known, of an axis whose length is not. */
const frontSlice: CaseArbitrary = fc
  .record({ around, from: fc.nat(1), length: fc.constantFrom(1, 2) })
  .map(({ around: [before, after], from, length }) => ({
    operands: [{ shape: [...before, "c", ...after] }],
    build: ([x]) => ops.slice(x, before.length, from, from + length, length),
    sizes: SIZES.map((sizes) => ({ ...sizes, c: sizes.c + 1 })),
  }));

const pad: CaseArbitrary = fc
  .record({ around, dim: fc.constantFrom<Dim>(1, 2, "c"), before: fc.nat(2), after: fc.nat(2) })
  .map(({ around: [lead, trail], dim, before, after }) => ({
    operands: [{ shape: [...lead, dim, ...trail] }],
    build: ([x]) => ops.pad(x, lead.length, before, after, typeof dim === "number" ? dim + before + after : "rest"),
    sizes: withRest(before + after),
  }));

/** At most one part of symbolic length. */
const concat: CaseArbitrary = fc
  .record({
    around,
    parts: fc.array(staticDim, { minLength: 1, maxLength: 3 }),
    symbolicAt: fc.option(fc.nat(2)),
    unused: fc.boolean(),
  })
  .map(({ around: [before, after], parts, symbolicAt, unused }) => {
    const lengths: Dim[] = [...parts];
    if (symbolicAt !== null) lengths.splice(Math.min(symbolicAt, parts.length), 0, "c");
    const sum = parts.reduce((total, part) => total + part, 0);
    return {
      operands: lengths.map((length, i) => ({ shape: [...before, length, ...after], fixed: unused && i === 1 })),
      build: (values) => ops.concat(values, before.length, symbolicAt === null ? sum : "rest"),
      sizes: withRest(sum),
    };
  });

/** Parts that the loss does not use get a gradient of zeros. */
const split: CaseArbitrary = fc
  .record({
    around,
    parts: fc.constantFrom(2, 3),
    length: staticDim,
    used: fc.array(fc.nat(2), { minLength: 1, maxLength: 3 }),
  })
  .map(({ around: [before, after], parts, length, used }) => ({
    operands: [{ shape: [...before, parts * length, ...after] }],
    build: ([x]) => {
      const all = ops.split(x, before.length - x.shape.length, parts);
      return used.map((part) => ops.exp(all[part % parts])).reduce(ops.mul);
    },
    sizes: SIZES,
  }));

export const STRUCTURAL_CASES: Readonly<Record<string, CaseArbitrary>> = {
  Concat: concat,
  Expand: expand,
  FusedMatMul: fusedMatMul,
  Gemm: gemm,
  MatMul: matMul,
  Pad: pad,
  Reshape: reshape,
  Slice: fc.oneof(staticSlice, symbolicSlice, frontSlice),
  Split: split,
  Transpose: transpose,
};
