// Rewrites a graph so that every node is an operator of the ONNX standard: what other runtimes can load.
import { UnsupportedOpError } from "../errors.js";
import { Graph, type Node, type Value } from "./graph.js";
import { liveNodes } from "./initializers.js";
import * as ops from "./ops.js";

type Rewrite = (node: Node, inputs: readonly Value[]) => readonly Value[];

/** How each operator outside of the standard is spelt within it. */
const REWRITES: Readonly<Record<string, Rewrite>> = {
  // The factor goes to the first operand before the product: the smaller tensor in attention.
  FusedMatMul: ({ attributes: { transA, transB, transBatchA, transBatchB, alpha = 1 } }, [a, b]) => {
    const left = ops.spelledOperand(a, transBatchA === 1, transA === 1);
    const right = ops.spelledOperand(b, transBatchB === 1, transB === 1);
    return [ops.matMul(ops.scale(left, alpha as number), right)];
  },
};

/** The scope a node was made in, from its name. */
function scopeOf({ name }: Node): string | null {
  const end = name.lastIndexOf("/");
  return end < 0 ? null : name.slice(0, end);
}

/**
 * The same computation in standard operators alone; nodes that no output needs are left out.
 * @throws UnsupportedOpError naming an operator that has no spelling in the standard
 */
export function standardGraph(graph: Graph): Graph {
  const copy = new Graph(graph.name);
  const values = new Map<Value, Value>();
  for (const input of graph.inputs) values.set(input, copy.input(input.name, input.dtype, input.shape));
  const mapped = (value: Value): Value => {
    const known = values.get(value);
    if (known) return known;
    if (!value.data)
      throw new UnsupportedOpError(`value "${value.name}" is computed by no node of graph "${graph.name}"`);
    const constant = copy.constant(value.dtype, value.shape as readonly number[], value.data);
    values.set(value, constant);
    return constant;
  };
  for (const node of liveNodes(graph)) {
    const inputs = node.inputs.map(mapped);
    const rewrite = REWRITES[node.op];
    if (node.domain && !rewrite) {
      throw new UnsupportedOpError(
        `${node.domain} ${node.op} node "${node.name}" has no spelling in standard operators`,
      );
    }
    const build = () =>
      rewrite ? rewrite(node, inputs) : copy.node(node.op, inputs, node.attributes, node.outputs[0].shape);
    const scope = scopeOf(node);
    const results = scope === null ? build() : copy.scope(scope, build);
    for (const [i, output] of node.outputs.entries()) values.set(output, results[i]);
  }
  for (const { name, value } of graph.outputs) copy.output(name, mapped(value));
  return copy;
}
