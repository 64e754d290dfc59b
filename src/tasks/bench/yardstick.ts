// The matrix products of a training graph alone: what the step would take if everything else were free.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Graph, type Node, type Value } from "../../onnx/graph.js";
import * as ops from "../../onnx/ops.js";
import { type Dim, symbolsOf } from "../../onnx/shape.js";
import { median } from "../../runtime/median.js";
import { PRODUCTS, readProfile } from "../../runtime/profile.js";
import { Session, type Tensor } from "../../runtime/session.js";

export interface Yardstick {
  /** Seconds of all products of a step, each measured by itself. */
  readonly seconds: number;
  /** Multiplications and additions, in units of 10⁹. */
  readonly gigaflops: number;
  readonly products: number;
  /** Different shapes among them. */
  readonly shapes: number;
}

/** Of each shape in a run, and runs; the median counts. */
const COPIES = 2;
const RUNS = 12;

interface Product {
  readonly node: Node;
  readonly shapes: readonly (readonly number[])[];
  readonly count: number;
}

function lengthOf(dim: Dim, sizes: Readonly<Record<string, number>>): number {
  if (typeof dim === "number") return dim;
  const coefficient = Number(/^\d+/.exec(dim)?.[0] ?? 1);
  return symbolsOf(dim).reduce((product, symbol) => product * sizes[symbol], coefficient);
}

/** The products of a graph by their shapes in a batch of these sizes. */
function distinctProducts(graph: Graph, sizes: Readonly<Record<string, number>>): Product[] {
  const products = new Map<string, Product>();
  for (const node of graph.nodes) {
    if (!PRODUCTS.has(node.op)) continue;
    const shapes = node.inputs.map(({ shape }) => shape.map((dim) => lengthOf(dim, sizes)));
    const key = JSON.stringify([node.op, node.attributes, shapes]);
    const known = products.get(key);
    products.set(key, { node, shapes, count: (known?.count ?? 0) + 1 });
  }
  return [...products.values()];
}

const elements = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);

function randomTensor(shape: readonly number[]): Tensor {
  const data = new Float32Array(elements(shape));
  for (let i = 0; i < data.length; i++) data[i] = Math.sin(i * 12.9898) * 0.5;
  return { data, shape };
}

/** What a product does: elements of its result times the terms of each, twice. */
function flopsOf({ node, shapes: [first] }: Product, result: readonly number[]): number {
  const inner = node.attributes["transA"] === 1 ? first[first.length - 2] : first[first.length - 1];
  return 2 * elements(result) * inner;
}

/** A graph of copies of each product; of every result one element is used. */
function copiesGraph(products: readonly Product[]): { graph: Graph; results: readonly (readonly number[])[] } {
  const graph = new Graph("products");
  const results = products.map(({ node, shapes }, i) => {
    const inputs = shapes.map((shape, k) => graph.input(`${i}/${k}`, "float32", shape));
    const copies = Array.from({ length: COPIES }, () =>
      graph.scope(`${i}`, () => graph.node(node.op, inputs, node.attributes)[0]),
    );
    const element = (copy: Value) =>
      ops.reshape(
        copy.shape.reduce((part: Value, _, axis) => ops.slice(part, axis, 0, 1, 1), copy),
        [1],
      );
    graph.output(`used ${i}`, ops.concat(copies.map(element), 0));
    return copies[0].shape as readonly number[];
  });
  return { graph, results };
}

/**
 * All products of a step by the runtime's own clock for operators, without its work between operators. Each shape follows on
 * copies of itself, with the same operands: what the hardware gives at best.
 * @param sizes length of every symbol in the batch that the step is compared with
 * @param between takes the steps: it is called between any two runs, so that a noisy machine disturbs both alike
 */
export async function measureProducts(
  graph: Graph,
  sizes: Readonly<Record<string, number>>,
  threads: number,
  between: () => Promise<void>,
): Promise<Yardstick> {
  const products = distinctProducts(graph, sizes);
  const { graph: copies, results } = copiesGraph(products);
  const folder = mkdtempSync(join(tmpdir(), "moleblend-products-"));
  const session = await Session.create(copies, { threads, profile: join(folder, "operators") });
  const feeds = Object.fromEntries(
    products.flatMap(({ shapes }, i) => shapes.map((shape, k) => [`${i}/${k}`, randomTensor(shape)])),
  );
  for (let i = 0; i < RUNS; i++) {
    await session.run(feeds);
    await between();
  }
  await session.close();
  const times = readProfile(join(folder, readdirSync(folder)[0]));
  rmSync(folder, { recursive: true });
  const secondsOf = (i: number) =>
    median(
      times.flatMap(({ op, node, milliseconds }) =>
        PRODUCTS.has(op) && node.startsWith(`${i}/`) ? [milliseconds] : [],
      ),
    ) / 1000;
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    seconds: sum(products.map(({ count }, i) => secondsOf(i) * count)),
    gigaflops: sum(products.map((product, i) => flopsOf(product, results[i]) * product.count)) / 1e9,
    products: sum(products.map(({ count }) => count)),
    shapes: products.length,
  };
}
