// The printed form of a graph, word for word.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph } from "./graph.js";
import * as ops from "./ops.js";
import { printGraph } from "./print.js";

test("one line a node: types and shapes of results, short constants in place, attributes by name", () => {
  const graph = new Graph("classify");
  const x = graph.input("x", "float32", ["batch", 4]);
  const weight = graph.input("weight", "float32", [3, 4]);
  const logits = graph.scope("head", () => ops.linear(x, weight, graph.constant("float32", [3], [0.5, 0, -1])));
  const large = graph.constant("float32", [3, 3], new Float32Array(9));
  graph.output("probabilities", ops.softmax(ops.matMul(logits, large)));
  const parts = ops.split(ops.reshape(x, ["batch", 2, 2]), 1, 2);
  graph.output("Split", parts[0]);
  assert.equal(
    printGraph(graph),
    `graph classify(x: float32[batch, 4], weight: float32[3, 4]) -> probabilities = Softmax, Split
  head/Gemm: float32[batch, 3] = Gemm(x, weight, {0.5, 0, -1}, transA=0, transB=1, alpha=1, beta=1)
  MatMul: float32[batch, 3] = MatMul(head/Gemm, constant: float32[3, 3])
  Softmax: float32[batch, 3] = Softmax(MatMul, axis=-1)
  Reshape: float32[batch, 2, 2] = Reshape(x, {0, 2, 2})
  Split: float32[batch, 1, 2], Split:1: float32[batch, 1, 2] = Split(Reshape, axis=1, num_outputs=2)
`,
  );
});

test("lists among attributes, and a graph without nodes", () => {
  const graph = new Graph("turned");
  const x = graph.input("x", "uint8", ["n", 2]);
  graph.output("y", ops.transpose(x, [1, 0]));
  assert.match(printGraph(graph), /\n {2}Transpose: uint8\[2, n\] = Transpose\(x, perm=\[1, 0\]\)\n$/);
  const empty = new Graph("empty");
  empty.output("y", empty.input("x", "bool", []));
  assert.equal(printGraph(empty), "graph empty(x: bool[]) -> y = x\n\n");
});
