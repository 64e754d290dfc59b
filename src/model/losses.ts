// The four pretraining losses and their weighted sum (reference criterion `graph_prediction`).
import { EDGE_CLASSES, SPD_CLASSES } from "../data/fields.js";
import type { Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { product } from "../onnx/shape.js";
import { MAX_HOPS } from "../relations/relations.js";
import type { LossWeights, ModelConfig } from "./config.js";
import type { Predictions } from "./heads.js";
import type { ModelInputs } from "./inputs.js";

/** torch's cosine_similarity: no norm counts as less than this. */
const COSINE_EPSILON = 1e-8;
/** The distance head predicts (distance - 4 Å) / 2.5 Å: roughly centred and scaled for heavy atoms of small molecules. */
export const DISTANCE_CENTRE = 4;
export const DISTANCE_SCALE = 2.5;

function sumAll(x: Value): Value {
  return ops.reduceSum(x, [...x.shape.keys()], false);
}

/** Mean cross-entropy over the entries whose one-hot target is set. */
function crossEntropy(logits: Value, target: Value, scale: Value, classes: number, rows: string): Value {
  const elements = product([rows, classes]);
  const logProbabilities = ops.reshape(ops.logSoftmax(ops.reshape(logits, [rows, classes])), [1, elements]);
  // The sum over all entries as one dot product of two rows, which the runtime does in a vectorized loop (a row times a column
  // takes 15 times as long); its gradient is a single pass.
  const chosen = ops.fusedMatMul(logProbabilities, ops.reshape(ops.cast(target, logits.dtype), [1, elements]), {
    transB: true,
  });
  return ops.neg(ops.mul(ops.reshape(chosen, []), scale));
}

/** Weighted mean of 1 - cosine, where `target` is a unit vector times its weight and `total` the sum of the weights. */
function cosineLoss(prediction: Value, target: Value, total: Value): Value {
  const squared = ops.reduceSum(ops.mul(prediction, prediction), [-1]);
  // The floor inside the root keeps its gradient finite where a prediction is exactly zero.
  const norm = ops.sqrt(ops.max(squared, ops.scalar(squared, COSINE_EPSILON ** 2)));
  return ops.sub(total, sumAll(ops.div(ops.mul(prediction, target), norm)));
}

/** Weighted mean of the absolute error, in units of DISTANCE_SCALE. [batch, atoms, atoms, 1] against Å. */
function distanceLoss(prediction: Value, target: Value, weight: Value): Value {
  const centred = ops.scale(ops.sub(target, ops.scalar(target, DISTANCE_CENTRE)), 1 / DISTANCE_SCALE);
  const error = ops.sub(ops.reshape(prediction, target.shape), centred);
  return sumAll(ops.mul(ops.abs(error), weight));
}

export interface Losses {
  readonly spd: Value;
  readonly edge: Value;
  readonly geometry: Value;
  readonly noise: Value;
  /** The weighted sum that is differentiated. */
  readonly total: Value;
}

export function losses(
  inputs: ModelInputs,
  predictions: Predictions,
  config: ModelConfig,
  weights: LossWeights,
): Losses {
  return inputs.graph.scope("losses", () => {
    const spd = crossEntropy(
      predictions.spd,
      inputs.field("spd_target"),
      inputs.field("spd_scale"),
      SPD_CLASSES,
      "atoms*atoms*batch",
    );
    const hops = `${MAX_HOPS}*atoms*atoms*batch`;
    const edge = crossEntropy(
      predictions.edge,
      inputs.field("edge_target"),
      inputs.field("edge_scale"),
      EDGE_CLASSES,
      hops,
    );
    const geometry =
      config.geometryTarget === "displacement"
        ? cosineLoss(predictions.geometry, inputs.field("displacement_target"), inputs.field("geometry_total"))
        : distanceLoss(predictions.geometry, inputs.field("distance_target"), inputs.field("distance_weight"));
    const noise = cosineLoss(predictions.noise, inputs.field("noise_target"), inputs.field("noise_total"));
    const terms = [
      ops.scale(noise, weights.noise),
      ops.scale(spd, weights.spd),
      ops.scale(edge, weights.edge),
      ops.scale(geometry, weights.geometry),
    ];
    return { spd, edge, geometry, noise, total: terms.reduce(ops.add) };
  });
}
