// Loads a pretrained encoder into the parameters of a fine-tuned model.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { CheckpointError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { encoderSpecs, type ParameterSlot } from "../model/parameters.js";
import { type LoadedCheckpoint, listCheckpoints, loadCheckpoint, loadLatest } from "./checkpoint.js";
import { checkpointConfig } from "./load-arrays.js";
import { readDense } from "./safetensors.js";

/**
 * The checkpoint that a user names: one checkpoint folder, a run (its latest), or a folder of checkpoints.
 * @throws CheckpointError where there is none, or it is damaged
 */
export function openPretrained(path: string): LoadedCheckpoint {
  if (existsSync(join(path, "state.json"))) return loadCheckpoint(path);
  for (const folder of [join(path, "checkpoints"), path]) {
    if (listCheckpoints(folder).length === 0) continue;
    const loaded = loadLatest(folder);
    if (loaded) return loaded;
  }
  const what = existsSync(path) ? `${basename(path)} has no checkpoints/checkpoint-STEP` : "there is no such folder";
  throw new CheckpointError(
    `${path}: expected a run or a checkpoint of a pretrained model, but ${what}; an official .pt file is imported first (moleblend import)`,
  );
}

/**
 * The model of a checkpoint.
 * @param expected sizes that were asked for, null for those of the checkpoint
 * @throws CheckpointError naming the first size that differs, with both values
 */
export function pretrainedConfig(checkpoint: LoadedCheckpoint, expected: ModelConfig | null): ModelConfig {
  const config = checkpointConfig(checkpoint);
  if (!expected) return config;
  for (const name of ["width", "layers", "heads", "feedForward", "kernels"] as const) {
    if (config[name] === expected[name]) continue;
    throw new CheckpointError(
      `${checkpoint.path}: ${name}: expected ${expected[name]} as asked for, got ${config[name]} in the checkpoint; leave the preset out to take the sizes of the checkpoint`,
    );
  }
  return config;
}

/**
 * Fills the encoder's slots; the others stay as they are.
 * @returns names of the parameters that were loaded
 * @throws CheckpointError naming a tensor that is missing or has another shape
 */
export function loadEncoder(
  checkpoint: LoadedCheckpoint,
  config: ModelConfig,
  geometry: boolean,
  slots: readonly ParameterSlot[],
  flat: Float32Array,
): readonly string[] {
  const wanted = new Set(encoderSpecs(config, geometry).map(({ name }) => name));
  const loaded = slots.filter(({ name }) => wanted.has(name));
  for (const { name, shape, offset } of loaded) flat.set(readDense(checkpoint.model, name, shape), offset);
  return loaded.map(({ name }) => name);
}
