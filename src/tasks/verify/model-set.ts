// What the checks of one model set share: its sizes, its parameters in our layout, its batches and draws.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildBatch } from "../../blend/batch.js";
import { policy, REFERENCE_PROBABILITIES } from "../../blend/policy.js";
import type { BatchTensors } from "../../blend/tensors.js";
import type { LossWeights, ModelConfig } from "../../model/config.js";
import type { ParameterSlot } from "../../model/parameters.js";
import { fromReference, type ReferenceTensor, toReference } from "../../model/reference-layout.js";
import { readDense, readTensor, type Safetensors } from "../../train/safetensors.js";
import { openSafetensorsFile } from "../../train/safetensors-file.js";
import type { LossValues, Trainer } from "../../train/trainer.js";
import { type Comparison, compare } from "./comparison.js";
import { type GoldenBatch, type GoldenDraws, goldenDraws, readGoldenBatch } from "./golden-batch.js";

/** What a fixture's config.json says of the model. */
export interface GoldenConfig {
  readonly args: Readonly<Record<string, number | string>>;
  readonly loss_factors: Readonly<Record<"pred_3d" | "pred_spd" | "pred_edge" | "denoising_3d", number>>;
  readonly noise_scale: number;
}

export interface RunRecord {
  readonly log: Readonly<Record<string, number>>;
  readonly loss_backward: number;
  readonly grad_norm?: number;
  readonly grad_l2_each?: Readonly<Record<string, number>>;
}

export const FORWARD_TOLERANCE = 2e-5;

export const GRADIENT_TOLERANCE = 2e-4;

/** A gradient this small beside the largest of the model is mathematically zero (key biases). */
export const ZERO_GRADIENT = 1e-10;

export interface Context {
  readonly dir: string;
  readonly label: string;
  readonly model: ModelConfig;
  readonly weights: LossWeights;
  readonly noise: number;
  readonly trainer: Trainer;
  readonly slots: ReadonlyMap<string, ParameterSlot>;
  readonly layout: readonly ReferenceTensor[];
  readonly results: Readonly<Record<string, unknown>>;
}

/** The sizes that the arguments of the official code name. */
export function modelConfig({ args }: Pick<GoldenConfig, "args">): ModelConfig {
  const size = (name: string) => Number(args[name]);
  return {
    layers: size("encoder_layers"),
    width: size("encoder_embed_dim"),
    heads: size("encoder_attention_heads"),
    feedForward: size("encoder_ffn_embed_dim"),
    kernels: size("num_3d_bias_kernel"),
    geometryHidden: size("blend_pred_3d_hidden_dim"),
    geometryTarget: "displacement",
  };
}

/** The sizes of a model set. */
export function goldenModelConfig(dir: string): ModelConfig {
  return modelConfig(JSON.parse(readFileSync(join(dir, "config.json"), "utf8")) as GoldenConfig);
}

export function withTensors<T>(path: string, use: (file: Safetensors) => T): T {
  const opened = openSafetensorsFile(path);
  try {
    return use(opened.file);
  } finally {
    opened.close();
  }
}

export const numbers = (file: Safetensors, name: string) => readTensor(file, name).data as Float32Array;

export function goldenBatch({ dir }: Context, set: string): GoldenBatch {
  return withTensors(join(dir, `${set}.batch.safetensors`), readGoldenBatch);
}

/** What the reference drew for the recorded forward pass of a batch. */
export function recordedDraws(file: Safetensors): GoldenDraws {
  return {
    pairs: numbers(file, "draw.blend_mask"),
    atoms: numbers(file, "draw.atom_mask"),
    noise: numbers(file, "draw.noise"),
  };
}

export const REFERENCE_POLICY = policy("blend", { probabilities: REFERENCE_PROBABILITIES, denoiseLoneAtoms: true });

export function tensors(batch: GoldenBatch, draws: GoldenDraws, noise: number): BatchTensors {
  return buildBatch(batch.graphs, goldenDraws(batch, draws, noise), REFERENCE_POLICY, "displacement");
}

export function loadParameters({
  dir,
  layout,
  slots,
  trainer,
}: Omit<Context, "label" | "results" | "weights" | "noise" | "model">): void {
  withTensors(join(dir, "params.safetensors"), (file) => {
    for (const tensor of layout) {
      if (tensor.pieces.length > 0)
        fromReference(tensor, slots, readDense(file, tensor.name, tensor.shape), trainer.arena.parameters);
    }
  });
}

export function compareLosses(
  label: string,
  ours: LossValues,
  { log, loss_backward: total }: RunRecord,
  tolerance: number,
): Comparison[] {
  const pairs: [string, number, number][] = [
    ["denoising loss", ours.noise, log["node_output_loss"]],
    ["SPD loss", ours.spd, log["spd_loss"]],
    ["edge loss", ours.edge, log["edge_loss"]],
    ["3D loss", ours.geometry, log["3d_loss"]],
    ["weighted loss", ours.total, total],
  ];
  return pairs.map(([name, value, reference]) => compare(`${label} ${name}`, [value], [reference], tolerance));
}

export function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ** 2;
  return Math.sqrt(sum);
}

export function gradientNorms(
  { layout, slots, trainer }: Context,
  label: string,
  norms: Readonly<Record<string, number>>,
): Comparison[] {
  const total = norm(Object.values(norms));
  return layout
    .filter(({ pieces, name }) => pieces.length > 0 && name in norms)
    .map((tensor) => {
      const ours = norm(toReference(tensor, slots, trainer.arena.gradients));
      return compare(`${label} gradient norm ${tensor.name}`, [ours], [norms[tensor.name]], GRADIENT_TOLERANCE, {
        zeroBelow: total * ZERO_GRADIENT,
        absoluteTolerance: total * 1e-6,
      });
    });
}
