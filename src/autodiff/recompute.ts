// What the gradient of an operator and making its result again have in common, so that each is computed once.
import type { Node, Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";

/** x / √2, which Φ(x) and φ(x) have in common; made once for a node. */
function geluArgument(node: Node, x: Value): Value {
  return x.graph.once(`gelu argument ${node.name}`, () => ops.scale(x, Math.SQRT1_2));
}

/** Φ(x) = (1 + erf(x / √2)) / 2, made once for a node. */
function normalDistribution(node: Node, x: Value): Value {
  return x.graph.once(`normal distribution ${node.name}`, () =>
    ops.hardSigmoid(ops.erf(geluArgument(node, x)), 0.5, 0.5),
  );
}

/** The derivative of x Φ(x): Φ(x) + x φ(x), φ(x) = exp(-x²/2) / √(2π). */
export function geluDerivative(node: Node, x: Value): Value {
  const t = geluArgument(node, x);
  const density = ops.exp(ops.sub(ops.scalar(x, -Math.log(2 * Math.PI) / 2), ops.mul(t, t)));
  return ops.add(normalDistribution(node, x), ops.mul(x, density));
}

/** x̂ = (x - mean)·invStd of a LayerNormalization from the statistics that it gave, made once for a node. */
export function standardized({ name, outputs: [, mean, invStd] }: Node, x: Value): Value {
  // The statistics are float32 whatever the type of x.
  return x.graph.once(`standardized ${name}`, () =>
    ops.mul(ops.sub(x, ops.cast(mean, x.dtype)), ops.cast(invStd, x.dtype)),
  );
}

/**
 * Results of operators that a backward pass makes again from parts which their gradients need as well, or from statistics that
 * were kept, for less than at first.
 */
export const AGAIN: Readonly<Record<string, (node: Node, inputs: readonly Value[]) => Value>> = {
  Gelu: (node, [x]) => ops.mul(x, normalDistribution(node, x)),
  LayerNormalization: (node, [x, weight, bias]) => {
    const scaled = ops.mul(standardized(node, x), weight);
    return bias ? ops.add(scaled, bias) : scaled;
  },
};
