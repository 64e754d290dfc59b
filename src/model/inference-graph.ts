// The graph of a trained model for use elsewhere: final predictions, embeddings, hidden states, attention, as asked for.
import { ConfigError } from "../errors.js";
import { Graph, type Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { checkConfig, type ModelConfig } from "./config.js";
import { encode } from "./encoder.js";
import { predict } from "./heads.js";
import { ModelInputs } from "./inputs.js";
import { DISTANCE_CENTRE, DISTANCE_SCALE } from "./losses.js";
import { ELEMENTS, parameterSpecs, taskSpecs } from "./parameters.js";
import { readOut, readsGeometry, type TaskConfig } from "./task-graphs.js";

/** Predictions of the pair heads and of the denoising head, which pretraining trains. */
const PREDICTIONS: readonly string[] = ["pair.spd", "pair.edge", "pair.distance", "pair.displacement", "noise"];
const PROPERTY = "property";
const SPREAD = "property.std";
const PROPERTIES: readonly string[] = [PROPERTY, SPREAD];

/** A fine-tuned model: its head, the way from its output to final values, and the models whose mean is the answer. */
export interface PropertyModel {
  readonly task: TaskConfig;
  /** Regression: value = mean + std · output of the head, by target. */
  readonly targets: readonly { readonly mean: number; readonly std: number }[];
  /** What stands before the names of the parameters of each model; different where there are several. */
  readonly members: readonly string[];
}

export interface InferenceOptions {
  /** Whether 3D relations enter; without them the model takes no coordinates. By default what the model was trained for. */
  readonly geometry?: boolean;
  /** Null for a pretrained model. */
  readonly property?: PropertyModel | null;
}

/** @throws ConfigError when a model of distances alone is to do without them */
function takesGeometry({ geometry, property }: InferenceOptions): boolean {
  if (geometry === false && property?.task.mode === "3d") {
    throw new ConfigError(
      "geometry: expected a model that can do without coordinates, got one that was fine-tuned on distances alone (mode 3d)",
    );
  }
  return geometry !== false && (!property || readsGeometry(property.task.mode));
}

/**
 * Every output that a model of this size can give:
 * - `property` [batch, targets], of a fine-tuned model alone: values in the units of the labels, probabilities (binary), or
 *   [batch, classes] probabilities that sum to 1; the mean over the members, and `property.std` their population standard deviation
 * - `cls` and `mean` [batch, width]: the graph token, and the mean over the atoms, of the last layer
 * - `atoms` [batch, atoms, width]: every atom after the last layer; padded atoms hold numbers without a meaning
 * - `layer.N` [batch, tokens, width]: all tokens after N layers, 0 being the embedding
 * - `attention.N` [batch, heads, tokens, tokens]: attention probabilities of layer N, from 0
 * - `pair.spd` [batch, atoms, atoms, 11], `pair.edge` [batch, atoms, atoms, 5 · 24]: logits
 * - `pair.distance` [batch, atoms, atoms] in Å, or `pair.displacement` [batch, atoms, atoms, 3], whichever the model was trained for
 * - `noise` [batch, atoms, 3]: direction of the noise on each atom
 *
 * The pair heads and `noise` are those of a pretrained model; several members share no hidden states.
 */
export function inferenceOutputs(config: ModelConfig, options: InferenceOptions = {}): readonly string[] {
  const { property } = options;
  const several = property && property.members.length > 1;
  const hidden = [
    ...["cls", "mean", "atoms"],
    ...Array.from({ length: config.layers + 1 }, (_, i) => `layer.${i}`),
    ...Array.from({ length: config.layers }, (_, i) => `attention.${i}`),
  ];
  if (property) return [PROPERTY, ...(several ? [SPREAD] : hidden)];
  const pairs = ["spd", "edge", config.geometryTarget].map((head) => `pair.${head}`);
  return [...hidden, ...pairs, ...(takesGeometry(options) ? ["noise"] : [])];
}

/** 1 for real atoms: tokens with an element, which the graph token and padding have not. [batch, tokens, 1] */
function realAtoms(inputs: ModelInputs): Value {
  return inputs.graph.once("real atoms", () => {
    const features = ops.cast(inputs.field("token_features"), inputs.dtype);
    return ops.reduceSum(ops.slice(features, 2, 0, ELEMENTS, ELEMENTS), [2]);
  });
}

/** Mean of the states of real atoms. [batch, width] */
function atomMean(inputs: ModelInputs, tokens: Value): Value {
  const real = realAtoms(inputs);
  return ops.div(ops.reduceSum(ops.mul(tokens, real), [1], false), ops.reduceSum(real, [1], false));
}

/** Weight of each token in the readouts over atoms. [batch, tokens] */
function readoutWeights(inputs: ModelInputs, { readout }: TaskConfig): Value {
  const real = realAtoms(inputs);
  return ops.reshape(readout === "mean" ? ops.div(real, ops.reduceSum(real, [1])) : real, ["batch", "tokens"]);
}

/** What a model makes of its inputs. */
interface Encoding {
  readonly inputs: ModelInputs;
  /** Hidden states before the first and after each layer. [batch * tokens, width] */
  readonly states: readonly Value[];
  readonly bias: Value;
}

/** An output that is read off the hidden states. */
function hiddenOutput({ inputs, states }: Encoding, { layers, width }: ModelConfig, name: string): Value {
  const [kind, layer] = name.split(".");
  const tokens = (index: number) => ops.reshape(states[index], ["batch", "tokens", width]);
  if (kind === "layer") return tokens(Number(layer));
  if (kind === "attention") return inputs.probes.get(`layer.${layer}.weights`) as Value;
  if (name === "cls") return ops.reshape(ops.slice(tokens(layers), 1, 0, 1, 1), ["batch", width]);
  if (name === "mean") return atomMean(inputs, tokens(layers));
  return ops.slice(tokens(layers), 1, 1, null, "atoms");
}

/** An output of the heads of a pretrained model. */
function predictionOutput({ spd, edge, geometry, noise }: ReturnType<typeof predict>, name: string): Value {
  if (name === "pair.spd") return spd;
  if (name === "pair.edge") return edge;
  if (name === "noise") return noise;
  if (name === "pair.displacement") return geometry;
  const scaled = ops.scale(ops.reshape(geometry, ["batch", "atoms", "atoms"]), DISTANCE_SCALE);
  return ops.add(scaled, ops.scalar(scaled, DISTANCE_CENTRE));
}

/** The head's output as what a user wants to know. [batch, outputs] */
function finalValues(logits: Value, { task: { kind, outputs }, targets }: PropertyModel): Value {
  if (kind === "classes") return ops.softmax(logits);
  const one = ops.scalar(logits, 1);
  // 1 / (1 + exp(-x)): where the exponential overflows, the probability is 0, as it should be.
  if (kind === "binary") return ops.div(one, ops.add(ops.exp(ops.neg(logits)), one));
  const row = (of: "mean" | "std") =>
    logits.graph.constant(
      logits.dtype,
      [1, outputs],
      targets.map((target) => target[of]),
    );
  return ops.add(ops.mul(logits, row("std")), row("mean"));
}

function average(values: readonly Value[]): Value {
  return ops.scale(values.reduce(ops.add), 1 / values.length);
}

/** Mean over the members, and their population standard deviation. Each [batch, outputs] */
function propertyOutputs(encodings: readonly Encoding[], config: ModelConfig, property: PropertyModel) {
  const { task } = property;
  const values = encodings.map(({ inputs, states }) => {
    const logits = readOut(inputs, states[config.layers], task, config.width, () => readoutWeights(inputs, task));
    return finalValues(logits, property);
  });
  const mean = average(values);
  const squares = values.map((value) => {
    const difference = ops.sub(value, mean);
    return ops.mul(difference, difference);
  });
  return { mean, std: ops.sqrt(average(squares)) };
}

/** What to do about an output that this model does not give. */
function advice(name: string | undefined, property: PropertyModel | null | undefined): string {
  if (name === undefined) return "";
  if (!property && PROPERTIES.includes(name))
    return "; a pretrained model predicts no property: fine-tune it (moleblend finetune DATA --targets NAMES --from RUN) and export that run";
  if (property && PREDICTIONS.includes(name))
    return "; fine-tuning does not keep the heads of pretraining: export the pretrained model";
  if (property && property.members.length > 1)
    return "; hidden states are those of one model: choose a single seed (--seeds)";
  return name === SPREAD ? "; a single model has no spread" : "";
}

/**
 * Inputs: the batch fields that the outputs need, and the parameters; a model to be exported gets those as initializers.
 * @throws ConfigError naming an output that this model does not give
 */
export function inferenceGraph(config: ModelConfig, outputs: readonly string[], options: InferenceOptions = {}): Graph {
  checkConfig(config);
  const geometry = takesGeometry(options);
  const { property } = options;
  const known = inferenceOutputs(config, options);
  const unknown = outputs.find((name) => !known.includes(name));
  if (unknown !== undefined || outputs.length === 0) {
    throw new ConfigError(
      `outputs: expected some of ${known.join(", ")}, got ${unknown ?? "none"}${advice(unknown, property)}`,
    );
  }
  const graph = new Graph("moleblend");
  const specs = property ? taskSpecs(config, property.task.outputs, geometry) : parameterSpecs(config);
  const encodings = (property?.members ?? [""]).map((member): Encoding => {
    const inputs = new ModelInputs(graph, specs, [], "float32", member);
    return { inputs, ...encode(inputs, config, geometry) };
  });
  const [first] = encodings;
  const properties =
    property && outputs.some((name) => PROPERTIES.includes(name)) ? propertyOutputs(encodings, config, property) : null;
  const predictions = outputs.some((name) => PREDICTIONS.includes(name))
    ? predict(first.inputs, first.states[config.layers], first.bias, config)
    : null;
  const value = (name: string): Value => {
    if (properties && PROPERTIES.includes(name)) return name === PROPERTY ? properties.mean : properties.std;
    if (predictions && PREDICTIONS.includes(name)) return predictionOutput(predictions, name);
    return hiddenOutput(first, config, name);
  };
  for (const name of new Set(outputs)) graph.output(name, value(name));
  return graph;
}
