// Prints a graph so that a person can read it: one line a node, types and shapes at every result.
import type { Attribute, Graph, Value } from "./graph.js";
import { formatShape } from "./shape.js";

const type = ({ dtype, shape }: Value): string => `${dtype}${formatShape(shape)}`;

function operand(value: Value): string {
  if (!value.data) return value.name;
  return value.data.length <= 8 ? `{${Array.from(value.data).join(", ")}}` : `${value.name}: ${type(value)}`;
}

const attribute = (value: Attribute): string => (typeof value === "object" ? `[${value.join(", ")}]` : String(value));

/**
 * For example
 * ```
 * graph loss(x: float32[batch, 3]) -> total
 *   Mul: float32[batch, 3] = Mul(x, x)
 * ```
 */
export function printGraph(graph: Graph): string {
  const inputs = graph.inputs.map((input) => `${input.name}: ${type(input)}`).join(", ");
  const outputs = graph.outputs
    .map(({ name, value }) => (name === value.name ? name : `${name} = ${value.name}`))
    .join(", ");
  const lines = graph.nodes.map(({ op, inputs: operands, outputs: results, attributes }) => {
    const left = results.map((result) => `${result.name}: ${type(result)}`).join(", ");
    const named = Object.entries(attributes).map(([name, value]) => `${name}=${attribute(value)}`);
    return `  ${left} = ${op}(${[...operands.map(operand), ...named].join(", ")})`;
  });
  return `graph ${graph.name}(${inputs}) -> ${outputs}\n${lines.join("\n")}\n`;
}
