// Building graphs: names, constants, and errors that say operator, node, shapes and what was expected.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expectShape, Graph, type Value } from "./graph.js";
import * as ops from "./ops.js";

function inputs() {
  const graph = new Graph("demo");
  return {
    graph,
    x: graph.input("x", "float32", ["batch", 4]),
    y: graph.input("y", "float32", ["batch", 3]),
    double: graph.input("double", "float64", ["batch", 4]),
    weight: graph.input("weight", "float32", [4, 2]),
  };
}

type Inputs = ReturnType<typeof inputs>;

/** What is built, and what the error says. */
const REFUSED: readonly [string, (given: Inputs) => unknown, RegExp][] = [
  [
    "shapes that do not broadcast",
    ({ x, y }) => ops.add(x, y),
    /^Add node "Add": cannot broadcast \[batch, 4\] with \[batch, 3\]$/,
  ],
  [
    "two types",
    ({ x, double }) => ops.mul(x, double),
    /^Mul node "Mul": types differ, "x" is float32 and "double" is float64$/,
  ],
  [
    "inner dimensions",
    ({ y, weight }) => ops.matMul(y, weight),
    /^MatMul node "MatMul": inner dimensions differ, \[batch, 3\] times \[4, 2\]$/,
  ],
  [
    "inner dimensions after a transpose",
    ({ x, weight }) => ops.gemm(x, weight, null, { transB: true }),
    /Gemm node.*\[batch, 4\] times \[2, 4\]/,
  ],
  [
    "a product of vectors",
    ({ graph, weight }) => ops.matMul(graph.input("v", "float32", [4]), weight),
    /"v" has rank 1, expected at least 2/,
  ],
  [
    "Gemm of three axes",
    ({ graph, weight }) => ops.gemm(graph.input("t", "float32", [2, 2, 4]), weight, null),
    /"t" \[2, 2, 4\] is no matrix/,
  ],
  [
    "a bias that would widen the result",
    ({ graph, x, weight }) => ops.gemm(x, weight, graph.input("b", "float32", [3, 1, 2])),
    /bias \[3, 1, 2\] does not fit \[batch, 2\]/,
  ],
  [
    "other elements",
    ({ x }) => ops.reshape(x, ["batch", 5]),
    /^Reshape node "Reshape": \[batch, 4\] has other elements than \[batch, 5\]$/,
  ],
  [
    "unequal parts",
    ({ x }) => ops.split(x, 1, 3),
    /Split node.*cannot split axis 1 of \[batch, 4\] into 3 equal parts/,
  ],
  [
    "parts that do not fill the axis",
    ({ x }) => ops.splitInto(x, 1, [1, 2]),
    /Split node.*cannot split axis 1 of \[batch, 4\] into 1 \+ 2/,
  ],
  ["parts of a symbol", ({ x }) => ops.split(x, 0, 2), /cannot split axis 0/],
  [
    "an axis that is not there",
    ({ x }) => ops.reduceSum(x, [2]),
    /ReduceSum node.*axis 2 does not exist in a tensor of rank 2/,
  ],
  [
    "no permutation",
    ({ x }) => ops.transpose(x, [1, 1]),
    /Transpose node.*\[1,1\] does not permute the axes of \[batch, 4\]/,
  ],
  [
    "a norm of another width",
    ({ graph, x }) => ops.layerNorm(x, graph.input("w", "float32", [3]), null, 1e-5),
    /LayerNormalization node.*"w" has \[3\], expected \[4\]/,
  ],
  [
    "parts that differ beside the axis",
    ({ x, weight }) => ops.concat([x, weight], 0),
    /Concat: \[4, 2\] does not fit \[batch, 4\] beside axis 0/,
  ],
  [
    "a symbolic sum without a name",
    ({ x }) => ops.concat([x, x], 0),
    /Concat: axis 0 has the lengths batch \+ batch, stated as nothing/,
  ],
  ["a sum that is stated wrongly", ({ x }) => ops.concat([x, x], 1, 9), /lengths 4 \+ 4, stated as 9/],
  [
    "a slice that is stated wrongly",
    ({ x }) => ops.slice(x, 1, 1, null, 2),
    /Slice: elements 1 to the end of axis 1 of \[batch, 4\] are 3, stated as 2/,
  ],
  [
    "padding that is stated wrongly",
    ({ x }) => ops.pad(x, 1, 1, 1, 4),
    /Pad: 1 \+ 4 \+ 1 elements of axis 1, stated as 4/,
  ],
  [
    "repeating an axis that is not 1",
    ({ x }) => ops.expand(x, ["batch", 8]),
    /Expand: cannot broadcast \[batch, 4\] with \[batch, 8\]/,
  ],
  [
    "a symbol that nothing has",
    ({ x }) => ops.expand(x, ["tokens", "batch", 4]),
    /graph "demo": nothing has the dimension "tokens"/,
  ],
  [
    "a constant that is not full",
    ({ graph }) => graph.constant("float32", [2, 2], [1, 2, 3]),
    /3 numbers do not fill \[2, 2\]/,
  ],
  ["too few operands", ({ graph, x }) => graph.node("Add", [x]), /Add node "Add": expected 2 to 2 inputs, got 1/],
  [
    "a shape that cannot be inferred",
    ({ graph, x }) => graph.node("Concat", [x, x], { axis: 0 }),
    /Concat node.*must state the result shape/,
  ],
  [
    "a value of another graph",
    ({ graph, x }) => graph.node("Abs", [inputs().x, x].slice(0, 1)),
    /input "x" belongs to another graph/,
  ],
  [
    "an output of another graph",
    ({ graph }) => graph.output("z", inputs().x),
    /output "z" of graph "demo" belongs to another graph/,
  ],
  [
    "a second input of a name",
    ({ graph }) => graph.input("x", "float32", []),
    /graph "demo": a second value named "x"/,
  ],
  ["an output named like an input", ({ graph, x }) => graph.output("x", ops.abs(x)), /a second value named "x"/],
  ["an input given out under its own name", ({ graph, x }) => graph.output("x", x), /a second value named "x"/],
  [
    "a shape that is not the expected one",
    ({ x }) => expectShape("rows", x, ["batch", 3]),
    /^rows: expected \[batch, 3\], got \[batch, 4\] of "x"$/,
  ],
];

for (const [what, build, message] of REFUSED) {
  test(`refuses ${what}`, () => {
    assert.throws(() => build(inputs()), { name: "ShapeError", message });
  });
}

test("refuses operators without an entry, and names that are taken by a node", () => {
  const { graph, x } = inputs();
  assert.throws(() => graph.node("Tanh", [x]), { name: "UnsupportedOpError", message: /operator Tanh has no entry/ });
  const first = ops.abs(x);
  assert.throws(() => graph.output("Abs", ops.neg(x)), /a second value named "Abs"/);
  graph.output("Abs", first);
  assert.throws(() => graph.output("Abs", first), /a second value named "Abs"/);
});

test("names are unique, and say the scope", () => {
  const { graph, x } = inputs();
  graph.input("Abs_1", "float32", []);
  const made = graph.scope("layer0", () => [ops.abs(x), graph.scope("inner", () => ops.abs(x)), ops.abs(x)]);
  const plain = [ops.abs(x), ops.abs(x), ops.abs(x)];
  const names = [...made, ...plain].map(({ name }) => name);
  assert.deepEqual(names, ["layer0/Abs", "layer0/inner/Abs", "layer0/Abs_1", "Abs", "Abs_2", "Abs_3"]);
});

test("a scope ends even when building in it fails", () => {
  const { graph, x, y } = inputs();
  assert.throws(() => graph.scope("broken", () => ops.add(x, y)), /Add node "broken\/Add"/);
  assert.equal(ops.abs(x).name, "Abs");
});

test("equal constants are one, others are not", () => {
  const { graph } = inputs();
  const one = graph.constant("float32", [1], [1]);
  assert.equal(graph.constant("float32", [1], [1]), one);
  for (const other of [graph.constant("float64", [1], [1]), graph.constant("float32", [], [1])])
    assert.notEqual(other, one);
  const long = () => graph.constant("float32", [65], new Float32Array(65));
  assert.notEqual(long(), long());
});

test("operators that would do nothing are left out", () => {
  const { x } = inputs();
  for (const same of [
    (value: Value) => ops.reshape(value, ["batch", 4]),
    (value: Value) => ops.transpose(value, [0, 1]),
    (value: Value) => ops.cast(value, "float32"),
    (value: Value) => ops.scale(value, 1),
    (value: Value) => ops.expand(value, ["batch", 4]),
    (value: Value) => ops.reduceSum(value, []),
  ]) {
    assert.equal(same(x), x);
  }
});

test("results have their types and shapes at once", () => {
  const { graph, x, weight } = inputs();
  const bias = graph.input("bias", "float32", [2]);
  const shapes = [
    ops.gemm(x, weight, bias),
    ops.reduceMean(x, [-1]),
    ops.reduceSum(x, [0], false),
    ops.greater(x, ops.scalar(x, 0)),
    ops.fusedMatMul(weight, x, { transA: true, transB: true }),
    ops.concat([x, x], 1),
    graph.dimension("batch"),
  ].map(({ dtype, shape }) => `${dtype}[${shape}]`);
  assert.deepEqual(shapes, [
    "float32[batch,2]",
    "float32[batch,1]",
    "float32[4]",
    "bool[batch,4]",
    "float32[2,batch]",
    "float32[batch,8]",
    "int64[1]",
  ]);
});
