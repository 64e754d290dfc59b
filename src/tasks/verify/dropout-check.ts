// Compares a training step with dropout, its masks fed from the record, with the recorded one.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { BatchTensor } from "../../blend/tensors.js";
import type { DropoutConfig, ModelConfig } from "../../model/config.js";
import { probingGraph } from "../../model/graphs.js";
import { dropoutInputs } from "../../model/inputs.js";
import { Session, type Tensor } from "../../runtime/session.js";
import { ADAM_DEFAULTS } from "../../train/adam.js";
import type { Safetensors } from "../../train/safetensors.js";
import { openSafetensorsFile } from "../../train/safetensors-file.js";
import { parameterTensors, Trainer } from "../../train/trainer.js";
import type { Comparison } from "./comparison.js";
import type { GoldenBatch } from "./golden-batch.js";
import {
  type Context,
  compareLosses,
  FORWARD_TOLERANCE,
  goldenBatch,
  gradientNorms,
  numbers,
  type RunRecord,
  recordedDraws,
  tensors,
  withTensors,
} from "./model-set.js";
import { compareProbes } from "./probe-comparison.js";

interface TrainModeRecord extends RunRecord {
  readonly order: readonly (readonly [string, number, readonly number[]])[];
  readonly droppath_probs: readonly number[];
}

/** The recorded dropout masks as the multipliers our graph takes. */
function recordedDropout(
  file: Safetensors,
  record: TrainModeRecord,
  dropout: DropoutConfig,
  model: ModelConfig,
  { batch, atoms }: GoldenBatch,
): Record<string, BatchTensor> {
  const size: Readonly<Record<string, number>> = { batch, atoms, tokens: atoms + 1 };
  const scaled = (name: string, probability: number) =>
    Float32Array.from(numbers(file, name), (keep) => keep / (1 - probability));
  const encoder = "encoder.molecule_encoder";
  const data = (input: string, probability: number): Float32Array => {
    const [, layer, place] = /^keep\.layer\.(\d+)\.(.+)$/.exec(input) ?? [];
    const module = `${encoder}.layers.${layer}`;
    if (place === "attention") return scaled(`keep.${module}.self_attn.dropout_module`, probability);
    if (place === "activation") return scaled(`keep.${module}.activation_dropout_module`, probability);
    if (place === undefined) return scaled(`keep.${encoder}.atom_proc.dropout_module`, probability);
    const uniform = numbers(file, `droppath_rand.${module}.dropout_module.${place === "attention_path" ? 0 : 1}`);
    const p = record.droppath_probs[Number(layer)];
    const tokens = size["tokens"];
    return Float32Array.from({ length: batch * tokens }, (_, i) => Math.floor(1 - p + uniform[i % tokens]) / (1 - p));
  };
  return Object.fromEntries(
    dropoutInputs(model, dropout).map(({ name, shape, probability }) => [
      name,
      { data: data(name, probability), shape: shape.map((dim) => (typeof dim === "number" ? dim : size[dim])) },
    ]),
  );
}

/** A training step with dropout on, its masks fed from the record. */
export async function checkTrainMode(context: Context, set: string): Promise<Comparison[]> {
  const { dir, model, weights, noise, results } = context;
  const path = join(dir, `${set}.trainmode.f64.safetensors`);
  const record = results["train_mode"] as TrainModeRecord | undefined;
  if (!existsSync(path) || !record) return [];
  const opened = openSafetensorsFile(path);
  const probability = (part: string) => record.order.find(([name]) => name.includes(part))?.[1] ?? 0;
  const dropout: DropoutConfig = {
    attention: probability("self_attn.dropout_module"),
    activation: probability("activation_dropout_module"),
    droppath: record.droppath_probs.at(-1) ?? 0,
    denoising: probability("atom_proc.dropout_module"),
  };
  const batch = goldenBatch(context, set);
  const drawn = withTensors(join(dir, `${set}.f64.safetensors`), recordedDraws);
  const feeds = { ...tensors(batch, drawn, noise), ...recordedDropout(opened.file, record, dropout, model, batch) };
  const trainer = await Trainer.create(model, { dropout, lossWeights: weights, adam: ADAM_DEFAULTS });
  const session = await Session.create(probingGraph(model, dropout, weights));
  try {
    trainer.arena.parameters.set(context.trainer.arena.parameters);
    const parameters: Readonly<Record<string, Tensor>> = parameterTensors(trainer.slots, trainer.arena.parameters);
    const label = `${context.label}/${set} with dropout`;
    const probes = await session.run({ ...feeds, ...parameters });
    const losses = await trainer.backward(feeds);
    return [
      ...compareProbes(label, opened.file, batch, model, probes, FORWARD_TOLERANCE),
      ...compareLosses(label, losses, record, FORWARD_TOLERANCE),
      ...gradientNorms({ ...context, trainer }, label, record.grad_l2_each ?? {}),
    ];
  } finally {
    opened.close();
    await session.close();
    await trainer.close();
  }
}
