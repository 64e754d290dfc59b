// The rewrite into standard operators computes the same, and an exported model carries its parameters.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { UnsupportedOpError } from "../errors.js";
import { Random } from "../random.js";
import { runOnnxFile } from "../runtime/onnx-file.js";
import { Session } from "../runtime/session.js";
import { encodeModel } from "./encode.js";
import { Graph } from "./graph.js";
import { externalData } from "./initializers.js";
import * as ops from "./ops.js";
import { standardGraph } from "./standard.js";

/** Every way of a fused product, in a scope, with a constant and two outputs. */
function fusedGraph(): Graph {
  const graph = new Graph("products");
  const x = graph.input("x", "float32", ["batch", 3, 4]);
  const weight = graph.input("weight", "float32", [3, 4]);
  graph.scope("part/inner", () => {
    const both = ops.fusedMatMul(x, ops.reshape(weight, [1, 3, 4]), { transB: true, alpha: 0.3 }); // [batch, 3, 3]
    const left = ops.fusedMatMul(both, x, { transA: true, alpha: 2 }); // [batch, 3, 4]
    graph.output("products", ops.add(left, ops.scalar(left, 0.5)));
    graph.output("first", both);
    // Three matrices, the rows of which lie one a batch.
    const apart = { transA: true, transBatchA: true, transBatchB: true };
    graph.output("apart", ops.fusedMatMul(x, x, apart)); // [3, 4, 4]
  });
  return graph;
}

const random = Random.fromSeed(5);
const numbers = (size: number) => Float32Array.from({ length: size }, () => random.normal());

test("fused products become standard operators that compute the same", async () => {
  const graph = fusedGraph();
  const standard = standardGraph(graph);
  assert.deepEqual(new Set(standard.nodes.map(({ domain }) => domain)), new Set([""]));
  assert.ok(
    standard.nodes.some(({ name }) => name.startsWith("part/inner/")),
    "scopes are kept",
  );
  const feeds = { x: { data: numbers(24), shape: [2, 3, 4] }, weight: { data: numbers(12), shape: [3, 4] } };
  const results = [];
  for (const each of [graph, standard]) {
    const session = await Session.create(each, { threads: 1 });
    results.push(await session.run(feeds));
    await session.close();
  }
  for (const name of ["products", "first", "apart"]) {
    assert.deepEqual(results[1][name].shape, results[0][name].shape);
    for (const [i, value] of Array.from(results[0][name].data as Float32Array).entries()) {
      assert.ok(Math.abs(value - Number(results[1][name].data[i])) < 1e-5);
    }
  }
});

test("an operator without a standard spelling is named", () => {
  const graph = new Graph("odd");
  const x = graph.input("x", "float32", [2, 2]);
  const value = graph.node("Abs", [x])[0];
  const node = { ...(value.producer as NonNullable<typeof value.producer>), domain: "com.microsoft", op: "Odd" };
  const odd = { ...value, producer: node };
  graph.nodes.splice(0, 1, node);
  graph.output("y", odd);
  assert.throws(
    () => standardGraph(graph),
    (error: Error) => error instanceof UnsupportedOpError && /Odd/.test(error.message),
  );
});

test("initializers inside the model and in a file beside it give the same", async () => {
  const graph = standardGraph(fusedGraph());
  const weight = numbers(12);
  const initializers = new Map([["weight", weight]]);
  const folder = mkdtempSync(join(tmpdir(), "moleblend-onnx-"));
  try {
    const inside = join(folder, "inside.onnx");
    const outside = join(folder, "outside.onnx");
    writeFileSync(inside, encodeModel(graph, { initializers, metadata: { key: "välue" } }));
    writeFileSync(outside, encodeModel(graph, { initializers, externalFile: "outside.data" }));
    writeFileSync(join(folder, "outside.data"), Buffer.concat([...externalData(graph, initializers)]));
    const feeds = { x: { data: numbers(24), shape: [2, 3, 4] } };
    const [a, b] = [await runOnnxFile(inside, feeds), await runOnnxFile(outside, feeds)];
    assert.deepEqual(a.inputs, ["x"], "a parameter is no input");
    assert.deepEqual(a.results, b.results);
    assert.throws(() => encodeModel(graph, { initializers: new Map([["weight", numbers(5)]]) }), /"weight": 5 numbers/);
    await assert.rejects(runOnnxFile(join(folder, "none.onnx"), feeds), /none\.onnx: ONNX Runtime/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
