// The graph that says what a prediction rests on: the prediction, what enters the attention, and its gradients.
import { gradients } from "../autodiff/backward.js";
import { UnsupportedOpError } from "../errors.js";
import type { Graph, Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import type { ModelConfig } from "./config.js";
import { type TaskConfig, taskProbingGraph } from "./task-graphs.js";

/**
 * Inputs beside those of a training graph: "selected" [batch, outputs], 1 for the output to be explained of each molecule.
 *
 * Outputs: "logits" [batch, outputs]; "embedding" [batch * tokens, width] and "bias" [batch, heads, tokens, tokens], what enters
 * the first layer and every layer; their gradients "gradient.embedding" and "gradient.bias" of the selected logit; and the
 * attention probabilities "layer.I.weights" [batch, heads, tokens, tokens].
 */
export function explanationGraph(config: ModelConfig, task: TaskConfig): Graph {
  const graph = taskProbingGraph(config, task);
  const probes = new Map(graph.outputs.map(({ name, value }) => [name, value]));
  const probe = (name: string): Value => {
    const value = probes.get(name);
    if (!value) throw new UnsupportedOpError(`the model has no intermediate value "${name}"`);
    return value;
  };
  const [logits, embedding, bias] = ["logits", "embedding", "bias"].map(probe);
  const weights = Array.from({ length: config.layers }, (_, i) => `layer.${i}.weights`);
  const selected = graph.input("selected", logits.dtype, ["batch", task.outputs]);
  const score = ops.reduceSum(ops.mul(logits, selected), [0, 1], false);
  const [ofEmbedding, ofBias] = gradients(graph, score, [embedding, bias]);
  const wanted = new Set(["logits", "embedding", "bias", ...weights]);
  const kept = graph.outputs.filter(({ name }) => wanted.has(name));
  graph.outputs.splice(0, graph.outputs.length, ...kept);
  graph.output("gradient.embedding", ofEmbedding);
  graph.output("gradient.bias", ofBias);
  return graph;
}
