// Compares the gradients of small graphs with central finite differences, both computed by ONNX Runtime.
import assert from "node:assert/strict";
import { type DataType, Graph, type Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import type { Dim, Shape } from "../onnx/shape.js";
import { Random } from "../random.js";
import { Session, type Tensor } from "../runtime/session.js";
import { gradients } from "./backward.js";

export type Float = "float32" | "float64";
type FloatArray = Float32Array | Float64Array;
/** The length of each symbol in one run. */
export type Sizes = Readonly<Record<string, number>>;

export interface Operand {
  readonly shape: Shape;
  /** One element; values must keep clear of kinks and poles by 0.1. Normal draws by default. */
  readonly sample?: (random: Random) => number;
  /** Fed, but not differentiated. */
  readonly fixed?: boolean;
}

export interface GradientCase {
  readonly operands: readonly Operand[];
  readonly build: (operands: readonly Value[]) => Value;
  /** Every set of sizes runs through the same session. */
  readonly sizes: readonly Sizes[];
  /** Only for graphs that change type themselves; else float64 where every operator has such a kernel. */
  readonly dtype?: Float;
}

/** Step and tolerance (relative to the largest gradient, and at least absolute) of the five-point formula. */
const PRECISION = {
  float32: { step: 2 ** -5, tolerance: 4e-4 },
  float64: { step: 2 ** -10, tolerance: 1e-8 },
} as const;
/** Elements of an operand that are varied one by one; all of them together are varied along a random direction. */
const PROBED_ELEMENTS = 10;
const WEIGHTS = "weights";
const MISSING_KERNEL = /NOT_IMPLEMENTED|Could not find an implementation/;

interface Checked {
  readonly graph: Graph;
  readonly session: Session;
  readonly dtype: Float;
}

/** Loss = Σ weights · build(operands); outputs the result and the gradient of every operand that is not fixed. */
function assemble({ operands, build }: GradientCase, dtype: Float): Graph {
  const graph = new Graph("check");
  const values = operands.map(({ shape }, i) => graph.input(`x${i}`, dtype, shape));
  const result = build(values);
  const product = ops.mul(result, graph.input(WEIGHTS, result.dtype, result.shape));
  const loss = product.shape.length > 0 ? ops.reduceSum(product, [...product.shape.keys()], false) : product;
  graph.output("result", result);
  const sources = values.filter((_, i) => !operands[i].fixed);
  gradients(graph, loss, sources).forEach((gradient, i) => {
    graph.output(`gradient ${sources[i].name}`, gradient);
  });
  return graph;
}

async function open(example: GradientCase): Promise<Checked> {
  for (const dtype of example.dtype ? [example.dtype] : (["float64", "float32"] as const)) {
    const graph = assemble(example, dtype);
    try {
      return { graph, session: await Session.create(graph, { threads: 1 }), dtype };
    } catch (error) {
      if (dtype === "float32" || !MISSING_KERNEL.test(String(error))) throw error;
    }
  }
  throw new Error("unreachable");
}

const ARRAYS: Readonly<Partial<Record<DataType, { from(values: ArrayLike<number>): FloatArray }>>> = {
  float32: Float32Array,
  float64: Float64Array,
};

function filled(dtype: DataType, shape: Shape, sizes: Sizes, sample: () => number): Tensor & { data: FloatArray } {
  const lengths = shape.map((dim) => lengthOf(dim, sizes));
  const array = ARRAYS[dtype];
  assert.ok(array, `a tensor of ${dtype} cannot be differentiated`);
  return { data: array.from(Array.from({ length: lengths.reduce((a, b) => a * b, 1) }, sample)), shape: lengths };
}

function lengthOf(dim: Dim, sizes: Sizes): number {
  if (typeof dim === "number") return dim;
  if (sizes[dim] !== undefined) return sizes[dim];
  return dim.split("*").reduce((product, factor) => product * (sizes[factor] ?? Number(factor)), 1);
}

/** @returns the type in which it was checked, and which operators the graph has */
export async function checkGradients(example: GradientCase, seed: number): Promise<{ dtype: Float; graph: Graph }> {
  const { graph, session, dtype } = await open(example);
  try {
    for (const [run, sizes] of example.sizes.entries()) {
      const random = Random.fromSeed(seed).split(run);
      const feeds = Object.fromEntries(
        graph.inputs.map(({ name, dtype: type, shape }, i) => {
          const { sample = (stream: Random) => stream.normal() } = example.operands[i] ?? {};
          return [name, filled(type, shape, sizes, () => sample(random))];
        }),
      );
      await compareAll(session, example, feeds, dtype, random, JSON.stringify(sizes));
    }
  } finally {
    await session.close();
  }
  return { dtype, graph };
}

async function compareAll(
  session: Session,
  { operands }: GradientCase,
  feeds: Readonly<Record<string, Tensor & { data: FloatArray }>>,
  dtype: Float,
  random: Random,
  what: string,
): Promise<void> {
  const { step, tolerance } = PRECISION[dtype];
  const outputs = await session.run(feeds);
  for (const [i, { fixed }] of operands.entries()) {
    if (fixed) continue;
    const { data, shape } = feeds[`x${i}`];
    const gradient = outputs[`gradient x${i}`];
    assert.deepEqual([...gradient.shape], [...shape], `shape of the gradient of operand ${i}, ${what}`);
    const slopes = Array.from(gradient.data, Number);
    const largest = slopes.reduce((most, slope) => Math.max(most, Math.abs(slope)), 0);
    for (const direction of directions(data.length, random)) {
      const expected = await slopeAlong(session, feeds, `x${i}`, direction, step);
      let got = 0;
      let length = 0;
      for (const [at, share] of direction) {
        got += slopes[at] * share;
        length += Math.abs(share);
      }
      const bound = tolerance * Math.max(1, largest) * Math.max(1, Math.sqrt(length));
      assert.ok(
        Math.abs(got - expected) <= bound,
        `operand ${i}, ${what}, ${dtype}: expected a slope of ${expected}, got ${got} (elements ${[...direction.keys()]})`,
      );
    }
  }
}

/** Single elements, at most PROBED_ELEMENTS of them, and one direction through all. */
function directions(size: number, random: Random): ReadonlyMap<number, number>[] {
  const elements = random.shuffle(Array.from({ length: size }, (_, at) => at)).slice(0, PROBED_ELEMENTS);
  const whole = new Map(Array.from({ length: size }, (_, at) => [at, random.uniform() - 0.5]));
  return [...elements.map((at) => new Map([[at, 1]])), ...(size > 1 ? [whole] : [])];
}

/** Five-point formula: its error is of the fourth order in the step. */
async function slopeAlong(
  session: Session,
  feeds: Readonly<Record<string, Tensor & { data: FloatArray }>>,
  name: string,
  direction: ReadonlyMap<number, number>,
  step: number,
): Promise<number> {
  const weights = feeds[WEIGHTS].data;
  const { data: original, shape } = feeds[name];
  const lossAt = async (distance: number): Promise<number> => {
    const data = original.slice();
    for (const [at, share] of direction) data[at] += distance * share;
    const { result } = await session.run({ ...feeds, [name]: { data, shape } });
    return Array.from(result.data, Number).reduce((sum, value, at) => sum + value * weights[at], 0);
  };
  const near = (await lossAt(step)) - (await lossAt(-step));
  const far = (await lossAt(2 * step)) - (await lossAt(-2 * step));
  return (8 * near - far) / (12 * step);
}
