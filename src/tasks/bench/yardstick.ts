// The matrix products of a training graph alone: what the step would take if everything else were free.
import { Graph, type Node } from "../../onnx/graph.js";
import { type Dim, symbolsOf } from "../../onnx/shape.js";
import { PRODUCTS } from "../../runtime/profile.js";
import { Session, type Tensor } from "../../runtime/session.js";
import { median } from "./median.js";

export interface Yardstick {
  /** Seconds of all products of a step, each measured by itself. */
  readonly seconds: number;
  /** Multiplications and additions, in units of 10⁹. */
  readonly gigaflops: number;
  readonly products: number;
  /** Different shapes among them. */
  readonly shapes: number;
}

/** Runs of each shape; the median counts. */
const RUNS = 5;

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

/** Seconds of one product, its output written in place. */
async function timeProduct(
  { node, shapes }: Product,
  threads: number,
): Promise<{ seconds: number; output: readonly number[] }> {
  const graph = new Graph("product");
  const inputs = shapes.map((shape, i) => graph.input(`input${i}`, "float32", shape));
  const [result] = graph.node(node.op, inputs, node.attributes);
  graph.output("product", result);
  const session = await Session.create(graph, { threads, inPlace: true });
  const feeds = Object.fromEntries(shapes.map((shape, i) => [`input${i}`, randomTensor(shape)]));
  const output = result.shape as readonly number[];
  const into = { product: randomTensor(output) };
  const times: number[] = [];
  await session.runInPlace(feeds, into);
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now();
    await session.runInPlace(feeds, into);
    times.push(performance.now() - start);
  }
  await session.close();
  return { seconds: median(times) / 1000, output };
}

/** @param sizes length of every symbol in the batch that the step is compared with */
export async function measureProducts(
  graph: Graph,
  sizes: Readonly<Record<string, number>>,
  threads: number,
): Promise<Yardstick> {
  const products = distinctProducts(graph, sizes);
  let seconds = 0;
  let flops = 0;
  for (const product of products) {
    const { seconds: each, output } = await timeProduct(product, threads);
    seconds += each * product.count;
    const [first] = product.shapes;
    const inner = product.node.attributes["transA"] === 1 ? first[first.length - 2] : first[first.length - 1];
    flops += 2 * elements(output) * inner * product.count;
  }
  const count = products.reduce((sum, product) => sum + product.count, 0);
  return { seconds, gigaflops: flops / 1e9, products: count, shapes: products.length };
}
