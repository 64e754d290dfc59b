// From the relations of each pair to the attention bias and the 3D atom feature: embeddings, Gaussian basis, blend.
import { BOND_FEATURES } from "../chem/molecule.js";
import { BOND_ROWS, EDGE_UNIT } from "../data/fields.js";
import type { Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { MAX_HOPS } from "../relations/relations.js";
import type { ModelConfig } from "./config.js";
import type { ModelInputs } from "./inputs.js";
import { ELEMENTS } from "./parameters.js";

/** Added to the logits of padded keys: its exponential is 0, and unlike -∞ it never makes a NaN. */
export const PADDED_LOGIT = -1e9;
/** The reference's π and the floor of its kernel widths. */
// biome-ignore lint/suspicious/noApproximativeNumericConstant: the reference's own
const PI = 3.14159;
const WIDTH_FLOOR = 0.01;

/**
 * The bias of the relations that are shown in 2D, graph token and padding included: one product of the multi-hot pair
 * features with a table whose rows are the virtual distance, the padding logit, an edge feature at a hop (its embedding
 * already multiplied by the hop's matrix, over the mean of the features and the hops), and the path lengths.
 * [batch, heads, tokens * tokens]
 */
function topologyBias(inputs: ModelInputs, { heads }: ModelConfig): Value {
  const { graph, dtype } = inputs;
  const hops = inputs.parameter("relation.edge_hop"); // [hops, heads, heads]
  const edges = ops.matMul(ops.reshape(inputs.parameter("relation.edge"), [1, BOND_ROWS, heads]), hops);
  const perHop = ops.scale(ops.reshape(edges, [MAX_HOPS * BOND_ROWS, heads]), 1 / (BOND_FEATURES.length * EDGE_UNIT));
  const spd = ops.matMul(inputs.field("spd_selection"), inputs.parameter("relation.spd")); // [spd_rows, heads]
  const padding = graph.constant(dtype, [1, heads], Array(heads).fill(PADDED_LOGIT));
  const table = ops.concat([inputs.parameter("relation.virtual_distance"), padding, perHop, spd], 0, "pair_rows");
  const features = inputs.recompute(ops.cast(inputs.field("pair_features"), dtype)); // [batch, pair_rows, tokens, tokens]
  const flat = ops.reshape(features, ["batch", "pair_rows", "tokens*tokens"]);
  return ops.fusedMatMul(table, flat, { transA: true });
}

/** Gaussian kernels of scaled distances, reference `GaussianLayer`. [batch * atoms * atoms, kernels] */
function gaussianBasis(inputs: ModelInputs, tokenFeatures: Value, { kernels }: ModelConfig): Value {
  const distance = inputs.field("distance");
  const elements = ops.slice(ops.slice(tokenFeatures, 2, 0, ELEMENTS, ELEMENTS), 1, 1, null, "atoms");
  const flat = ops.reshape(elements, ["atoms*batch", ELEMENTS]);
  const pairwise = (name: string) => {
    const terms = ops.gemm(flat, inputs.parameter(name), null, { transB: true }); // [batch * atoms, 2]
    const [first, second] = ops.split(ops.reshape(terms, ["batch", "atoms", 2]), 2, 2);
    return ops.add(first, ops.transpose(second, [0, 2, 1])); // [batch, atoms, atoms]
  };
  const scaled = ops.add(ops.mul(pairwise("geometry.scale"), distance), pairwise("geometry.shift"));
  const column = ops.reshape(scaled, ["atoms*atoms*batch", 1]);
  // exp(-((x - mean)/width)²/2) / (√(2π) width), with both factors of 1/2 and the norm inside one exponential.
  const means = inputs.parameter("geometry.means");
  const floor = ops.scalar(means, WIDTH_FLOOR);
  const widths = ops.add(ops.abs(inputs.parameter("geometry.widths")), floor);
  const inverse = ops.div(ops.scalar(means, Math.SQRT1_2), widths);
  const z = ops.gemm(column, ops.reshape(inverse, [1, kernels]), ops.neg(ops.mul(means, inverse)));
  const logNorm = ops.log(ops.scale(inverse, Math.SQRT2 / Math.sqrt(2 * PI)));
  return inputs.recompute(ops.exp(inputs.recompute(ops.sub(logNorm, inputs.recompute(ops.mul(z, z))))));
}

/** The bias of the pairs that show their distance, 0 elsewhere. [batch, heads, tokens, tokens] */
function geometryBias(inputs: ModelInputs, basis: Value, { kernels, heads }: ModelConfig): Value {
  const hidden = inputs.recompute(
    ops.gelu(ops.linear(basis, inputs.parameter("geometry.bias1.weight"), inputs.parameter("geometry.bias1.bias"))),
  );
  const perPair = ops.reshape(hidden, ["batch", "atoms*atoms", kernels]);
  const weight = ops.reshape(inputs.parameter("geometry.bias2.weight"), [1, heads, kernels]);
  const offset = ops.reshape(inputs.parameter("geometry.bias2.bias"), [heads, 1]);
  const bias = ops.add(ops.fusedMatMul(weight, perPair, { transB: true }), offset); // [batch, heads, atoms * atoms]
  const shown = ops.reshape(inputs.field("geometry_shown"), ["batch", 1, "atoms*atoms"]);
  const square = ops.reshape(ops.mul(bias, shown), ["batch", heads, "atoms", "atoms"]);
  return ops.pad(ops.pad(square, 3, 1, 0, "tokens"), 2, 1, 0, "tokens");
}

/** Sum of the kernels over the other atoms for the atoms that show their 3D feature. [batch, tokens, kernels] */
function gatheredBasis(inputs: ModelInputs, basis: Value, { kernels }: ModelConfig): Value {
  const weights = ops.reshape(inputs.field("geometry_gathered"), ["batch", "atoms", 1, "atoms"]);
  const sums = ops.matMul(weights, ops.reshape(basis, ["batch", "atoms", "atoms", kernels]));
  return ops.pad(ops.reshape(sums, ["batch", "atoms", kernels]), 1, 1, 0, "tokens");
}

export interface RelationBias {
  /** Added to the attention logits of every layer. [batch, heads, tokens, tokens] */
  readonly bias: Value;
  /** Summed Gaussian kernels of the atoms that show 3D, before their projection; null in a model of 2D alone. */
  readonly gathered: Value | null;
}

/** @param tokenFeatures the multi-hot token features as floats [batch, tokens, columns] */
export function relationBias(
  inputs: ModelInputs,
  tokenFeatures: Value,
  config: ModelConfig,
  geometry: boolean,
): RelationBias {
  return inputs.graph.scope("relations", () => {
    const topology = ops.reshape(topologyBias(inputs, config), ["batch", config.heads, "tokens", "tokens"]);
    if (!geometry) return { bias: inputs.probe("bias", topology), gathered: null };
    const basis = inputs.probe("basis", gaussianBasis(inputs, tokenFeatures, config));
    const bias = inputs.probe("bias", ops.add(topology, geometryBias(inputs, basis, config)));
    return { bias, gathered: gatheredBasis(inputs, basis, config) };
  });
}
