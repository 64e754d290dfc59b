// Reverse-mode differentiation: appends to a graph the nodes that compute the gradients of a scalar.
import { ShapeError, UnsupportedOpError } from "../errors.js";
import type { Graph, Node, Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { formatShape, sameShape } from "../onnx/shape.js";
import { AGAIN } from "./recompute.js";
import { RULES } from "./rules.js";

/** Values that depend on any of `sources`, the sources among them. */
function dependents(nodes: readonly Node[], sources: readonly Value[]): Set<Value> {
  const reached = new Set(sources);
  for (const node of nodes) {
    if (node.inputs.some((input) => reached.has(input))) for (const output of node.outputs) reached.add(output);
  }
  return reached;
}

/**
 * Gradients of `loss` (a scalar) with respect to each of `sources`, in their order.
 * @param recomputed values that are computed again where a gradient needs them, so that nothing keeps them until then
 * @throws UnsupportedOpError that names an operator on the way that has no rule; ShapeError when the loss is no scalar,
 *   does not depend on a source, or a rule returns a gradient of another shape than its operand.
 */
export function gradients(
  graph: Graph,
  loss: Value,
  sources: readonly Value[],
  recomputed: ReadonlySet<Value> = new Set(),
): readonly Value[] {
  if (loss.shape.length !== 0) throw new ShapeError(`the loss must be a scalar, got ${formatShape(loss.shape)}`);
  const forward = [...graph.nodes];
  const wanted = dependents(forward, sources);
  const parts = new Map<Value, Value[]>([[loss, [ops.scalar(loss, 1)]]]);
  const again = recomputation(recomputed);
  const gradientOf = (value: Value): Value | null => {
    const summands = parts.get(value);
    if (!summands) return null;
    const sum = summands.reduce(ops.add);
    parts.set(value, [sum]);
    return sum;
  };
  graph.scope("gradient", () => {
    for (const node of forward.reverse()) {
      if (!node.outputs.some((output) => parts.has(output) && wanted.has(output))) continue;
      propagate(node, wanted, gradientOf, parts, again);
    }
  });
  return sources.map((source) => {
    const gradient = gradientOf(source);
    if (!gradient) throw new ShapeError(`the loss does not depend on "${source.name}"`);
    return gradient;
  });
}

/**
 * Stands in for values that the backward pass computes again, each once, instead of keeping them from the forward pass; and for
 * their other shapes, which are the same memory.
 */
function recomputation(recomputed: ReadonlySet<Value>): (value: Value) => Value {
  const copies = new Map<Value, Value>();
  const isRecomputed = (value: Value): boolean =>
    recomputed.has(value) || (value.producer?.op === "Reshape" && isRecomputed(value.producer.inputs[0]));
  const again = (value: Value): Value => {
    const { producer } = value;
    if (!producer || !isRecomputed(value)) return value;
    const known = copies.get(value);
    if (known) return known;
    const { op, attributes, outputs } = producer;
    const inputs = producer.inputs.map(again);
    const copy =
      AGAIN[op] && value === outputs[0]
        ? AGAIN[op](producer, inputs)
        : value.graph.node(op, inputs, attributes, value.shape)[outputs.indexOf(value)];
    copies.set(value, copy);
    return copy;
  };
  return again;
}

function propagate(
  node: Node,
  wanted: ReadonlySet<Value>,
  gradientOf: (value: Value) => Value | null,
  parts: Map<Value, Value[]>,
  again: (value: Value) => Value,
): void {
  const rule = RULES[node.op];
  if (!rule) throw new UnsupportedOpError(`no gradient rule for operator ${node.op} (node "${node.name}")`);
  const results = node.inputs[0].graph.scope(node.name, () =>
    rule({
      node,
      inputs: node.inputs.map(again),
      outputs: node.outputs.map(again),
      gradients: node.outputs.map(gradientOf),
      wanted: node.inputs.map((input) => wanted.has(input)),
    }),
  );
  node.inputs.forEach((input, i) => {
    const gradient = results[i];
    if (!gradient || !wanted.has(input)) return;
    if (!sameShape(gradient.shape, input.shape)) {
      throw new ShapeError(
        `gradient of ${node.op} node "${node.name}": expected ${formatShape(input.shape)} for "${input.name}", got ${formatShape(gradient.shape)}`,
      );
    }
    parts.set(input, [...(parts.get(input) ?? []), gradient]);
  });
}
