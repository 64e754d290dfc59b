// One function per operator: appends its node to the graph its operands belong to and returns the result.
import { ShapeError } from "../errors.js";
import type { DataType, Value } from "./graph.js";
import {
  broadcast,
  type Dim,
  formatShape,
  positiveAxis,
  product,
  quotient,
  type Shape,
  sameShape,
  symbolsOf,
} from "./shape.js";

const unary =
  (op: string) =>
  (x: Value): Value =>
    x.graph.node(op, [x])[0];
const binary =
  (op: string) =>
  (a: Value, b: Value): Value =>
    a.graph.node(op, [a, b])[0];

export const abs = unary("Abs");
export const erf = unary("Erf");
export const exp = unary("Exp");
export const gelu = unary("Gelu");
export const log = unary("Log");
export const neg = unary("Neg");
export const sign = unary("Sign");
export const sqrt = unary("Sqrt");

export const add = binary("Add");
export const div = binary("Div");
export const greater = binary("Greater");
export const matMul = binary("MatMul");
export const max = binary("Max");
export const mul = binary("Mul");
export const sub = binary("Sub");

/** alpha x + beta, held between 0 and 1: one pass. The runtime has it for float32; in float64 it is spelt out. */
export function hardSigmoid(x: Value, alpha: number, beta: number): Value {
  if (x.dtype === "float32") return x.graph.node("HardSigmoid", [x], { alpha, beta })[0];
  const line = add(scale(x, alpha), scalar(x, beta));
  return sub(max(line, scalar(x, 0)), max(sub(line, scalar(x, 1)), scalar(x, 0)));
}

/** A scalar of the type of `like`. */
export function scalar(like: Value, number: number): Value {
  return like.graph.constant(like.dtype, [], [number]);
}

export function scale(x: Value, factor: number): Value {
  return factor === 1 ? x : mul(x, scalar(x, factor));
}

export function cast(x: Value, to: DataType): Value {
  return x.dtype === to ? x : x.graph.node("Cast", [x], { to })[0];
}

function swapLast(x: Value): Value {
  const rank = x.shape.length;
  return transpose(x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
}

/** The first axis put before the last: what holds rows, then batch axes, as a batch of matrices. */
export function batchFirst(x: Value): Value {
  const rank = x.shape.length;
  return transpose(x, [...Array(rank - 2).keys()].map((axis) => axis + 1).concat(0, rank - 1));
}

/** The inverse of `batchFirst`. */
export function batchLast(x: Value): Value {
  const rank = x.shape.length;
  return transpose(x, [rank - 2, ...Array(rank - 2).keys(), rank - 1]);
}

/** An operand of a fused product as MatMul takes it. */
export function spelledOperand(x: Value, transBatch: boolean, trans: boolean): Value {
  const matrices = transBatch ? batchFirst(x) : x;
  return trans ? swapLast(matrices) : matrices;
}

export interface ProductOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
  /** The operand comes as `batchLast` would give it, and is read where it lies. Batch axes then do not broadcast. */
  readonly transBatchA?: boolean;
  readonly transBatchB?: boolean;
  readonly alpha?: number;
}

/**
 * `alpha * op(a) · op(b)` over the last two axes, op being the transpose where asked. A contrib operator whose
 * factor is a float32 attribute: in float64 it is spelt out.
 */
export function fusedMatMul(a: Value, b: Value, options: ProductOptions): Value {
  const { transA = false, transB = false, transBatchA = false, transBatchB = false, alpha = 1 } = options;
  if (a.dtype === "float64") {
    return scale(matMul(spelledOperand(a, transBatchA, transA), spelledOperand(b, transBatchB, transB)), alpha);
  }
  const batch = {
    ...(transBatchA ? { transBatchA: 1 } : {}),
    ...(transBatchB ? { transBatchB: 1 } : {}),
  };
  return a.graph.node("FusedMatMul", [a, b], { transA: Number(transA), transB: Number(transB), ...batch, alpha })[0];
}

/** `alpha * op(a) · op(b) + beta * c` of matrices; c broadcasts. */
export function gemm(
  a: Value,
  b: Value,
  c: Value | null,
  options: { transA?: boolean; transB?: boolean; alpha?: number; beta?: number } = {},
): Value {
  const { transA = false, transB = false, alpha = 1, beta = 1 } = options;
  const attributes = { transA: Number(transA), transB: Number(transB), alpha, beta };
  return a.graph.node("Gemm", c ? [a, b, c] : [a, b], attributes)[0];
}

/** x [rows, in] times weight [out, in] transposed, plus bias [out]: a linear layer in PyTorch's weight layout. */
export function linear(x: Value, weight: Value, bias: Value | null): Value {
  return gemm(x, weight, bias, { transB: true });
}

function reduction(op: "ReduceSum" | "ReduceMean", x: Value, axes: readonly number[], keepdims: boolean): Value {
  // The runtime takes an empty list for "all axes".
  if (axes.length === 0) return x;
  const list = x.graph.constant("int64", [axes.length], axes);
  return x.graph.node(op, [x, list], { keepdims: Number(keepdims) })[0];
}

export function reduceSum(x: Value, axes: readonly number[], keepdims = true): Value {
  return reduction("ReduceSum", x, axes, keepdims);
}

export function reduceMean(x: Value, axes: readonly number[], keepdims = true): Value {
  return reduction("ReduceMean", x, axes, keepdims);
}

export function softmax(x: Value): Value {
  return x.graph.node("Softmax", [x], { axis: -1 })[0];
}

export function logSoftmax(x: Value): Value {
  return x.graph.node("LogSoftmax", [x], { axis: -1 })[0];
}

/** Normalises the last axis; `bias` may be left out. */
export function layerNorm(x: Value, weight: Value, bias: Value | null, epsilon: number): Value {
  return x.graph.node("LayerNormalization", bias ? [x, weight, bias] : [x, weight], { axis: -1, epsilon })[0];
}

export function transpose(x: Value, perm: readonly number[]): Value {
  return perm.every((axis, i) => axis === i) ? x : x.graph.node("Transpose", [x], { perm })[0];
}

/** Equal parts along a static axis. */
export function split(x: Value, axis: number, parts: number): readonly Value[] {
  return x.graph.node("Split", [x], { axis, num_outputs: parts });
}

/** Parts of the given lengths along one axis. */
export function splitInto(x: Value, axis: number, lengths: readonly number[]): readonly Value[] {
  return x.graph.node("Split", [x, x.graph.constant("int64", [lengths.length], lengths)], { axis });
}

/**
 * The same elements in another shape. A symbol that stays at its axis is copied, one more is inferred, and any further
 * one is read off a graph input at run time.
 * @throws ShapeError when the elements do not match.
 */
export function reshape(x: Value, shape: Shape): Value {
  if (formatShape(shape) === formatShape(x.shape)) return x;
  // Of two in a row only the second is needed.
  if (x.producer?.op === "Reshape") return reshape(x.producer.inputs[0], shape);
  const { graph } = x;
  const target = shape.map((dim, i): number | string => (typeof dim === "string" && x.shape[i] === dim ? 0 : dim));
  const open = target.flatMap((dim, i) => (typeof dim === "string" ? [i] : []));
  // A product of symbols cannot be read off an input, so it is the one to infer.
  const inferred = open.find((i) => symbolsOf(shape[i]).length > 1 || target[i] !== symbolsOf(shape[i])[0]) ?? open[0];
  if (inferred !== undefined) target[inferred] = -1;
  const numbers = target.every((dim) => typeof dim === "number");
  const dims = numbers
    ? graph.constant("int64", [target.length], target as number[])
    : graph.once(`shape ${formatShape(target)}`, () => {
        const parts = target.map((dim) => dimensionTensor(x, dim));
        return graph.node("Concat", parts, { axis: 0 }, [target.length])[0];
      });
  return graph.node("Reshape", [x, dims], {}, shape)[0];
}

const END = 2 ** 31 - 1;

/** Elements `start` up to `end` of one axis; negative counts from the end. `length` is the result's dimension. */
export function slice(x: Value, axis: number, start: number, end: number | null, length: Dim): Value {
  const { graph } = x;
  const at = positiveAxis("Slice", axis, x.shape.length);
  const whole = x.shape[at];
  if (typeof whole === "number") {
    const [first, last] = [start, end ?? whole].map((i) => Math.min(Math.max(i < 0 ? i + whole : i, 0), whole));
    if (length !== Math.max(last - first, 0)) {
      throw new ShapeError(
        `Slice: elements ${start} to ${end ?? "the end"} of axis ${at} of ${formatShape(x.shape)} are ${last - first}, stated as ${length}`,
      );
    }
  }
  const list = (number: number) => graph.constant("int64", [1], [number]);
  const shape = x.shape.map((dim, i) => (i === at ? length : dim));
  return graph.node("Slice", [x, list(start), list(end ?? END), list(at)], {}, shape)[0];
}

/**
 * Zeros before and after along one axis. `length` is the result's dimension; `after` null fills up to it at run time,
 * its symbols being read off graph inputs.
 */
export function pad(x: Value, axis: number, before: number, after: number | null, length: Dim): Value {
  const { graph } = x;
  const at = positiveAxis("Pad", axis, x.shape.length);
  const whole = x.shape[at];
  if (typeof whole === "number" && after !== null && length !== before + whole + after) {
    throw new ShapeError(`Pad: ${before} + ${whole} + ${after} elements of axis ${at}, stated as ${length}`);
  }
  const shape = x.shape.map((dim, i) => (i === at ? length : dim));
  const list = (number: number) => graph.constant("int64", [1], [number]);
  const rest = () => sub(sub(dimensionTensor(x, length), dimensionTensor(x, whole)), list(before));
  const amounts =
    after === null
      ? graph.node("Concat", [list(before), rest()], { axis: 0 }, [2])[0]
      : graph.constant("int64", [2], [before, after]);
  return graph.node("Pad", [x, amounts, scalar(x, 0), list(at)], {}, shape)[0];
}

/** Joins along one axis. `length` is the result's dimension; it must be given when a part's is symbolic. */
export function concat(parts: readonly Value[], axis: number, length?: Dim): Value {
  const [first] = parts;
  const at = positiveAxis("Concat", axis, first.shape.length);
  for (const part of parts) {
    if (part.shape.length !== first.shape.length || part.shape.some((dim, i) => i !== at && dim !== first.shape[i])) {
      throw new ShapeError(
        `Concat: ${formatShape(part.shape)} does not fit ${formatShape(first.shape)} beside axis ${at}`,
      );
    }
  }
  const lengths = parts.map((part) => part.shape[at]);
  const sum = lengths.every((dim) => typeof dim === "number") ? lengths.reduce((a, b) => a + b, 0) : length;
  if (sum === undefined || (length !== undefined && length !== sum)) {
    throw new ShapeError(`Concat: axis ${at} has the lengths ${lengths.join(" + ")}, stated as ${length ?? "nothing"}`);
  }
  return first.graph.node(
    "Concat",
    parts,
    { axis: at },
    first.shape.map((dim, i) => (i === at ? sum : dim)),
  )[0];
}

/** Repeats axes of length 1 up to `shape`, whose other symbols are read off graph inputs. */
export function expand(x: Value, shape: Shape): Value {
  if (formatShape(shape) === formatShape(x.shape)) return x;
  if (!sameShape(broadcast("Expand", x.shape, shape), shape)) {
    throw new ShapeError(`Expand: ${formatShape(x.shape)} does not repeat to ${formatShape(shape)}`);
  }
  const { graph } = x;
  const dims = graph.once(`expand ${formatShape(shape)}`, () => {
    const parts = shape.map((dim) => dimensionTensor(x, dim));
    return graph.node("Concat", parts, { axis: 0 }, [shape.length])[0];
  });
  return graph.node("Expand", [x, dims], {}, shape)[0];
}

/** A tensor of ones of the type of `like`, made once for a graph. */
export function ones(like: Value, shape: Shape): Value {
  return like.graph.once(`ones ${like.dtype} ${formatShape(shape)}`, () => {
    const one = like.graph.constant(
      like.dtype,
      shape.map(() => 1),
      [1],
    );
    return expand(one, shape);
  });
}

/** Any dimension as an int64 tensor [1]; products are multiplied out at run time. */
function dimensionTensor({ graph }: Value, dim: Dim): Value {
  if (typeof dim === "number") return graph.constant("int64", [1], [dim]);
  return graph.once(`product ${dim}`, () => {
    const symbols = symbolsOf(dim).map((symbol) => graph.dimension(symbol));
    const coefficient = quotient(dim, product(symbolsOf(dim))) as number;
    return (coefficient === 1 ? symbols : [...symbols, graph.constant("int64", [1], [coefficient])]).reduce(mul);
  });
}
