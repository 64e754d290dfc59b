// The operator table: for each operator its domain, number of inputs, and the type and shape of its results.
import { ShapeError } from "../errors.js";
import type { Attributes, TensorType, Value } from "./graph.js";
import { broadcast, type Dim, formatShape, positiveAxis, product, type Shape } from "./shape.js";

export interface InferContext {
  /** Operator and node, for messages. */
  readonly what: string;
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  /** Result shape stated by the builder, for operators that cannot infer it over symbols. */
  readonly shape: Shape | undefined;
}

export interface OperatorSpec {
  readonly domain?: string;
  /** Least and greatest number of inputs. */
  readonly inputs: readonly [number, number];
  readonly infer: (context: InferContext) => readonly TensorType[];
}

/** Operators of ONNX Runtime outside the standard; an export for other runtimes must avoid them. */
const MICROSOFT = "com.microsoft";

const sameType: OperatorSpec = {
  inputs: [1, 1],
  infer: ({ inputs: [x] }) => [{ dtype: x.dtype, shape: x.shape }],
};

const elementwise: OperatorSpec = {
  inputs: [2, 2],
  infer: ({ what, inputs: [a, b] }) => {
    matchTypes(what, a, b);
    return [{ dtype: a.dtype, shape: broadcast(what, a.shape, b.shape) }];
  },
};

const compare: OperatorSpec = {
  inputs: [2, 2],
  infer: (context) => [{ dtype: "bool", shape: elementwise.infer(context)[0].shape }],
};

const stated: OperatorSpec = {
  inputs: [1, 64],
  infer: ({ what, inputs: [x], shape }) => {
    if (!shape) throw new ShapeError(`${what}: the builder must state the result shape`);
    return [{ dtype: x.dtype, shape }];
  },
};

function matchTypes(what: string, a: Value, b: Value): void {
  if (a.dtype !== b.dtype) {
    throw new ShapeError(`${what}: types differ, "${a.name}" is ${a.dtype} and "${b.name}" is ${b.dtype}`);
  }
}

function reduce({ what, inputs: [x, given], attributes }: InferContext): readonly TensorType[] {
  const keep = attributes["keepdims"] !== 0;
  if (!given.data) throw new ShapeError(`${what}: its axes must be a constant`);
  const axes = Array.from(given.data, (axis) => positiveAxis(what, axis, x.shape.length));
  const shape = x.shape.flatMap((dim, i) => (axes.includes(i) ? (keep ? [1] : []) : [dim]));
  return [{ dtype: x.dtype, shape }];
}

function matMul({ what, inputs: [a, b], attributes }: InferContext): readonly TensorType[] {
  matchTypes(what, a, b);
  const flip = (value: Value, side: "A" | "B"): Shape => {
    const { shape: given } = value;
    const rank = given.length;
    if (rank < 2) throw new ShapeError(`${what}: "${value.name}" has rank ${rank}, expected at least 2`);
    const shape = attributes[`transBatch${side}`] === 1 ? [...given.slice(1, -1), given[0], given[rank - 1]] : given;
    return attributes[`trans${side}`] === 1 ? [...shape.slice(0, -2), shape[rank - 1], shape[rank - 2]] : shape;
  };
  const left = flip(a, "A");
  const right = flip(b, "B");
  const inner = left[left.length - 1];
  if (inner !== right[right.length - 2]) {
    throw new ShapeError(`${what}: inner dimensions differ, ${formatShape(left)} times ${formatShape(right)}`);
  }
  const batch = broadcast(what, left.slice(0, -2), right.slice(0, -2));
  return [{ dtype: a.dtype, shape: [...batch, left[left.length - 2], right[right.length - 1]] }];
}

function gemm(context: InferContext): readonly TensorType[] {
  const { what, inputs } = context;
  for (const matrix of inputs.slice(0, 2)) {
    if (matrix.shape.length !== 2)
      throw new ShapeError(`${what}: "${matrix.name}" ${formatShape(matrix.shape)} is no matrix`);
  }
  const [result] = matMul(context);
  const bias = inputs[2];
  if (bias) {
    matchTypes(what, inputs[0], bias);
    const sum = broadcast(what, result.shape, bias.shape);
    if (formatShape(sum) !== formatShape(result.shape)) {
      throw new ShapeError(`${what}: bias ${formatShape(bias.shape)} does not fit ${formatShape(result.shape)}`);
    }
  }
  return [result];
}

function transpose({ what, inputs: [x], attributes }: InferContext): readonly TensorType[] {
  const permutation = attributes["perm"] as readonly number[];
  if ([...permutation].sort((a, b) => a - b).join() !== [...x.shape.keys()].join()) {
    throw new ShapeError(`${what}: [${permutation}] does not permute the axes of ${formatShape(x.shape)}`);
  }
  return [{ dtype: x.dtype, shape: permutation.map((axis) => x.shape[axis]) }];
}

function layerNormalization({ what, inputs: [x, scale, bias] }: InferContext): readonly TensorType[] {
  const width = x.shape[x.shape.length - 1];
  for (const parameter of [scale, bias]) {
    if (parameter && formatShape(parameter.shape) !== formatShape([width])) {
      throw new ShapeError(`${what}: "${parameter.name}" has ${formatShape(parameter.shape)}, expected [${width}]`);
    }
  }
  // The standard's `stash_type`: statistics are float32 even for float64.
  const statistic: TensorType = { dtype: "float32", shape: [...x.shape.slice(0, -1), 1] };
  return [{ dtype: x.dtype, shape: x.shape }, statistic, statistic];
}

function split({ what, inputs: [x, lengths], attributes }: InferContext): readonly TensorType[] {
  const axis = positiveAxis(what, attributes["axis"] as number, x.shape.length);
  if (lengths) return splitInto(what, x, axis, Array.from(lengths.data ?? []));
  const count = attributes["num_outputs"] as number;
  const whole = x.shape[axis];
  if (typeof whole !== "number" || whole % count !== 0) {
    throw new ShapeError(`${what}: cannot split axis ${axis} of ${formatShape(x.shape)} into ${count} equal parts`);
  }
  const shape = x.shape.map((dim, i): Dim => (i === axis ? whole / count : dim));
  return Array.from({ length: count }, () => ({ dtype: x.dtype, shape }));
}

function splitInto(what: string, x: Value, axis: number, lengths: readonly number[]): readonly TensorType[] {
  if (lengths.reduce((sum, length) => sum + length, 0) !== x.shape[axis]) {
    throw new ShapeError(`${what}: cannot split axis ${axis} of ${formatShape(x.shape)} into ${lengths.join(" + ")}`);
  }
  return lengths.map((length) => ({ dtype: x.dtype, shape: x.shape.with(axis, length) }));
}

function reshape({ what, inputs: [x], shape }: InferContext): readonly TensorType[] {
  if (!shape) throw new ShapeError(`${what}: the builder must state the result shape`);
  if (product(shape) !== product(x.shape)) {
    throw new ShapeError(`${what}: ${formatShape(x.shape)} has other elements than ${formatShape(shape)}`);
  }
  return [{ dtype: x.dtype, shape }];
}

export const OPERATORS: Readonly<Record<string, OperatorSpec>> = {
  Abs: sameType,
  Add: elementwise,
  Cast: {
    inputs: [1, 1],
    infer: ({ inputs: [x], attributes }) => [{ dtype: attributes["to"] as TensorType["dtype"], shape: x.shape }],
  },
  Concat: stated,
  Div: elementwise,
  Erf: sameType,
  Exp: sameType,
  Expand: stated,
  FusedMatMul: { domain: MICROSOFT, inputs: [2, 2], infer: matMul },
  Gelu: sameType,
  Gemm: { inputs: [2, 3], infer: gemm },
  Greater: compare,
  HardSigmoid: sameType,
  LayerNormalization: { inputs: [2, 3], infer: layerNormalization },
  Log: sameType,
  LogSoftmax: sameType,
  MatMul: { inputs: [2, 2], infer: matMul },
  Max: elementwise,
  Mul: elementwise,
  Neg: sameType,
  Pad: stated,
  ReduceMean: { inputs: [2, 2], infer: reduce },
  ReduceSum: { inputs: [2, 2], infer: reduce },
  Reshape: { inputs: [2, 2], infer: reshape },
  Shape: {
    inputs: [1, 1],
    infer: ({ inputs: [x], attributes }) => [
      {
        dtype: "int64",
        shape: [((attributes["end"] ?? x.shape.length) as number) - ((attributes["start"] ?? 0) as number)],
      },
    ],
  },
  Sign: sameType,
  Slice: stated,
  Softmax: sameType,
  Split: { inputs: [1, 2], infer: split },
  Sqrt: sameType,
  Sub: elementwise,
  Transpose: { inputs: [1, 1], infer: transpose },
};
