// The pretraining heads: bilinear forms that recover the relations of each pair, and the denoising head.
import { EDGE_CLASSES, SPD_CLASSES } from "../data/fields.js";
import type { Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { product } from "../onnx/shape.js";
import { MAX_HOPS } from "../relations/relations.js";
import type { ModelConfig } from "./config.js";
import { attentionStates, attentionWeights, tokensFirst } from "./encoder.js";
import type { ModelInputs } from "./inputs.js";
import { PAIR_WIDTH } from "./parameters.js";

/** Of the row and column states (reference `TransformN2Head`, layer norm 1e-12). */
const PAIR_NORM_EPSILON = 1e-12;

/** Order of the row and column states in the joint projection. */
export const PAIR_HEADS = ["spd", "edge", "geometry"] as const;

export interface PairStates {
  /** [batch, atoms, PAIR_WIDTH] */
  readonly row: Value;
  readonly column: Value;
}

/** Row and column states of the three pair heads from one product. */
function pairStates(inputs: ModelInputs, atoms: Value): readonly PairStates[] {
  const count = 2 * PAIR_HEADS.length;
  const joint = ops.gelu(
    ops.linear(atoms, inputs.parameter("pair.states.weight"), inputs.parameter("pair.states.bias")),
  );
  const one = inputs.graph.constant(inputs.dtype, [PAIR_WIDTH], Array(PAIR_WIDTH).fill(1));
  const normal = ops.layerNorm(ops.reshape(joint, ["atoms*batch", count, PAIR_WIDTH]), one, null, PAIR_NORM_EPSILON);
  const grouped = (name: string) => ops.reshape(inputs.parameter(name), [count, PAIR_WIDTH]);
  const affine = ops.add(ops.mul(normal, grouped("pair.norm.weight")), grouped("pair.norm.bias"));
  const parts = ops.split(affine, 1, count).map((part) => ops.reshape(part, ["batch", "atoms", PAIR_WIDTH]));
  return PAIR_HEADS.map((head, i) => ({
    row: inputs.probe(`${head}.row`, parts[2 * i]),
    column: inputs.probe(`${head}.column`, parts[2 * i + 1]),
  }));
}

/**
 * logit_k(i, j) = row_i · W_k · column_j + b_k, W_k being the k-th weight row as a matrix (design 1): all W_k act on the
 * columns in one product, the rows come in with a second, one a molecule. [batch, atoms, atoms, outputs]
 */
function bilinear({ row, column }: PairStates, weight: Value, bias: Value, outputs: number): Value {
  const matrices = ops.reshape(weight, [outputs * PAIR_WIDTH, PAIR_WIDTH]); // [k * row, column]
  const acted = ops.linear(ops.reshape(column, ["atoms*batch", PAIR_WIDTH]), matrices, null);
  const perColumn = ops.reshape(acted, ["batch", product(["atoms", outputs]), PAIR_WIDTH]);
  const logits = ops.fusedMatMul(row, perColumn, { transB: true });
  return ops.add(ops.reshape(logits, ["batch", "atoms", "atoms", outputs]), bias);
}

/**
 * Force component c of atom i is Σ_j direction_ijc Σ_h weight_hij (f_ch · v_jh) + b_c, with values first projected to one
 * number a head and component (design 7). [batch, atoms, 3]
 */
function denoise(inputs: ModelInputs, atoms: Value, bias: Value, config: ModelConfig): Value {
  const { heads, width } = config;
  const atomBias = ops.slice(ops.slice(bias, 2, 1, null, "atoms"), 3, 1, null, "atoms");
  const rows = tokensFirst(atoms, "atoms", width);
  const [query, key, value] = attentionStates(inputs, rows, "denoising.qkv", "atoms", config);
  const weights = attentionWeights(inputs, query, key, atomBias, config);
  const keep = inputs.keep("denoising.attention");
  const kept = keep ? ops.mul(weights, keep) : weights;
  const force = ops.reshape(inputs.parameter("denoising.force.weight"), [3, heads, width / heads]);
  const perHead = ops.reshape(value, ["atoms*batch", heads, width / heads]);
  const projection = ops.transpose(force, [1, 2, 0]); // [heads, width / heads, 3]
  const forces = ops.fusedMatMul(perHead, projection, { transBatchA: true }); // [heads, atoms * batch, 3]
  const projected = ops.transpose(ops.reshape(forces, [heads, "atoms", "batch", 3]), [2, 3, 0, 1]); // [batch, 3, heads, atoms]
  const broadcast = ops.mul(
    ops.reshape(kept, ["batch", 1, heads, "atoms", "atoms"]),
    ops.reshape(projected, ["batch", 3, heads, 1, "atoms"]),
  );
  const pairForces = ops.mul(ops.reduceSum(broadcast, [2], false), inputs.field("direction")); // [batch, 3, atoms, atoms]
  return ops.add(
    ops.transpose(ops.reduceSum(pairForces, [3], false), [0, 2, 1]),
    inputs.parameter("denoising.force.bias"),
  );
}

/** The 3D head has no non-linearity between its two maps: fold them first (design 2). [batch, atoms, atoms, 1 | 3] */
function geometryHead(inputs: ModelInputs, states: PairStates, config: ModelConfig): Value {
  const outputs = config.geometryTarget === "displacement" ? 3 : 1;
  const first = inputs.parameter("pair.geometry1.weight");
  const second = inputs.parameter("pair.geometry2.weight");
  const weight = ops.matMul(second, first);
  const hiddenBias = ops.reshape(inputs.parameter("pair.geometry1.bias"), [config.geometryHidden, 1]);
  const bias = ops.add(ops.reshape(ops.matMul(second, hiddenBias), [outputs]), inputs.parameter("pair.geometry2.bias"));
  return bilinear(states, weight, bias, outputs);
}

export interface Predictions {
  /** [batch, atoms, atoms, SPD_CLASSES] */
  readonly spd: Value;
  /** [batch, atoms, atoms, MAX_HOPS * EDGE_CLASSES] */
  readonly edge: Value;
  /** Displacement [batch, atoms, atoms, 3], or distance in units of the head [batch, atoms, atoms, 1]. */
  readonly geometry: Value;
  /** Predicted noise direction. [batch, atoms, 3] */
  readonly noise: Value;
}

/** @param hidden the last hidden states [batch * tokens, width]; `bias` the relation bias of the encoder */
export function predict(inputs: ModelInputs, hidden: Value, bias: Value, config: ModelConfig): Predictions {
  const { graph } = inputs;
  const tokens = ops.reshape(hidden, ["batch", "tokens", config.width]);
  const atoms = ops.reshape(ops.slice(tokens, 1, 1, null, "atoms"), ["atoms*batch", config.width]);
  return graph.scope("heads", () => {
    const states = pairStates(inputs, atoms);
    const head = (i: number, name: string, outputs: number) =>
      bilinear(states[i], inputs.parameter(`${name}.weight`), inputs.parameter(`${name}.bias`), outputs);
    return {
      spd: head(0, "pair.spd", SPD_CLASSES),
      edge: head(1, "pair.edge", MAX_HOPS * EDGE_CLASSES),
      geometry: geometryHead(inputs, states[2], config),
      noise: graph.scope("denoising", () => denoise(inputs, atoms, bias, config)),
    };
  });
}
