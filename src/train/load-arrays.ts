// Reads a checkpoint into flat arrays: the parameters, and the moments where they are asked for.

import { CheckpointError } from "../errors.js";
import { checkConfig, type ModelConfig } from "../model/config.js";
import { layoutParameters, type ParameterSlot, parameterSpecs } from "../model/parameters.js";
import type { LoadedCheckpoint } from "./checkpoint.js";
import { readDense, type Safetensors } from "./safetensors.js";

const SIZES = ["layers", "width", "heads", "feedForward", "kernels", "geometryHidden"] as const;

/**
 * The model that a checkpoint says it holds.
 * @throws CheckpointError when it does not say
 */
export function checkpointConfig({ path, state }: Pick<LoadedCheckpoint, "path" | "state">): ModelConfig {
  const model = (state.config as { readonly model?: Partial<ModelConfig> } | null)?.model;
  const whole = model && SIZES.every((size) => typeof model[size] === "number");
  if (!whole || !["distance", "displacement"].includes(model.geometryTarget ?? "")) {
    throw new CheckpointError(`${path}: expected the sizes of a model in its settings, got ${JSON.stringify(model)}`);
  }
  return checkConfig(model as ModelConfig);
}

/**
 * A flat array with every parameter in its slot.
 * @param prefix what stands before the names in the file, "m." and "v." for moments
 * @throws CheckpointError naming a tensor that is missing or has another shape
 */
export function readFlat(
  file: Safetensors,
  slots: readonly ParameterSlot[],
  length: number,
  prefix = "",
): Float32Array {
  const flat = new Float32Array(length);
  for (const { name, shape, offset } of slots) flat.set(readDense(file, prefix + name, shape), offset);
  return flat;
}

/** Slots of a model and the length of its flat arrays. */
export function modelSlots(config: ModelConfig): { slots: readonly ParameterSlot[]; length: number } {
  return layoutParameters(parameterSpecs(config));
}
