// The gradient rule of every operator: from the gradient of its result to the gradients of its operands.
import { UnsupportedOpError } from "../errors.js";
import type { Node, Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { type Dim, formatShape, product, type Shape } from "../onnx/shape.js";
import { geluDerivative, standardized } from "./recompute.js";

export interface RuleContext {
  readonly node: Node;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** Gradient of each output; null where the loss does not depend on it. */
  readonly gradients: readonly (Value | null)[];
  /** Whether anybody wants the gradient of input i. */
  readonly wanted: readonly boolean[];
}

/** Gradient of each input, in order; null where it is zero, unwanted or undefined (integers). */
export type Rule = (context: RuleContext) => readonly (Value | null)[];

/**
 * Sums a gradient over the axes along which its operand was broadcast. A sum over leading axes alone, the gradient of
 * every bias, is a product with a row of ones: several times faster on CPU than ReduceSum.
 */
export function sumTo(gradient: Value, shape: Shape): Value {
  if (formatShape(gradient.shape) === formatShape(shape)) return gradient;
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dim, i) => (i < extra || (shape[i - extra] === 1 && dim !== 1) ? [i] : []));
  const leading = axes.every((axis, i) => axis === i);
  if (leading && axes.length > 0 && axes.length < gradient.shape.length) {
    const rows = product(gradient.shape.slice(0, axes.length));
    const columns = product(gradient.shape.slice(axes.length));
    const sum = ops.matMul(ops.ones(gradient, [1, rows]), ops.reshape(gradient, [rows, columns]));
    return ops.reshape(sum, shape);
  }
  const summed = axes.length > 0 ? ops.reduceSum(gradient, axes) : gradient;
  return extra > 0 ? ops.reshape(summed, shape) : summed;
}

/** Sums over the last axis, kept as length 1: a product with a column of ones, faster on CPU than ReduceSum. */
function sumLast(x: Value): Value {
  if (x.shape.length < 2) return ops.reduceSum(x, [-1]);
  return ops.matMul(x, ops.ones(x, [x.shape[x.shape.length - 1], 1]));
}

/** Rule of an elementwise operator of one operand: gradient times derivative. */
const unary =
  (derive: (gradient: Value, x: Value, y: Value) => Value): Rule =>
  ({ gradients: [g], inputs: [x], outputs: [y] }) => [g && derive(g, x, y)];

/** Rule of an operator along the last axis, which is the only one that has a rule. */
function overLastAxis(derive: (gradient: Value, x: Value, y: Value) => Value): Rule {
  const rule = unary(derive);
  return (context) => {
    const { node, inputs } = context;
    const axis = node.attributes["axis"] ?? -1;
    if (axis !== -1 && axis !== inputs[0].shape.length - 1) {
      throw new UnsupportedOpError(
        `${node.op} node "${node.name}": no gradient along axis ${axis} of ${formatShape(inputs[0].shape)}, only along the last`,
      );
    }
    return rule(context);
  };
}

const isFloat = ({ dtype }: Value): boolean => dtype === "float32" || dtype === "float64";

/** Rule of an elementwise operator of two operands that broadcast. */
const binary =
  (left: (g: Value, a: Value, b: Value) => Value, right: (g: Value, a: Value, b: Value, y: Value) => Value): Rule =>
  ({ gradients: [g], inputs: [a, b], outputs: [y], wanted }) => [
    g && wanted[0] ? sumTo(left(g, a, b), a.shape) : null,
    g && wanted[1] ? sumTo(right(g, a, b, y), b.shape) : null,
  ];

function attributeFlag(node: Node, name: string): boolean {
  return node.attributes[name] === 1;
}

/** Product of matrices with optional transposes and a factor; batch axes may broadcast. */
const matrixProduct: Rule = ({ node, gradients: [g], inputs: [a, b], wanted }) => {
  if (!g) return [null, null];
  const transA = attributeFlag(node, "transA");
  const transB = attributeFlag(node, "transB");
  const alpha = (node.attributes["alpha"] ?? 1) as number;
  if (product(g.shape) === 1 && a.shape.length === b.shape.length) {
    // Two vectors: the gradient of each is the other times a number, which takes no product.
    const scaled = (other: Value, shape: Shape) => ops.reshape(ops.mul(other, ops.scale(g, alpha)), shape);
    return [wanted[0] ? scaled(b, a.shape) : null, wanted[1] ? scaled(a, b.shape) : null];
  }
  interface Operand {
    readonly value: Value;
    readonly batch: boolean;
  }
  const left = { value: a, batch: attributeFlag(node, "transBatchA") };
  const right = { value: b, batch: attributeFlag(node, "transBatchB") };
  const given = { value: g, batch: false };
  const times = (x: Operand, y: Operand, transX: boolean, transY: boolean) => {
    const batch = { transBatchA: x.batch, transBatchB: y.batch };
    return ops.fusedMatMul(x.value, y.value, { transA: transX, transB: transY, ...batch, alpha });
  };
  const put = (gradient: Value, { value, batch }: Operand) =>
    batch ? ops.batchLast(gradient) : sumTo(gradient, value.shape);
  const ofLeft = () => (transA ? times(right, given, transB, true) : times(given, right, false, !transB));
  const ofRight = () => (transB ? times(given, left, true, transA) : times(left, given, !transA, false));
  return [wanted[0] ? put(ofLeft(), left) : null, wanted[1] ? put(ofRight(), right) : null];
};

const gemm: Rule = ({ node, gradients: [g], inputs: [a, b, c], wanted }) => {
  if (!g) return [null, null, null];
  const transA = attributeFlag(node, "transA");
  const transB = attributeFlag(node, "transB");
  const alpha = (node.attributes["alpha"] ?? 1) as number;
  const beta = (node.attributes["beta"] ?? 1) as number;
  const times = (x: Value, y: Value, flipX: boolean, flipY: boolean) =>
    ops.gemm(x, y, null, { transA: flipX, transB: flipY, alpha });
  const left = () => (transA ? times(b, g, transB, true) : times(g, b, false, !transB));
  const right = () => (transB ? times(g, a, true, transA) : times(a, g, !transA, false));
  return [
    wanted[0] ? left() : null,
    wanted[1] ? right() : null,
    c && wanted[2] ? ops.scale(sumTo(g, c.shape), beta) : null,
  ];
};

/** With h = g·w: dx = invStd (h - mean(h) - x̂ mean(h·x̂)). Both means are products with w/width, so h·x̂ is never formed. */
const layerNormalization: Rule = ({ node, gradients: given, inputs: [x, weight, bias], outputs, wanted }) => {
  const [g, ofMean, ofInvStd] = given;
  if (ofMean || ofInvStd) {
    throw new UnsupportedOpError(`LayerNormalization node "${node.name}": no gradient through its mean and deviation`);
  }
  if (!g) return [null, null, null];
  const width = x.shape[x.shape.length - 1];
  if (typeof width !== "number") {
    throw new UnsupportedOpError(
      `LayerNormalization node "${node.name}": no gradient over the symbolic width ${width}`,
    );
  }
  const normalized = standardized(node, x);
  const product = ops.mul(g, normalized);
  const average = (v: Value) =>
    x.shape.length > 1
      ? ops.fusedMatMul(v, ops.reshape(weight, [width, 1]), { alpha: 1 / width })
      : ops.scale(ops.reduceSum(ops.mul(v, weight), [-1]), 1 / width);
  const dx = () => {
    const meanH = average(g);
    const meanHX = average(product);
    const centred = ops.sub(ops.mul(g, weight), ops.add(ops.mul(normalized, meanHX), meanH));
    return ops.mul(centred, ops.cast(outputs[2], x.dtype));
  };
  return [
    wanted[0] ? dx() : null,
    wanted[1] ? sumTo(product, weight.shape) : null,
    bias && wanted[2] ? sumTo(g, bias.shape) : null,
  ];
};

const reduceSum: Rule = ({ node, gradients: [g], inputs: [x] }) => {
  if (!g) return [null, null];
  return [ops.expand(keepAxes(g, node), x.shape), null];
};

/** The gradient of a reduction with its reduced axes put back as length 1. */
function keepAxes(gradient: Value, { inputs: [x, axes], attributes }: Node): Value {
  if (attributes["keepdims"] !== 0) return gradient;
  const reduced = Array.from(axes.data ?? [], (axis) => (axis < 0 ? axis + x.shape.length : axis));
  return ops.reshape(
    gradient,
    x.shape.map((dim, i): Dim => (reduced.includes(i) ? 1 : dim)),
  );
}

const reduceMean: Rule = (context) => {
  const { node, inputs } = context;
  const [x, axes] = inputs;
  const reduced = Array.from(axes.data ?? [], (axis) => x.shape[axis < 0 ? axis + x.shape.length : axis]);
  const count = product(reduced);
  if (typeof count !== "number") {
    throw new UnsupportedOpError(`ReduceMean node "${node.name}": no gradient over the symbolic length ${count}`);
  }
  return reduceSum(context).map((gradient) => gradient && ops.scale(gradient, 1 / count));
};

const slice: Rule = ({ node, gradients: [g], inputs: [x, starts, ends, axes] }) => {
  if (!g) return [null, null, null, null];
  const [axis, start, end] = [axes, starts, ends].map((list) => list.data?.[0] as number);
  const length = x.shape[axis];
  const open = end >= 2 ** 31 - 1;
  if (typeof length === "string" && start < 0) {
    throw new UnsupportedOpError(`Slice node "${node.name}": no gradient of ${start}:${end} along symbolic ${length}`);
  }
  if (typeof length === "string" && end > 0 && !open) return [ops.pad(g, axis, start, null, length), null, null, null];
  const before = start < 0 ? start + (length as number) : start;
  const after = open ? 0 : end < 0 ? -end : Math.max(0, (length as number) - end);
  return [ops.pad(g, axis, before, after, length), null, null, null];
};

const pad: Rule = ({ node, gradients: [g], inputs: [x, amounts, , axes] }) => {
  if (!g) return [null, null, null, null];
  if (!amounts.data) {
    throw new UnsupportedOpError(`Pad node "${node.name}": no gradient of a padding that is known at run time only`);
  }
  const axis = axes.data?.[0] as number;
  const [before, after] = Array.from(amounts.data ?? []);
  return [ops.slice(g, axis, before, after === 0 ? null : -after, x.shape[axis]), null, null, null];
};

/** Each part gets its slice; parts after a symbolic one are counted from the end. */
const concat: Rule = ({ node, gradients: [g], inputs, wanted }) => {
  if (!g) return inputs.map(() => null);
  const axis = node.attributes["axis"] as number;
  const lengths = inputs.map((part) => part.shape[axis]);
  const fixed = (dims: readonly Dim[]): number | null =>
    dims.every((dim) => typeof dim === "number") ? dims.reduce((a: number, b) => a + (b as number), 0) : null;
  if (fixed(lengths) !== null && wanted.every(Boolean)) return ops.splitInto(g, axis, lengths as number[]);
  return inputs.map((part, i) => {
    if (!wanted[i]) return null;
    const before = fixed(lengths.slice(0, i));
    const after = fixed(lengths.slice(i + 1));
    const own = fixed([lengths[i]]);
    if (before !== null && after !== null)
      return ops.slice(g, axis, before, after === 0 ? null : -after, part.shape[axis]);
    if (before !== null && own !== null) return ops.slice(g, axis, before, before + own, own);
    if (after !== null && own !== null) return ops.slice(g, axis, -after - own, after === 0 ? null : -after, own);
    throw new UnsupportedOpError(`Concat node "${node.name}": no gradient between two symbolic lengths`);
  });
};

const split: Rule = ({ node, gradients, outputs }) => {
  const parts = gradients.map((g, i) => g ?? ops.scale(outputs[i], 0));
  return [ops.concat(parts, node.attributes["axis"] as number)];
};

const nothing: Rule = ({ inputs }) => inputs.map(() => null);

export const RULES: Readonly<Record<string, Rule>> = {
  Abs: unary((g, x) => ops.mul(g, ops.sign(x))),
  Add: binary(
    (g) => g,
    (g) => g,
  ),
  // Integers and booleans are steps: nothing passes through them.
  Cast: ({ gradients: [g], inputs: [x], outputs: [y] }) => [
    g && isFloat(x) && isFloat(y) ? ops.cast(g, x.dtype) : null,
  ],
  Concat: concat,
  Div: binary(
    (g, _a, b) => ops.div(g, b),
    (g, _a, b, y) => ops.neg(ops.div(ops.mul(g, y), b)),
  ),
  Erf: unary((g, x) => ops.mul(g, ops.scale(ops.exp(ops.neg(ops.mul(x, x))), 2 / Math.sqrt(Math.PI)))),
  Exp: unary((g, _x, y) => ops.mul(g, y)),
  Expand: ({ gradients: [g], inputs: [x] }) => [g && sumTo(g, x.shape), null],
  FusedMatMul: matrixProduct,
  Gelu: ({ node, gradients: [g], inputs: [x] }) => {
    if (node.attributes["approximate"] === "tanh") {
      throw new UnsupportedOpError(`Gelu node "${node.name}": no gradient of the tanh form`);
    }
    return [g && ops.mul(g, geluDerivative(node, x))];
  },
  Gemm: gemm,
  Greater: nothing,
  HardSigmoid: ({ node, gradients: [g], outputs: [y] }) => {
    if (!g) return [null];
    const [above, below] = [ops.greater(y, ops.scalar(y, 0)), ops.greater(ops.scalar(y, 1), y)];
    const inside = ops.mul(ops.cast(above, y.dtype), ops.cast(below, y.dtype));
    return [ops.mul(g, ops.scale(inside, node.attributes["alpha"] as number))];
  },
  LayerNormalization: layerNormalization,
  Log: unary((g, x) => ops.div(g, x)),
  LogSoftmax: overLastAxis((g, _x, y) => ops.sub(g, ops.mul(ops.exp(y), ops.reduceSum(g, [-1])))),
  MatMul: matrixProduct,
  Max: binary(
    (g, a, b) => ops.mul(g, ops.cast(ops.greater(a, b), a.dtype)),
    (g, a, b) => ops.mul(g, ops.sub(ops.scalar(a, 1), ops.cast(ops.greater(a, b), a.dtype))),
  ),
  Mul: binary(
    (g, _a, b) => ops.mul(g, b),
    (g, a) => ops.mul(g, a),
  ),
  Neg: unary((g) => ops.neg(g)),
  Pad: pad,
  ReduceMean: reduceMean,
  ReduceSum: reduceSum,
  Reshape: ({ gradients: [g], inputs: [x] }) => [g && ops.reshape(g, x.shape), null],
  Shape: nothing,
  Sign: nothing,
  Slice: slice,
  Softmax: overLastAxis((g, _x, y) => {
    const weighted = ops.mul(g, y);
    return ops.sub(weighted, ops.mul(y, sumLast(weighted)));
  }),
  Split: split,
  Sqrt: unary((g, _x, y) => ops.div(ops.scale(g, 0.5), y)),
  Sub: binary(
    (g) => g,
    (g) => ops.neg(g),
  ),
  Transpose: ({ node, gradients: [g] }) => {
    const permutation = node.attributes["perm"] as readonly number[];
    return [
      g &&
        ops.transpose(
          g,
          [...permutation.keys()].map((axis) => permutation.indexOf(axis)),
        ),
    ];
  },
};
