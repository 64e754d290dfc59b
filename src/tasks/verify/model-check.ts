// Compares the whole model with recorded runs of the reference: every array, losses, gradients, Adam, dropout.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildBatch } from "../../blend/batch.js";
import { policy, REFERENCE_PROBABILITIES } from "../../blend/policy.js";
import type { BatchTensor, BatchTensors } from "../../blend/tensors.js";
import { CheckpointError } from "../../errors.js";
import { type DropoutConfig, type LossWeights, type ModelConfig, NO_DROPOUT } from "../../model/config.js";
import { probingGraph } from "../../model/graphs.js";
import { dropoutInputs } from "../../model/inputs.js";
import type { ParameterSlot } from "../../model/parameters.js";
import { fromReference, type ReferenceTensor, referenceLayout, toReference } from "../../model/reference-layout.js";
import { Session, type Tensor } from "../../runtime/session.js";
import { ADAM_DEFAULTS, resetAdam } from "../../train/adam.js";
import { readDense, readTensor, type Safetensors } from "../../train/safetensors.js";
import { openSafetensorsFile } from "../../train/safetensors-file.js";
import { type LossValues, parameterTensors, Trainer } from "../../train/trainer.js";
import { type Comparison, compare, deviation } from "./comparison.js";
import { type GoldenBatch, type GoldenDraws, goldenDraws, readGoldenBatch } from "./golden-batch.js";
import { compareProbes } from "./probe-comparison.js";

/** What a fixture's config.json says of the model. */
interface GoldenConfig {
  readonly args: Readonly<Record<string, number | string>>;
  readonly loss_factors: Readonly<Record<"pred_3d" | "pred_spd" | "pred_edge" | "denoising_3d", number>>;
  readonly noise_scale: number;
}

interface StepRecord {
  readonly loss_backward: number;
  readonly grad_norm_before_clip?: number;
}

interface RunRecord {
  readonly log: Readonly<Record<string, number>>;
  readonly loss_backward: number;
  readonly grad_norm?: number;
  readonly grad_l2_each?: Readonly<Record<string, number>>;
}

interface AdamRecord {
  readonly steps?: readonly StepRecord[];
  readonly loss_after_5_steps_with_draws_of_step0?: number;
  readonly param_l2_each?: Readonly<Record<string, number>>;
}

interface TrainModeRecord extends RunRecord {
  readonly order: readonly (readonly [string, number, readonly number[]])[];
  readonly droppath_probs: readonly number[];
}

const FORWARD_TOLERANCE = 2e-5;
const GRADIENT_TOLERANCE = 2e-4;
/** A gradient this small beside the largest of the model is mathematically zero (key biases). */
const ZERO_GRADIENT = 1e-10;
const ADAM_LEARNING_RATE = 1e-3;
const ADAM_STEPS = 5;

interface Context {
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

function modelConfig({ args }: GoldenConfig): ModelConfig {
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

function withTensors<T>(path: string, use: (file: Safetensors) => T): T {
  const opened = openSafetensorsFile(path);
  try {
    return use(opened.file);
  } finally {
    opened.close();
  }
}

const numbers = (file: Safetensors, name: string) => readTensor(file, name).data as Float32Array;

function goldenBatch({ dir }: Context, set: string): GoldenBatch {
  return withTensors(join(dir, `${set}.batch.safetensors`), readGoldenBatch);
}

const REFERENCE_POLICY = policy("blend", { probabilities: REFERENCE_PROBABILITIES, denoiseLoneAtoms: true });

function tensors(batch: GoldenBatch, draws: GoldenDraws, noise: number): BatchTensors {
  return buildBatch(batch.graphs, goldenDraws(batch, draws, noise), REFERENCE_POLICY, "displacement");
}

/** Forward arrays of one batch with the recorded draws, with each relation alone, and in evaluation. */
async function checkForward(context: Context, set: string): Promise<Comparison[]> {
  const { dir, model, weights, trainer, noise } = context;
  const path = join(dir, `${set}.f64.safetensors`);
  if (!existsSync(path)) return [];
  const batch = goldenBatch(context, set);
  const session = await Session.create(probingGraph(model, NO_DROPOUT, weights));
  const parameters = parameterTensors(trainer.slots, trainer.arena.parameters);
  const run = (draws: GoldenDraws) => session.run({ ...tensors(batch, draws, noise), ...parameters });
  try {
    const opened = openSafetensorsFile(path);
    const file = opened.file;
    const label = `${context.label}/${set}`;
    const drawn: GoldenDraws = {
      pairs: numbers(file, "draw.blend_mask"),
      atoms: numbers(file, "draw.atom_mask"),
      noise: numbers(file, "draw.noise"),
    };
    const comparisons = compareProbes(label, file, batch, model, await run(drawn), FORWARD_TOLERANCE);
    // Our graph adds up only what each pair shows; to see each relation apart, let every pair show the same one.
    for (const [mask, relation] of ["spd", "edge", "3d"].entries()) {
      const alone = await run({ ...drawn, pairs: new Uint8Array(drawn.pairs.length).fill(mask) });
      comparisons.push(...compareProbes(label, file, batch, model, alone, FORWARD_TOLERANCE, { relation }));
    }
    for (const [mask, feature] of ["degree", "3d"].entries()) {
      const alone = await run({ ...drawn, atoms: new Uint8Array(drawn.atoms.length).fill(mask) });
      comparisons.push(...compareProbes(label, file, batch, model, alone, FORWARD_TOLERANCE, { feature }));
    }
    const evalPath = join(dir, `${set}.eval.f64.safetensors`);
    if (existsSync(evalPath)) {
      const clean = await run({ ...drawn, noise: new Float32Array(drawn.noise.length) });
      comparisons.push(
        ...withTensors(evalPath, (golden) =>
          compareProbes(`${label} evaluation`, golden, batch, model, clean, FORWARD_TOLERANCE),
        ),
      );
    }
    opened.close();
    return comparisons;
  } finally {
    await session.close();
  }
}

function compareLosses(
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

function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ** 2;
  return Math.sqrt(sum);
}

/** Gradients of every parameter, in the reference's shapes. */
function compareGradients({ layout, slots, trainer }: Context, label: string, file: Safetensors): Comparison[] {
  const trained = layout.filter(({ pieces }) => pieces.length > 0);
  const pairs = trained.map((tensor) => ({
    name: tensor.name,
    ours: toReference(tensor, slots, trainer.arena.gradients),
    reference: readDense(file, tensor.name, tensor.shape),
  }));
  const largest = Math.max(...pairs.map(({ reference }) => deviation(reference, reference).largest));
  return pairs.map(({ name, ours, reference }) =>
    compare(`${label} gradient ${name}`, ours, reference, GRADIENT_TOLERANCE, {
      zeroBelow: largest * ZERO_GRADIENT,
      absoluteTolerance: largest * 1e-6,
    }),
  );
}

function gradientNorms(
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

async function checkGradients(context: Context, set: string): Promise<Comparison[]> {
  const { dir, trainer, noise, results } = context;
  const record = results[`pre_${set}`] as RunRecord | undefined;
  const forward = join(dir, `${set}.f64.safetensors`);
  if (!record || !existsSync(forward)) return [];
  const batch = goldenBatch(context, set);
  const draws = withTensors(
    forward,
    (file): GoldenDraws => ({
      pairs: numbers(file, "draw.blend_mask"),
      atoms: numbers(file, "draw.atom_mask"),
      noise: numbers(file, "draw.noise"),
    }),
  );
  const losses = await trainer.backward(tensors(batch, draws, noise));
  const label = `${context.label}/${set}`;
  const gradientFile = [`${set}.grad.f64.safetensors`, `${set}.grad.f64_as_f32.safetensors`].find((name) =>
    existsSync(join(dir, name)),
  );
  return [
    ...compareLosses(label, losses, record, FORWARD_TOLERANCE),
    ...(gradientFile ? withTensors(join(dir, gradientFile), (file) => compareGradients(context, label, file)) : []),
    ...(record.grad_l2_each ? gradientNorms(context, label, record.grad_l2_each) : []),
  ];
}

function loadParameters({
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

/** Adam moves each element by up to the learning rate in a step, whatever the size of its gradient. */
function compareParameters(context: Context, label: string, file: Safetensors, steps: number): Comparison[] {
  const { layout, slots, trainer, dir } = context;
  return withTensors(join(dir, "params.safetensors"), (start) =>
    layout
      .filter(({ pieces }) => pieces.length > 0)
      .map((tensor) => {
        const before = readDense(start, tensor.name, tensor.shape);
        const reference = readDense(file, tensor.name, tensor.shape, before);
        const ours = toReference(tensor, slots, trainer.arena.parameters, before);
        const vanishing = tensor.name.endsWith("k_proj.bias");
        return vanishing
          ? compare(`${label} ${tensor.name}`, ours, reference, 0, {
              zeroBelow: Number.POSITIVE_INFINITY,
              absoluteTolerance: 2 * ADAM_LEARNING_RATE * steps,
            })
          : compare(`${label} ${tensor.name}`, ours, reference, GRADIENT_TOLERANCE);
      }),
  );
}

/** Steps of Adam with the recorded draws on batch a, at each recorded clipping. */
async function checkAdam(context: Context): Promise<Comparison[]> {
  const { dir, trainer, results } = context;
  const draws = join(dir, "adam.draws.safetensors");
  if (!existsSync(draws)) return [];
  const opened = openSafetensorsFile(draws);
  const batch = goldenBatch(context, "a");
  const step = (s: number) =>
    tensors(
      batch,
      {
        pairs: numbers(opened.file, `step${s}.blend_mask`),
        atoms: numbers(opened.file, `step${s}.atom_mask`),
        noise: numbers(opened.file, `step${s}.noise`),
      },
      context.noise,
    );
  const comparisons: Comparison[] = [];
  for (const [key, value] of Object.entries(results)) {
    const [, kind, amount] = /^adam_(clip|wd)([\d.]+)/.exec(key) ?? [];
    if (!kind) continue;
    const record = value as AdamRecord;
    const label = `${context.label} Adam ${kind === "clip" ? "clip" : "weight decay"} ${amount}`;
    // The weight-decay step was recorded with the first clipping, which the fixture's name leaves out.
    const adam = {
      ...ADAM_DEFAULTS,
      maxGradientNorm: kind === "clip" ? Number(amount) : 5,
      weightDecay: kind === "wd" ? Number(amount) : 0,
    };
    const steps = kind === "clip" ? (record.steps?.length ?? ADAM_STEPS) : 1;
    loadParameters(context);
    resetAdam(trainer.arena);
    for (let s = 0; s < steps; s++) {
      const losses = await trainer.backward(step(s));
      const report = trainer.update(s + 1, ADAM_LEARNING_RATE, 0, adam);
      const golden = record.steps?.[s];
      if (!golden) continue;
      comparisons.push(
        compare(`${label} step ${s + 1} loss`, [losses.total], [golden.loss_backward], GRADIENT_TOLERANCE),
      );
      if (golden.grad_norm_before_clip !== undefined) {
        const name = `${label} step ${s + 1} gradient norm`;
        comparisons.push(compare(name, [report.gradientNorm], [golden.grad_norm_before_clip], GRADIENT_TOLERANCE));
      }
    }
    if (record.loss_after_5_steps_with_draws_of_step0 !== undefined) {
      const after = await trainer.backward(step(0));
      comparisons.push(
        compare(
          `${label} loss after ${steps} steps`,
          [after.total],
          [record.loss_after_5_steps_with_draws_of_step0],
          GRADIENT_TOLERANCE,
        ),
      );
    }
    const final = join(dir, "adam.final.f64_as_f32.safetensors");
    if (key === "adam_clip5.0" && existsSync(final)) {
      comparisons.push(...withTensors(final, (file) => compareParameters(context, `${label} parameter`, file, steps)));
    }
    // Decoupled decay also shrinks what no gradient reaches: the rows of the reference's tables that we do not train.
    const shrink = 1 - ADAM_LEARNING_RATE * adam.weightDecay;
    comparisons.push(...parameterNorms(context, label, record.param_l2_each ?? {}, shrink));
  }
  opened.close();
  loadParameters(context);
  return comparisons;
}

function parameterNorms(
  { layout, slots, trainer, dir }: Context,
  label: string,
  norms: Readonly<Record<string, number>>,
  shrink: number,
): Comparison[] {
  return withTensors(join(dir, "params.safetensors"), (start) =>
    layout
      .filter(({ name, pieces }) => name in norms && pieces.length > 0 && !name.endsWith("k_proj.bias"))
      .map((tensor) => {
        const before = Float64Array.from(readDense(start, tensor.name, tensor.shape), (value) => value * shrink);
        const ours = norm(toReference(tensor, slots, trainer.arena.parameters, before));
        return compare(`${label} norm of ${tensor.name}`, [ours], [norms[tensor.name]], FORWARD_TOLERANCE);
      }),
  );
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
    if (place === "activation") {
      // [tokens, batch, width] → [batch, tokens, width]
      const values = scaled(`keep.${module}.activation_dropout_module`, probability);
      return swapBatch(values, batch, size["tokens"], model.feedForward);
    }
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

function swapBatch(values: Float32Array, batch: number, tokens: number, width: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let t = 0; t < tokens; t++) {
    for (let b = 0; b < batch; b++)
      out.set(values.subarray((t * batch + b) * width, (t * batch + b + 1) * width), (b * tokens + t) * width);
  }
  return out;
}

/** A training step with dropout on, its masks fed from the record. */
async function checkTrainMode(context: Context, set: string): Promise<Comparison[]> {
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
  const drawn = withTensors(
    join(dir, `${set}.f64.safetensors`),
    (file): GoldenDraws => ({
      pairs: numbers(file, "draw.blend_mask"),
      atoms: numbers(file, "draw.atom_mask"),
      noise: numbers(file, "draw.noise"),
    }),
  );
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

/** @param dir a folder with config.json, params.safetensors, results.json and recorded batches */
export async function checkModel(dir: string, label: string): Promise<Comparison[]> {
  const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8")) as GoldenConfig;
  const results = (JSON.parse(readFileSync(join(dir, "results.json"), "utf8")) as { f64?: Record<string, unknown> })
    .f64;
  if (!results) throw new CheckpointError(`${dir}: results.json has no section "f64"`);
  const { pred_spd: spd, pred_edge: edge, pred_3d: geometry, denoising_3d: noiseWeight } = config.loss_factors;
  const model = modelConfig(config);
  const weights = { spd, edge, geometry, noise: noiseWeight };
  const trainer = await Trainer.create(model, { dropout: NO_DROPOUT, lossWeights: weights, adam: ADAM_DEFAULTS });
  const slots = new Map(trainer.slots.map((slot) => [slot.name, slot]));
  const context: Context = {
    dir,
    label,
    model,
    weights,
    noise: config.noise_scale,
    trainer,
    slots,
    layout: referenceLayout(model),
    results,
  };
  try {
    loadParameters(context);
    const sets = readdirSync(dir).flatMap((name) => /^(.+)\.batch\.safetensors$/.exec(name)?.[1] ?? []);
    const comparisons: Comparison[] = [];
    for (const set of sets.sort()) {
      comparisons.push(
        ...(await checkForward(context, set)),
        ...(await checkGradients(context, set)),
        ...(await checkTrainMode(context, set)),
      );
    }
    return [...comparisons, ...(await checkAdam(context))];
  } finally {
    await trainer.close();
  }
}
