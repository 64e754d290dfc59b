// The graph of a trained model for use elsewhere: embeddings, hidden states, attention and predictions, as asked for.
import { ConfigError } from "../errors.js";
import { Graph, type Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { checkConfig, type ModelConfig } from "./config.js";
import { encode } from "./encoder.js";
import { predict } from "./heads.js";
import { ModelInputs } from "./inputs.js";
import { DISTANCE_CENTRE, DISTANCE_SCALE } from "./losses.js";
import { ELEMENTS, parameterSpecs } from "./parameters.js";

/** Predictions of the pair heads and of the denoising head. */
const PREDICTIONS: readonly string[] = ["pair.spd", "pair.edge", "pair.distance", "pair.displacement", "noise"];

export interface InferenceOptions {
  /** Whether 3D relations enter; without them the model takes no coordinates. */
  readonly geometry?: boolean;
}

/**
 * Every output that a model of this size can give:
 * - `cls` and `mean` [batch, width]: the graph token, and the mean over the atoms, of the last layer
 * - `atoms` [batch, atoms, width]: every atom after the last layer; padded atoms hold numbers without a meaning
 * - `layer.N` [batch, tokens, width]: all tokens after N layers, 0 being the embedding
 * - `attention.N` [batch, heads, tokens, tokens]: attention probabilities of layer N, from 0
 * - `pair.spd` [batch, atoms, atoms, 11], `pair.edge` [batch, atoms, atoms, 5 · 24]: logits
 * - `pair.distance` [batch, atoms, atoms] in Å, or `pair.displacement` [batch, atoms, atoms, 3], whichever the model was trained for
 * - `noise` [batch, atoms, 3]: direction of the noise on each atom
 */
export function inferenceOutputs(config: ModelConfig, { geometry = true }: InferenceOptions = {}): readonly string[] {
  return [
    ...["cls", "mean", "atoms"],
    ...Array.from({ length: config.layers + 1 }, (_, i) => `layer.${i}`),
    ...Array.from({ length: config.layers }, (_, i) => `attention.${i}`),
    ...["spd", "edge", config.geometryTarget].map((head) => `pair.${head}`),
    ...(geometry ? ["noise"] : []),
  ];
}

/** Mean of the states of real atoms: those with an element. [batch, width] */
function atomMean(inputs: ModelInputs, atoms: Value): Value {
  const features = ops.cast(inputs.field("token_features"), inputs.dtype);
  const elements = ops.slice(ops.slice(features, 2, 0, ELEMENTS, ELEMENTS), 1, 1, null, "atoms");
  const real = ops.reduceSum(elements, [2]); // [batch, atoms, 1]
  return ops.div(ops.reduceSum(ops.mul(atoms, real), [1], false), ops.reduceSum(real, [1], false));
}

/**
 * Inputs: the batch fields that the outputs need, and the parameters; a model to be exported gets those as initializers.
 * @throws ConfigError naming an output that this model does not give
 */
export function inferenceGraph(config: ModelConfig, outputs: readonly string[], options: InferenceOptions = {}): Graph {
  checkConfig(config);
  const { geometry = true } = options;
  const known = inferenceOutputs(config, options);
  const unknown = outputs.find((name) => !known.includes(name));
  if (unknown !== undefined || outputs.length === 0) {
    throw new ConfigError(`outputs: expected some of ${known.join(", ")}, got ${unknown ?? "none"}`);
  }
  const graph = new Graph("moleblend");
  const inputs = new ModelInputs(graph, parameterSpecs(config), []);
  const { states, bias } = encode(inputs, config, geometry);
  const tokens = (layer: number) => ops.reshape(states[layer], ["batch", "tokens", config.width]);
  const last = tokens(config.layers);
  const atoms = () => ops.slice(last, 1, 1, null, "atoms");
  const predictions = outputs.some((name) => PREDICTIONS.includes(name))
    ? predict(inputs, states[config.layers], bias, config)
    : null;
  const value = (name: string): Value => {
    const [kind, layer] = name.split(".");
    if (kind === "layer") return tokens(Number(layer));
    if (kind === "attention") return inputs.probes.get(`layer.${layer}.weights`) as Value;
    if (name === "cls") return ops.reshape(ops.slice(last, 1, 0, 1, 1), ["batch", config.width]);
    if (name === "atoms") return atoms();
    if (name === "mean") return atomMean(inputs, atoms());
    const { spd, edge, geometry: shape, noise } = predictions as NonNullable<typeof predictions>;
    if (name === "pair.spd") return spd;
    if (name === "pair.edge") return edge;
    if (name === "noise") return noise;
    if (name === "pair.displacement") return shape;
    const scaled = ops.scale(ops.reshape(shape, ["batch", "atoms", "atoms"]), DISTANCE_SCALE);
    return ops.add(scaled, ops.scalar(scaled, DISTANCE_CENTRE));
  };
  for (const name of new Set(outputs)) graph.output(name, value(name));
  return graph;
}
