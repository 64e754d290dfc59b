// The post-LN transformer over graph token and atoms: embedding, attention with relation biases, feed-forward.

import { TOKEN_COLUMNS } from "../data/fields.js";
import type { Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { product } from "../onnx/shape.js";
import type { ModelConfig } from "./config.js";
import type { ModelInputs } from "./inputs.js";
import { relationBias } from "./relation-bias.js";

const LAYER_NORM_EPSILON = 1e-5;
/** The reference's factor on the summed 3D feature of an atom. */
const GEOMETRY_FEATURE_SCALE = 0.01;

export function norm(inputs: ModelInputs, x: Value, name: string): Value {
  return ops.layerNorm(x, inputs.parameter(`${name}.weight`), inputs.parameter(`${name}.bias`), LAYER_NORM_EPSILON);
}

function dense(inputs: ModelInputs, x: Value, name: string): Value {
  return ops.linear(x, inputs.parameter(`${name}.weight`), inputs.parameter(`${name}.bias`));
}

function dropped(x: Value, keep: Value | null): Value {
  return keep ? ops.mul(x, ops.reshape(keep, x.shape)) : x;
}

/**
 * Sum of a token's embeddings: one product of the multi-hot features with all tables, and the 3D feature where shown.
 * [batch * tokens, width]
 */
function embed(inputs: ModelInputs, features: Value, gathered: Value | null, { width, kernels }: ModelConfig): Value {
  const degree = ops.add(inputs.parameter("embedding.degree_in"), inputs.parameter("embedding.degree_out"));
  const offset = gathered
    ? ops.scale(inputs.parameter("geometry.atom.bias"), GEOMETRY_FEATURE_SCALE)
    : inputs.graph.constant(inputs.dtype, [width], new Float32Array(width));
  const tables = [inputs.parameter("embedding.atom"), degree, inputs.parameter("embedding.graph_token")];
  const table = ops.concat([...tables, ops.reshape(offset, [1, width])], 0);
  const rows = ops.reshape(features, ["batch*tokens", TOKEN_COLUMNS.count]);
  const sum = ops.gemm(rows, table, null);
  if (!gathered) return sum;
  const kernelRows = ops.reshape(gathered, ["batch*tokens", kernels]);
  return ops.gemm(kernelRows, inputs.parameter("geometry.atom.weight"), sum, {
    transB: true,
    alpha: GEOMETRY_FEATURE_SCALE,
  });
}

/**
 * Rows of the layers are tokens first, so that products of attention read queries, keys and values where they lie: molecules first,
 * they would have to be put in place before. Both orders have as many rows.
 */
export function tokensFirst(rows: Value, length: string, width: number): Value {
  return ops.reshape(ops.batchLast(ops.reshape(rows, ["batch", length, width])), [product(["batch", length]), width]);
}

/** The inverse of `tokensFirst`. [batch * length, width] */
export function moleculesFirst(rows: Value, length: string, width: number): Value {
  return ops.reshape(ops.batchFirst(ops.reshape(rows, [length, "batch", width])), [product(["batch", length]), width]);
}

/** @param x rows, tokens first @returns query, key and value, each [length, batch * heads, width / heads] */
export function attentionStates(
  inputs: ModelInputs,
  x: Value,
  name: string,
  length: string,
  { heads, width }: ModelConfig,
): readonly Value[] {
  const joined = ops.reshape(dense(inputs, x, name), [x.shape[0], 3, width]);
  return ops.split(joined, 1, 3).map((state) => ops.reshape(state, [length, product(["batch", heads]), width / heads]));
}

/** Softmax of the scaled products of queries and keys plus the bias. [batch, heads, length, length] */
export function attentionWeights(
  inputs: ModelInputs,
  query: Value,
  key: Value,
  bias: Value,
  { heads, width }: ModelConfig,
): Value {
  const options = { transBatchA: true, transBatchB: true, transB: true, alpha: (width / heads) ** -0.5 };
  const products = inputs.recompute(ops.fusedMatMul(query, key, options)); // [batch * heads, length, length]
  const logits = inputs.recompute(ops.add(ops.reshape(products, bias.shape), bias));
  return inputs.recompute(ops.softmax(logits));
}

/** @param x rows, tokens first, as the result is */
function layer(inputs: ModelInputs, x: Value, bias: Value, name: string, config: ModelConfig): Value {
  const { heads, width } = config;
  const probe = (what: string, rows: Value): Value => {
    inputs.probe(`${name}.${what}`, moleculesFirst(rows, "tokens", width));
    return rows;
  };
  const [query, key, value] = attentionStates(inputs, x, `${name}.qkv`, "tokens", config);
  const probabilities = inputs.probe(`${name}.weights`, attentionWeights(inputs, query, key, bias, config));
  const weights = inputs.recompute(dropped(probabilities, inputs.keep(`${name}.attention`)));
  const perHead = ops.reshape(weights, [product(["batch", heads]), "tokens", "tokens"]);
  const mixed = inputs.recompute(ops.fusedMatMul(perHead, value, { transBatchB: true }));
  const joined = ops.reshape(inputs.recompute(ops.batchLast(mixed)), ["batch*tokens", width]);
  const path = (update: Value, keep: Value | null) =>
    keep ? ops.mul(update, ops.reshape(ops.transpose(keep, [1, 0, 2]), ["batch*tokens", 1])) : update;
  const attention = probe("attention", dense(inputs, joined, `${name}.out`));
  const attended = path(attention, inputs.keep(`${name}.attention_path`));
  const middle = probe("middle", inputs.recompute(norm(inputs, ops.add(x, attended), `${name}.attention_norm`)));
  const active = inputs.recompute(ops.gelu(dense(inputs, middle, `${name}.fc1`)));
  const hidden = inputs.recompute(dropped(active, inputs.keep(`${name}.activation`)));
  const fed = probe("fed", dense(inputs, hidden, `${name}.fc2`));
  const update = path(fed, inputs.keep(`${name}.output_path`));
  return inputs.recompute(norm(inputs, ops.add(middle, update), `${name}.output_norm`));
}

export interface Encoded {
  /** Hidden states before the first and after each layer, molecules first. [batch * tokens, width] */
  readonly states: readonly Value[];
  /** The relation bias of every layer. [batch, heads, tokens, tokens] */
  readonly bias: Value;
}

/** @param geometry whether 3D relations enter at all */
export function encode(inputs: ModelInputs, config: ModelConfig, geometry: boolean): Encoded {
  const features = ops.cast(inputs.field("token_features"), inputs.dtype);
  const relations = relationBias(inputs, features, config, geometry);
  const { graph } = inputs;
  const embedded = graph.scope("embedding", () => {
    const sum = inputs.probe("embedding.sum", embed(inputs, features, relations.gathered, config));
    return inputs.probe("embedding", norm(inputs, sum, "embedding.norm"));
  });
  const { width } = config;
  const states = [embedded];
  let rows = tokensFirst(embedded, "tokens", width);
  for (let i = 0; i < config.layers; i++) {
    rows = graph.scope(`layer${i}`, () => layer(inputs, rows, relations.bias, `layer.${i}`, config));
    states.push(inputs.probe(`layer.${i}.output`, moleculesFirst(rows, "tokens", width)));
  }
  return { states, bias: relations.bias };
}
