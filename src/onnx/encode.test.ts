// Encoded models, loaded by ONNX Runtime: names, types, values given out twice or unchanged, and what is left out.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Session, type Tensor } from "../runtime/session.js";
import { encodeModel, liveNodes } from "./encode.js";
import { type DataType, Graph } from "./graph.js";
import * as ops from "./ops.js";

const vector = (...values: number[]): Tensor => ({ data: Float32Array.from(values), shape: [values.length] });

async function run(graph: Graph, feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>> {
  const session = await Session.create(graph, { threads: 1 });
  const outputs = await session.run(feeds);
  await session.close();
  return outputs;
}

const numbers = ({ data }: Tensor) => Array.from(data, Number);

test("an output that is an input, a value given out twice, and a constant", async () => {
  const graph = new Graph("copies");
  const x = graph.input("x", "float32", ["n"]);
  const square = ops.mul(x, x);
  graph.output("same", x);
  graph.output("square", square);
  graph.output("again", square);
  graph.output("third", square);
  graph.output("fixed", graph.constant("float32", [2], [7, 8]));
  const outputs = await run(graph, { x: vector(1, 2, 3) });
  assert.deepEqual(Object.keys(outputs), ["same", "square", "again", "third", "fixed"]);
  assert.deepEqual(Object.values(outputs).map(numbers), [
    [1, 2, 3],
    [1, 4, 9],
    [1, 4, 9],
    [1, 4, 9],
    [7, 8],
  ]);
});

test("an output that later nodes use keeps its value under its public name", async () => {
  const graph = new Graph("middle");
  const x = graph.input("x", "float32", ["n"]);
  const middle = ops.add(x, x);
  graph.output("middle value", middle);
  graph.output("end", ops.mul(middle, middle));
  const outputs = await run(graph, { x: vector(1, 3) });
  assert.deepEqual(Object.values(outputs).map(numbers), [
    [2, 6],
    [4, 36],
  ]);
});

test("a generated name that an output has taken is not used again", async () => {
  const graph = new Graph("taken");
  const x = graph.input("x", "float32", ["n"]);
  graph.output("Abs", ops.neg(x));
  graph.output("absolute", ops.abs(x));
  const outputs = await run(graph, { x: vector(-2) });
  assert.deepEqual(Object.values(outputs).map(numbers), [[2], [2]]);
});

/** A value of each type, as fed and as it comes back. */
const TYPES: Readonly<Record<DataType, Tensor>> = {
  float32: { data: Float32Array.of(-1.5, 3e38), shape: [2] },
  float64: { data: Float64Array.of(Math.PI, -1e300), shape: [2] },
  uint8: { data: Uint8Array.of(0, 255), shape: [2] },
  int32: { data: Int32Array.of(-(2 ** 31), 2 ** 31 - 1), shape: [2] },
  int64: { data: BigInt64Array.of(-5n, 2n ** 53n), shape: [2] },
  bool: { data: Uint8Array.of(0, 1), shape: [2] },
};

for (const [dtype, tensor] of Object.entries(TYPES) as [DataType, Tensor][]) {
  test(`${dtype}: an input comes through, a constant arrives`, async () => {
    const graph = new Graph(dtype);
    graph.output("y", graph.input("x", dtype, ["n"]));
    graph.output("c", graph.constant(dtype, [2], numbers(tensor)));
    const { y, c } = await run(graph, { x: tensor });
    assert.deepEqual([y.data, c.data], [tensor.data, tensor.data]);
    assert.deepEqual([...y.shape], [2]);
  });
}

test("scalars, empty lists of axes and symbols that are 1 keep their rank", async () => {
  const graph = new Graph("ranks");
  const x = graph.input("x", "float32", ["a", 1, "b"]);
  graph.output("sum", ops.reduceSum(x, [0, 1, 2], false));
  graph.output("same", ops.reduceSum(x, []));
  const outputs = await run(graph, { x: { data: Float32Array.of(5), shape: [1, 1, 1] } });
  assert.deepEqual([[...outputs["sum"].shape], [...outputs["same"].shape]], [[], [1, 1, 1]]);
});

test("nodes and constants that no output needs are not written; the inputs stay", async () => {
  const graph = new Graph("dead");
  const x = graph.input("x", "float32", ["n"]);
  const unused = graph.input("unused", "float32", []);
  const kept = ops.exp(x);
  const table = graph.constant("float32", [100], new Float32Array(100));
  const dead = ops.mul(ops.log(x), ops.reduceSum(table, [0], false));
  ops.add(dead, unused);
  graph.output("y", kept);
  assert.deepEqual(
    liveNodes(graph).map(({ name }) => name),
    ["Exp"],
  );
  const text = Buffer.from(encodeModel(graph)).toString("latin1");
  assert.ok(text.includes("Exp") && text.includes("unused") && !text.includes("Log") && !text.includes("constant"));
  await run(graph, { x: vector(0), unused: { data: Float32Array.of(1), shape: [] } });
});

test("nodes are written in the order of computation, once each", () => {
  const graph = new Graph("order");
  const x = graph.input("x", "float32", ["n"]);
  const [a, b] = [ops.exp(x), ops.abs(x)];
  graph.output("sum", ops.add(b, a));
  graph.output("difference", ops.sub(a, b));
  assert.deepEqual(
    liveNodes(graph).map(({ op }) => op),
    ["Exp", "Abs", "Add", "Sub"],
  );
});

test("only graphs that use Microsoft's operators ask for that domain", () => {
  const encoded = (build: (graph: Graph) => void) => {
    const graph = new Graph("domains");
    build(graph);
    return Buffer.from(encodeModel(graph)).toString("latin1").includes("com.microsoft");
  };
  const matrices = (graph: Graph) => [graph.input("a", "float32", [2, 2]), graph.input("b", "float32", [2, 2])];
  assert.equal(
    encoded((graph) => graph.output("y", ops.matMul(matrices(graph)[0], graph.inputs[1]))),
    false,
  );
  assert.equal(
    encoded((graph) => graph.output("y", ops.fusedMatMul(matrices(graph)[0], graph.inputs[1], {}))),
    true,
  );
});

test("the same graph gives the same bytes", () => {
  const build = () => {
    const graph = new Graph("bytes");
    const x = graph.input("x", "float32", ["n", 2]);
    graph.output("y", ops.softmax(ops.gemm(x, graph.constant("float32", [2, 2], [1, 2, 3, 4]), null, { alpha: 0.5 })));
    return encodeModel(graph);
  };
  assert.deepEqual(build(), build());
});
