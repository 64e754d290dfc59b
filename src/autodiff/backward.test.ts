// Reverse mode over whole graphs: accumulation, composites, sources anywhere, and errors that say where they come from.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Graph, type Value } from "../onnx/graph.js";
import { OPERATORS, type OperatorSpec } from "../onnx/operators.js";
import * as ops from "../onnx/ops.js";
import type { Shape } from "../onnx/shape.js";
import { readProfile } from "../runtime/profile.js";
import { Session } from "../runtime/session.js";
import { gradients } from "./backward.js";
import { checkGradients, type GradientCase } from "./gradient-check.test.support.js";
import { RULES, type Rule } from "./rules.js";

const SIZES = [
  { batch: 2, n: 3 },
  { batch: 1, n: 1 },
  { batch: 3, n: 2 },
];

async function agree(operands: readonly Shape[], build: GradientCase["build"]): Promise<void> {
  await checkGradients({ operands: operands.map((shape) => ({ shape })), build, sizes: SIZES }, 7);
}

test("a value that is used many times gets the sum of the gradients", async () => {
  await agree([["batch", 2]], ([x]) => ops.add(ops.mul(x, x), ops.mul(ops.exp(x), ops.sub(x, ops.mul(x, x)))));
});

test("reuse does not multiply the work: 2^20 paths, a few nodes", async () => {
  const graph = new Graph("doubling");
  const x = graph.input("x", "float32", []);
  let y = x;
  for (let i = 0; i < 20; i++) y = ops.add(y, y);
  const [slope] = gradients(graph, y, [x]);
  graph.output("slope", slope);
  assert.ok(graph.nodes.length <= 40, `expected at most 40 nodes, got ${graph.nodes.length}`);
  const session = await Session.create(graph, { threads: 1 });
  const result = await session.run({ x: { data: Float32Array.of(0.5), shape: [] } });
  assert.deepEqual([...result["slope"].data], [2 ** 20]);
  await session.close();
});

test("values that are computed again give the same gradients, and nothing else of the forward pass waits for them", async () => {
  const build = (recompute: boolean) => {
    const graph = new Graph("again");
    const x = graph.input("x", "float32", ["batch", 4]);
    const weight = graph.input("w", "float32", [4, 4]);
    const scale = graph.input("s", "float32", [2]);
    const offset = graph.constant("float32", [2], [0.5, -1]);
    const inner = ops.linear(x, weight, null);
    const active = ops.gelu(inner);
    const pairs = ops.reshape(active, ["2*batch", 2]);
    const normal = ops.layerNorm(pairs, scale, offset, 0.1);
    const joined = ops.reshape(normal, ["batch", 4]);
    const loss = ops.reduceSum(ops.mul(ops.linear(joined, weight, null), x), [0, 1], false);
    const forward = graph.nodes.length;
    const sources = [x, weight, scale];
    const results = gradients(graph, loss, sources, new Set(recompute ? [active, normal] : []));
    results.forEach((gradient, i) => {
      graph.output(`gradient ${sources[i].name}`, gradient);
    });
    const read = new Set(graph.nodes.slice(forward).flatMap(({ inputs }) => inputs));
    return { graph, kept: [inner, active, pairs, normal, joined].map((value) => read.has(value)) };
  };
  const feeds = {
    x: { data: Float32Array.from({ length: 12 }, (_, i) => Math.sin(i)), shape: [3, 4] },
    w: { data: Float32Array.from({ length: 16 }, (_, i) => Math.cos(i)), shape: [4, 4] },
    s: { data: Float32Array.of(2, -0.5), shape: [2] },
  };
  const results = [];
  for (const recompute of [false, true]) {
    const { graph, kept } = build(recompute);
    assert.deepEqual(kept, recompute ? [true, false, false, false, false] : [true, false, true, false, true]);
    const session = await Session.create(graph, { threads: 1 });
    results.push(await session.run(feeds));
    await session.close();
  }
  for (const [name, { data }] of Object.entries(results[0])) {
    const again = results[1][name].data;
    data.forEach((value, i) => {
      const difference = Math.abs(Number(value) - Number(again[i]));
      assert.ok(difference < 2e-6, `${name}, element ${i}: ${value} kept, ${again[i]} computed again`);
    });
  }
});

test("the runtime computes the gradients of a weight before those of earlier layers, so that nothing waits for them", async () => {
  const graph = new Graph("order");
  const weights = [0, 1, 2, 3].map((i) => graph.input(`w${i}`, "float32", [4, 4]));
  const x = graph.input("x", "float32", ["batch", 4]);
  const hidden = weights.reduce((state, weight) => ops.gelu(ops.linear(state, weight, null)), x);
  const loss = ops.reduceSum(ops.mul(hidden, hidden), [0, 1], false);
  gradients(graph, loss, weights).forEach((gradient, i) => {
    graph.output(`gradient ${weights[i].name}`, gradient);
  });
  const of = (name: string) => graph.outputs.find((output) => output.name === name)?.value.producer?.name ?? "";
  const folder = mkdtempSync(join(tmpdir(), "order-"));
  const session = await Session.create(graph, { threads: 1, profile: join(folder, "profile") });
  const matrix = { data: new Float32Array(16).fill(0.1), shape: [4, 4] };
  await session.run({
    x: { data: new Float32Array(8), shape: [2, 4] },
    w0: matrix,
    w1: matrix,
    w2: matrix,
    w3: matrix,
  });
  await session.close();
  const order = readProfile(join(folder, readdirSync(folder)[0])).map(({ node }) => node);
  rmSync(folder, { recursive: true });
  const places = [3, 2, 1, 0].map((i) => order.indexOf(of(`gradient w${i}`)));
  assert.ok(
    places.every((place) => place >= 0),
    `expected every gradient in the profile, got ${places}`,
  );
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  );
  const lastGelu = order.findLastIndex((node) => node.startsWith("gradient/Gelu/"));
  assert.ok(places[0] < lastGelu, `expected the gradient of the last weight at ${places[0]} before ${lastGelu}`);
});

test("a feed-forward block with norm and cross-entropy", async () => {
  await agree([["batch", 4], [6, 4], [6], [3, 6], [6], [6]], ([x, w1, b1, w2, weight, bias]) => {
    const hidden = ops.layerNorm(ops.gelu(ops.linear(x, w1, b1)), weight, bias, 0.1);
    return ops.logSoftmax(ops.linear(hidden, w2, null));
  });
});

test("attention over symbolic batch and length, heads split off and joined again", async () => {
  await agree(
    [
      ["batch", "n", 4],
      [12, 4],
      ["batch", 1, 1, "n"],
    ],
    ([x, weight, bias]) => {
      const rows = ops.reshape(x, ["batch*n", 4]);
      const joined = ops.reshape(ops.linear(rows, weight, null), ["batch", "n", 3, 2, 2]);
      const parts = ops.split(ops.transpose(joined, [2, 0, 3, 1, 4]), 0, 3);
      const [query, key, value] = parts.map((part) => ops.reshape(part, ["batch", 2, "n", 2]));
      const weights = ops.softmax(ops.add(ops.fusedMatMul(query, key, { transB: true, alpha: 0.7 }), bias));
      return ops.reshape(ops.transpose(ops.matMul(weights, value), [0, 2, 1, 3]), ["batch*n", 4]);
    },
  );
});

test("the parts of a concatenation and of a padded slice along a symbolic axis", async () => {
  await agree(
    [
      ["batch", "n", 2],
      ["batch", 1, 2],
    ],
    ([x, first]) => {
      const joined = ops.concat([first, ops.mul(x, x)], 1, "joined");
      return ops.pad(ops.slice(joined, 1, 1, null, "n"), 2, 1, 0, 3);
    },
  );
});

test("a bias along an axis whose length no input has", async () => {
  const graph = new Graph("joined");
  const x = graph.input("x", "float32", ["n", 2]);
  const bias = graph.input("bias", "float32", [2]);
  const sum = ops.add(ops.concat([x, x, x], 0, "joined"), bias);
  graph.output("slope", gradients(graph, scalarOf(ops.mul(sum, sum)), [bias])[0]);
  const session = await Session.create(graph, { threads: 1 });
  const feeds = {
    x: { data: Float32Array.of(1, 2), shape: [1, 2] },
    bias: { data: Float32Array.of(0, 1), shape: [2] },
  };
  assert.deepEqual(Array.from((await session.run(feeds))["slope"].data, Number), [6, 18]);
  await session.close();
});

test("a source may be a value in the middle of the graph", async () => {
  const graph = new Graph("middle");
  const x = graph.input("x", "float32", [2]);
  const middle = ops.exp(x);
  const loss = ops.reduceSum(ops.mul(middle, middle), [0], false);
  const [ofMiddle, ofX] = gradients(graph, loss, [middle, x]);
  graph.output("middle", ofMiddle);
  graph.output("x gradient", ofX);
  const session = await Session.create(graph, { threads: 1 });
  const result = await session.run({ x: { data: Float32Array.of(0, Math.LN2), shape: [2] } });
  assert.deepEqual(Array.from(result["middle"].data, Number), [2, 4]);
  assert.deepEqual(
    Array.from(result["x gradient"].data, Number).map((slope) => Math.round(slope * 1e5) / 1e5),
    [2, 8],
  );
  await session.close();
});

test("nothing is computed for operands that nobody asked about", () => {
  const graph = new Graph("partial");
  const x = graph.input("x", "float32", [2, 2]);
  const weight = graph.input("weight", "float32", [2, 2]);
  const loss = ops.reduceSum(ops.matMul(x, weight), [0, 1], false);
  const before = graph.nodes.length;
  gradients(graph, loss, [weight]);
  const products = graph.nodes.slice(before).filter(({ op }) => op.includes("MatMul"));
  assert.equal(products.length, 1);
});

function scalarOf(x: Value): Value {
  return ops.reduceSum(x, [...x.shape.keys()], false);
}

test("errors name the loss and the source", () => {
  const graph = new Graph("errors");
  const x = graph.input("x", "float32", ["n", 2]);
  const unused = graph.input("temperature", "float32", []);
  assert.throws(() => gradients(graph, x, [x]), {
    name: "ShapeError",
    message: "the loss must be a scalar, got [n, 2]",
  });
  assert.throws(() => gradients(graph, scalarOf(x), [unused]), {
    name: "ShapeError",
    message: 'the loss does not depend on "temperature"',
  });
});

/** Runs `act` with an operator that is not part of the library. */
function withOperator(op: string, spec: OperatorSpec, rule: Rule | null, act: () => void): void {
  const operators = OPERATORS as Record<string, OperatorSpec>;
  const rules = RULES as Record<string, Rule>;
  operators[op] = spec;
  if (rule) rules[op] = rule;
  try {
    act();
  } finally {
    delete operators[op];
    delete rules[op];
  }
}

const likeItsOperand: OperatorSpec = {
  inputs: [1, 1],
  infer: ({ inputs: [x] }) => [{ dtype: x.dtype, shape: x.shape }],
};

test("an operator without a rule is named, with its node; off the way to the loss it does not matter", () => {
  withOperator("Floor", likeItsOperand, null, () => {
    const graph = new Graph("rules");
    const x = graph.input("x", "float32", [2]);
    const floor = graph.scope("rounding", () => graph.node("Floor", [x])[0]);
    assert.throws(() => gradients(graph, scalarOf(floor), [x]), {
      name: "UnsupportedOpError",
      message: 'no gradient rule for operator Floor (node "rounding/Floor")',
    });
    gradients(graph, scalarOf(ops.mul(x, x)), [x]);
  });
});

test("a rule whose gradient has another shape than the operand is refused", () => {
  withOperator(
    "Floor",
    likeItsOperand,
    ({ gradients: [g] }) => [g && scalarOf(g)],
    () => {
      const graph = new Graph("rules");
      const x = graph.input("x", "float32", ["n", 2]);
      assert.throws(() => gradients(graph, scalarOf(graph.node("Floor", [x])[0]), [x]), {
        name: "ShapeError",
        message: 'gradient of Floor node "Floor": expected [n, 2] for "x", got []',
      });
    },
  );
});

/** What has no gradient: each names operator, node and shape. */
const REFUSED: readonly [string, Shape, (x: Value) => Value, RegExp][] = [
  ["a mean over a symbolic axis", ["n", 2], (x) => ops.reduceMean(x, [0]), /ReduceMean node "ReduceMean".*length n/],
  [
    "a slice from the end of a symbolic axis",
    ["n", 2],
    (x) => ops.slice(x, 0, -2, null, 2),
    /Slice node "Slice".*-2:.*n/,
  ],
  [
    "the middle of three symbolic parts",
    ["n", 2],
    (x) => ops.concat([ops.exp(x), ops.mul(x, x), ops.neg(x)], 0, "3*n"),
    /Concat node "Concat".*two symbolic lengths/,
  ],
  ["a softmax along the first axis", [3, 2], (x) => x.graph.node("Softmax", [x], { axis: 0 })[0], /axis 0 of \[3, 2\]/],
  [
    "a log-softmax along the first axis",
    [3, 2],
    (x) => x.graph.node("LogSoftmax", [x], { axis: -2 })[0],
    /LogSoftmax node "LogSoftmax".*axis -2/,
  ],
  [
    "the tanh form of GELU",
    [2],
    (x) => x.graph.node("Gelu", [x], { approximate: "tanh" })[0],
    /Gelu node "Gelu".*tanh/,
  ],
  [
    "a norm over a symbolic width",
    [2, "n"],
    (x) => ops.layerNorm(x, x.graph.input("w", "float32", ["n"]), null, 1e-5),
    /LayerNormalization node.*width n/,
  ],
  [
    "the mean that a norm gives out",
    [2, 3],
    (x) => x.graph.node("LayerNormalization", [x, x.graph.input("w", "float32", [3])], { axis: -1, epsilon: 1e-5 })[1],
    /LayerNormalization node.*mean/,
  ],
];

for (const [what, shape, build, message] of REFUSED) {
  test(`refuses the gradient of ${what}`, () => {
    const graph = new Graph("refused");
    const x = graph.input("x", "float32", shape);
    const loss = scalarOf(build(x));
    assert.throws(() => gradients(graph, loss, [x]), { name: "UnsupportedOpError", message });
  });
}

test("nothing passes through integers", () => {
  const graph = new Graph("steps");
  const x = graph.input("x", "float32", [2]);
  const rounded = ops.cast(ops.cast(x, "int32"), "float32");
  assert.throws(() => gradients(graph, scalarOf(rounded), [x]), /does not depend on "x"/);
});
