// The graphs of a fine-tuned model: a head on the encoder, its losses and gradients, and predictions.
import { Graph, type Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { checkConfig, type DropoutConfig, type ModelConfig, NO_DROPOUT } from "./config.js";
import { encode } from "./encoder.js";
import { outputGradients, recomputes } from "./graphs.js";
import { dropoutInputs, ModelInputs } from "./inputs.js";
import { taskSpecs } from "./parameters.js";

/**
 * - binary: sigmoid cross-entropy of each task
 * - regression: squared error of each task
 * - classes: softmax cross-entropy of one task with many classes
 */
export type TaskKind = "binary" | "regression" | "classes";

/** What of a molecule the head reads: the graph token, the mean or the sum over the atoms (reference: of every token). */
export type Readout = "cls" | "mean" | "sum";

/**
 * What the pairs and atoms of a molecule show. The features of the atoms themselves are always there.
 * - 2d: path lengths, bonds along them, degrees
 * - 3d: distances alone
 * - both: all of them (reference `--add-3d`)
 */
export const TASK_MODES = ["2d", "3d", "both"] as const;
export type TaskMode = (typeof TASK_MODES)[number];

/** Whether 3D relations enter, and with them coordinates and the `geometry.*` parameters. */
export function readsGeometry(mode: TaskMode): boolean {
  return mode !== "2d";
}

export interface TaskConfig {
  readonly kind: TaskKind;
  /** Tasks, or classes. */
  readonly outputs: number;
  readonly readout: Readout;
  readonly mode: TaskMode;
}

/** dense, GELU, projection (reference head of `MoleBlendMolnet`). [rows, outputs] */
function head(inputs: ModelInputs, states: Value): Value {
  const dense = ops.linear(states, inputs.parameter("task.dense.weight"), inputs.parameter("task.dense.bias"));
  return ops.linear(ops.gelu(dense), inputs.parameter("task.out.weight"), inputs.parameter("task.out.bias"));
}

/**
 * The output of the head. [batch, outputs]
 * @param hidden the last layer. [batch * tokens, width]
 * @param weights makes the weights of the tokens [batch, tokens], which the readout `cls` does without
 */
export function readOut(
  inputs: ModelInputs,
  hidden: Value,
  { readout, outputs }: TaskConfig,
  width: number,
  weights: () => Value,
): Value {
  if (readout === "cls") {
    const tokens = ops.reshape(hidden, ["batch", "tokens", width]);
    return head(inputs, ops.reshape(ops.slice(tokens, 1, 0, 1, 1), ["batch", width]));
  }
  const perToken = ops.reshape(head(inputs, hidden), ["batch", "tokens", outputs]);
  return ops.reshape(ops.matMul(ops.reshape(weights(), ["batch", 1, "tokens"]), perToken), ["batch", outputs]);
}

function sumAll(x: Value): Value {
  return ops.reduceSum(x, [...x.shape.keys()], false);
}

/** log(1 + exp(x)) - x·y, written so that neither sign of x overflows. */
function binaryCrossEntropy(logits: Value, labels: Value): Value {
  const zero = ops.scalar(logits, 0);
  const tail = ops.log(ops.add(ops.exp(ops.neg(ops.abs(logits))), ops.scalar(logits, 1)));
  return ops.add(ops.sub(ops.max(logits, zero), ops.mul(logits, labels)), tail);
}

function loss(inputs: ModelInputs, logits: Value, { kind, outputs }: TaskConfig): Value {
  const { graph, dtype } = inputs;
  const labels = graph.input("labels", dtype, ["batch", outputs]);
  const weights = graph.input("label_weights", dtype, ["batch", kind === "classes" ? 1 : outputs]);
  if (kind === "classes") return ops.neg(sumAll(ops.mul(ops.mul(ops.logSoftmax(logits), labels), weights)));
  const difference = ops.sub(logits, labels);
  const each = kind === "binary" ? binaryCrossEntropy(logits, labels) : ops.mul(difference, difference);
  return sumAll(ops.mul(each, weights));
}

function assemble(name: string, config: ModelConfig, task: TaskConfig, dropout: DropoutConfig) {
  checkConfig(config);
  const graph = new Graph(name);
  const geometry = readsGeometry(task.mode);
  const inputs = new ModelInputs(graph, taskSpecs(config, task.outputs, geometry), taskDropoutInputs(config, dropout));
  const { states } = encode(inputs, config, geometry);
  const weights = () => graph.input("readout_weights", inputs.dtype, ["batch", "tokens"]);
  return { graph, inputs, states, logits: readOut(inputs, states[config.layers], task, config.width, weights) };
}

/** The dropout places of a fine-tuned model: those of pretraining without the denoising head. */
export function taskDropoutInputs(config: ModelConfig, dropout: DropoutConfig) {
  return dropoutInputs(config, { ...dropout, denoising: 0 });
}

/**
 * Further graph inputs of a fine-tuned model, beside the batch fields.
 * - readout_weights [batch, tokens]: the weight of each token in the readout `mean` or `sum`
 * - labels [batch, outputs], label_weights [batch, outputs] (classes: [batch, 1]): targets, and their weights in the loss, which
 *   sum to 1 where the loss is a mean; 0 where a label is missing
 *
 * Outputs: "losses" [1], the logits [batch, outputs], and the gradients of the parameters in `trained`; the others are
 * frozen and cost no backward pass.
 */
export function taskTrainingGraph(
  config: ModelConfig,
  task: TaskConfig,
  dropout: DropoutConfig,
  trained: (parameter: string) => boolean = () => true,
): Graph {
  const { graph, inputs, logits } = assemble("finetune", config, task, dropout);
  const total = loss(inputs, logits, task);
  graph.output("losses", ops.reshape(total, [1]));
  outputGradients(inputs, total, inputs.usedParameters.filter(trained), recomputes(config));
  return graph;
}

/**
 * Output: "logits" [batch, outputs], in the units of the head.
 * @param dropout stays on where an uncertainty is wanted from several draws
 */
export function predictionGraph(config: ModelConfig, task: TaskConfig, dropout: DropoutConfig = NO_DROPOUT): Graph {
  const { graph, logits } = assemble("predict", config, task, dropout);
  graph.output("logits", logits);
  return graph;
}

/** The loss and every named intermediate, for comparison with another implementation. */
export function taskProbingGraph(config: ModelConfig, task: TaskConfig): Graph {
  const { graph, inputs, logits } = assemble("probe task", config, task, NO_DROPOUT);
  graph.output("losses", ops.reshape(loss(inputs, logits, task), [1]));
  graph.output("logits", logits);
  for (const [name, value] of inputs.probes) graph.output(name, value);
  return graph;
}

/** Outputs: "states.I" [batch * tokens, width] of the layers asked for, 0 being the embedding. */
export function embeddingGraph(config: ModelConfig, layers: readonly number[], geometry: boolean): Graph {
  checkConfig(config);
  const graph = new Graph("embed");
  const inputs = new ModelInputs(graph, taskSpecs(config, 1, geometry), []);
  const { states } = encode(inputs, config, geometry);
  for (const layer of layers) graph.output(`states.${layer}`, states[layer]);
  return graph;
}
