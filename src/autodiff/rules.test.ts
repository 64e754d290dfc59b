// Every gradient rule against finite differences, and that no rule is without a test nor an operator without a rule.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Graph } from "../onnx/graph.js";
import { OPERATORS } from "../onnx/operators.js";
import * as ops from "../onnx/ops.js";
import { gradients } from "./backward.js";
import { ELEMENTWISE_CASES } from "./elementwise-cases.test.support.js";
import { checkGradients } from "./gradient-check.test.support.js";
import { RULES } from "./rules.js";
import { STRUCTURAL_CASES } from "./structural-cases.test.support.js";

const CASES = { ...ELEMENTWISE_CASES, ...STRUCTURAL_CASES };
/** Operators whose result does not change with their operand: their rule says that there is no gradient. */
const CONSTANT = ["Greater", "Shape", "Sign"];
const RUNS = 30;

test("every operator has a rule, every rule an operator and a gradient check", () => {
  const rules = Object.keys(RULES).sort();
  assert.deepEqual(Object.keys(OPERATORS).sort(), rules, "operators and rules");
  assert.deepEqual([...Object.keys(CASES), ...CONSTANT].sort(), rules, "gradient checks and rules");
});

for (const [op, cases] of Object.entries(CASES)) {
  test(`gradient of ${op} equals finite differences`, async (context) => {
    const types = new Set<string>();
    let seen = 0;
    await fc.assert(
      fc.asyncProperty(cases, fc.nat(1e6), async (example, seed) => {
        const { dtype, graph } = await checkGradients(example, seed);
        types.add(dtype);
        if (graph.nodes.some((node) => node.op === op && !node.name.startsWith("gradient/"))) seen++;
      }),
      { numRuns: RUNS, seed: 20230706, includeErrorInReport: true },
    );
    assert.ok(seen > RUNS / 2, `expected ${op} in most of the graphs, got it in ${seen} of ${RUNS}`);
    context.diagnostic(`checked in ${[...types].join(" and ")}`);
  });
}

for (const op of CONSTANT) {
  test(`${op} passes no gradient on`, () => {
    const graph = new Graph("constant");
    const x = graph.input("x", "float32", ["n"]);
    const result = op === "Greater" ? ops.greater(x, ops.scalar(x, 0)) : graph.node(op, [x])[0];
    const loss = ops.reduceSum(ops.cast(result, "float32"), [0], false);
    assert.throws(() => gradients(graph, loss, [x]), { name: "ShapeError", message: /does not depend on "x"/ });
  });
}
