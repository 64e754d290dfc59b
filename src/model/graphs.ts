// The graphs of MoleBLEND: a training step (losses and gradients) and an evaluation (losses and predictions).
import { gradients } from "../autodiff/backward.js";
import { Graph, type Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { checkConfig, type DropoutConfig, type LossWeights, type ModelConfig, NO_DROPOUT } from "./config.js";
import { encode } from "./encoder.js";
import { type Predictions, predict } from "./heads.js";
import { dropoutInputs, ModelInputs } from "./inputs.js";
import { type Losses, losses } from "./losses.js";
import { parameterSpecs } from "./parameters.js";

/** Order of the terms in the output "losses". */
export const LOSS_TERMS = ["total", "noise", "spd", "edge", "geometry"] as const;
export type LossTerm = (typeof LOSS_TERMS)[number];

/** Outputs with the predictions of each head. */
export const HEAD_OUTPUTS = ["spd", "edge", "geometry", "noise"] as const;

interface Assembled {
  readonly graph: Graph;
  readonly inputs: ModelInputs;
  readonly predictions: Predictions;
  readonly losses: Losses;
}

function assemble(name: string, config: ModelConfig, dropout: DropoutConfig, weights: LossWeights): Assembled {
  checkConfig(config);
  const graph = new Graph(name);
  const inputs = new ModelInputs(graph, parameterSpecs(config), dropoutInputs(config, dropout));
  const encoded = encode(inputs, config, true);
  const predictions = predict(inputs, encoded.states[config.layers], encoded.bias, config);
  const terms = losses(inputs, predictions, config, weights);
  graph.output(
    "losses",
    ops.concat(
      LOSS_TERMS.map((term) => ops.reshape(terms[term], [1])),
      0,
    ),
  );
  return { graph, inputs, predictions, losses: terms };
}

/** Name of the output that holds the gradient of a parameter. */
export const gradientName = (parameter: string): string => `gradient ${parameter}`;

/**
 * What is cheap to compute is computed again in the backward pass of a wide model: kept, it would be most of a step's memory. Narrow
 * models do so with casts alone, which take four times the memory of what they cast.
 */
export const recomputes = ({ width }: ModelConfig): boolean => width >= 512;

const isCast = ({ producer }: Value): boolean => producer?.op === "Cast";

/**
 * Gives out the gradient of each of these parameters: the elements of the parameter, in the shape in which they were computed
 * (a bias may come as [1, width]).
 */
export function outputGradients(
  inputs: ModelInputs,
  loss: Value,
  parameters: readonly string[],
  recompute: boolean,
): void {
  const sources = parameters.map((name) => inputs.parameter(name));
  const recomputed = recompute ? inputs.recomputed : new Set([...inputs.recomputed].filter(isCast));
  for (const [i, gradient] of gradients(inputs.graph, loss, sources, recomputed).entries()) {
    const { producer } = gradient;
    inputs.graph.output(gradientName(parameters[i]), producer?.op === "Reshape" ? producer.inputs[0] : gradient);
  }
}

/** Inputs: batch fields, dropout multipliers, parameters. Outputs: "losses" [5] and the gradient of every parameter. */
export function trainingGraph(
  config: ModelConfig,
  dropout: DropoutConfig,
  weights: LossWeights,
  recompute = recomputes(config),
): Graph {
  const { graph, inputs, losses: terms } = assemble("train", config, dropout, weights);
  outputGradients(inputs, terms.total, [...inputs.usedParameters], recompute);
  return graph;
}

/** No dropout. Outputs: "losses" [5], the logits and predictions of every head. */
export function evaluationGraph(config: ModelConfig, weights: LossWeights): Graph {
  const { graph, predictions } = assemble("evaluate", config, NO_DROPOUT, weights);
  for (const head of HEAD_OUTPUTS) graph.output(head, predictions[head]);
  return graph;
}

/** The training forward pass with every intermediate that has a name, for comparison with another implementation. */
export function probingGraph(config: ModelConfig, dropout: DropoutConfig, weights: LossWeights): Graph {
  const { graph, inputs, predictions } = assemble("probe", config, dropout, weights);
  for (const [name, value] of inputs.probes) graph.output(name, value);
  for (const head of HEAD_OUTPUTS) graph.output(head, predictions[head]);
  return graph;
}
