// Compares a fine-tuned model with recorded runs of the reference: logits, losses and gradients of each kind of task.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { buildBatch } from "../../blend/batch.js";
import type { MoleculeDraw } from "../../blend/draws.js";
import { ATOM_MODALITIES, MODALITIES, policy } from "../../blend/policy.js";
import type { BatchTensors } from "../../blend/tensors.js";
import { type ModelConfig, NO_DROPOUT } from "../../model/config.js";
import { taskSpecs } from "../../model/parameters.js";
import {
  fromReference,
  type ReferenceTensor,
  referenceLayout,
  taskHeadLayout,
  toReference,
} from "../../model/reference-layout.js";
import {
  type Readout,
  readsGeometry,
  type TaskConfig,
  taskProbingGraph,
  taskTrainingGraph,
} from "../../model/task-graphs.js";
import { Session, type Tensor } from "../../runtime/session.js";
import { ADAM_DEFAULTS } from "../../train/adam.js";
import { readDense, readTensor, type Safetensors } from "../../train/safetensors.js";
import { openSafetensorsFile } from "../../train/safetensors-file.js";
import { parameterTensors, Trainer } from "../../train/trainer.js";
import { type Comparison, compare, deviation } from "./comparison.js";
import { type GoldenBatch, readGoldenBatch } from "./golden-batch.js";
import { FORWARD_TOLERANCE, GRADIENT_TOLERANCE, goldenModelConfig, norm, ZERO_GRADIENT } from "./model-set.js";
import { compareProbes } from "./probe-comparison.js";

interface ReadoutRecord {
  readonly loss: number;
  readonly grad_l2_each: Readonly<Record<string, number>>;
}

interface VariantRecord {
  readonly mean: number;
  readonly std: number;
  readonly readouts: Readonly<Record<Readout, ReadoutRecord>>;
  readonly eval?: { readonly task_type?: string };
}

/** Every pair and atom shows everything: fine-tuning does not blend. */
function fullDraws({ graphs, positions }: GoldenBatch, geometry: boolean): readonly MoleculeDraw[] {
  const pairBits = MODALITIES.spd | MODALITIES.edge | (geometry ? MODALITIES.geometry : 0);
  const atomBits = ATOM_MODALITIES.degree | (geometry ? ATOM_MODALITIES.geometry : 0);
  return graphs.map(({ atoms }, b) => ({
    pairs: new Uint8Array(atoms * atoms).fill(pairBits),
    atoms: new Uint8Array(atoms).fill(atomBits),
    noise: new Float32Array(atoms * 3),
    positions: positions[b],
    located: new Uint8Array(atoms).fill(1),
    usable: true,
  }));
}

interface Labels {
  readonly target: ArrayLike<number>;
  readonly weights: ArrayLike<number>;
}

/**
 * The reference's loss: mean over the present labels; for regression the error is in the units of the labels, and its
 * mean readout divides by the padded length.
 */
function taskInputs(
  { graphs, batch, atoms: n }: GoldenBatch,
  { kind, outputs, readout }: TaskConfig,
  { target, weights }: Labels,
  { mean, std }: VariantRecord,
): Record<string, Tensor> {
  const present = Array.from(weights).reduce((sum, weight) => sum + weight, 0);
  const scale = (kind === "regression" ? std ** 2 : 1) / present;
  const normal = (label: number) => (kind === "regression" ? (label - mean) / std : label);
  const tokens = n + 1;
  const read = new Float32Array(batch * tokens);
  for (const [b, { atoms }] of graphs.entries()) {
    read.fill(readout === "mean" ? 1 / n : 1, b * tokens + 1, b * tokens + 1 + atoms);
  }
  return {
    readout_weights: { data: read, shape: [batch, tokens] },
    labels: {
      data: Float32Array.from(target, (label, i) => (weights[i] ? normal(label) : 0)),
      shape: [batch, outputs],
    },
    label_weights: { data: Float32Array.from(weights, (weight) => weight * scale), shape: [batch, outputs] },
  };
}

interface Context {
  readonly dir: string;
  readonly label: string;
  readonly model: ModelConfig;
  readonly parameters: Safetensors;
  readonly heads: Safetensors;
  readonly batch: GoldenBatch;
}

/** Loss, gradient norms and, for the readout cls, every gradient. */
async function checkReadout(
  context: Context,
  variant: string,
  record: VariantRecord,
  task: TaskConfig,
  labels: Labels,
  feeds: BatchTensors,
): Promise<Comparison[]> {
  const { dir, model, parameters, heads, batch } = context;
  const label = `${context.label}/${variant} ${task.readout}`;
  const specs = taskSpecs(model, task.outputs, readsGeometry(task.mode));
  const graph = taskTrainingGraph(model, task, NO_DROPOUT);
  const trainer = await Trainer.forGraph({ graph, specs, terms: ["loss"], adam: ADAM_DEFAULTS });
  const slots = new Map(trainer.slots.map((slot) => [slot.name, slot]));
  const known = ({ pieces }: ReferenceTensor) =>
    pieces.length > 0 && pieces.every(({ parameter }) => slots.has(parameter));
  const encoder = referenceLayout(model).filter(known);
  const head = taskHeadLayout(model, task.outputs);
  for (const tensor of encoder)
    fromReference(tensor, slots, readDense(parameters, tensor.name, tensor.shape), trainer.arena.parameters);
  const kind = variant.split("-")[0];
  for (const tensor of head)
    fromReference(tensor, slots, readDense(heads, `${kind}/${tensor.name}`, tensor.shape), trainer.arena.parameters);
  const inputs = { ...feeds, ...taskInputs(batch, task, labels, record) };
  const session = await Session.create(taskProbingGraph(model, task));
  try {
    const { loss } = await trainer.backward(inputs);
    const expected = record.readouts[task.readout];
    const comparisons = [compare(`${label} loss`, [loss], [expected.loss], FORWARD_TOLERANCE)];
    if (task.readout === "cls") {
      const probes = await session.run({ ...inputs, ...parameterTensors(trainer.slots, trainer.arena.parameters) });
      comparisons.push(...compareForward(context, variant, task, probes));
    }
    const total = norm(Object.values(expected.grad_l2_each));
    const gradients = join(dir, `${variant}.grad.f64_as_f32.safetensors`);
    const opened = task.readout === "cls" && existsSync(gradients) ? openSafetensorsFile(gradients) : null;
    const reference = opened
      ? [...encoder, ...head].map((tensor) => readDense(opened.file, tensor.name, tensor.shape))
      : null;
    opened?.close();
    const largest = reference ? Math.max(...reference.map((values) => deviation(values, values).largest)) : 0;
    [...encoder, ...head].forEach((tensor, i) => {
      const ours = toReference(tensor, slots, trainer.arena.gradients);
      const length = expected.grad_l2_each[tensor.name];
      if (length !== undefined) {
        const zero = { zeroBelow: total * ZERO_GRADIENT, absoluteTolerance: total * 1e-6 };
        comparisons.push(
          compare(`${label} gradient norm ${tensor.name}`, [norm(ours)], [length], GRADIENT_TOLERANCE, zero),
        );
      }
      if (reference) {
        const zero = { zeroBelow: largest * ZERO_GRADIENT, absoluteTolerance: largest * 1e-6 };
        comparisons.push(compare(`${label} gradient ${tensor.name}`, ours, reference[i], GRADIENT_TOLERANCE, zero));
      }
    });
    return comparisons;
  } finally {
    await session.close();
    await trainer.close();
  }
}

/** Hidden arrays, and the logits of the graph token: the reference applies the head to every token, we to those read. */
function compareForward(
  { dir, label, model, batch }: Context,
  variant: string,
  { outputs }: TaskConfig,
  probes: Readonly<Record<string, Tensor>>,
): Comparison[] {
  const opened = openSafetensorsFile(join(dir, `${variant}.f64.safetensors`));
  try {
    const every = readTensor(opened.file, "logits").data as Float64Array;
    const stride = (batch.atoms + 1) * outputs;
    const first = Float64Array.from(
      { length: batch.batch * outputs },
      (_, i) => every[Math.floor(i / outputs) * stride + (i % outputs)],
    );
    return [
      compare(`${label}/${variant} logits`, probes["logits"].data as Float32Array, first, FORWARD_TOLERANCE),
      ...compareProbes(`${label}/${variant}`, opened.file, batch, model, probes, FORWARD_TOLERANCE),
    ];
  } finally {
    opened.close();
  }
}

/** @param dir a folder with heads.safetensors, a batch and labels; the encoder is that of a model set beside it */
export async function checkFinetune(dir: string, label: string): Promise<Comparison[]> {
  const parent = dirname(dir);
  const modelDir = readdirSync(parent)
    .map((name) => join(parent, name))
    .find((path) => existsSync(join(path, "config.json")) && existsSync(join(path, "params.safetensors")));
  if (!modelDir) return [{ name: label, error: 0, tolerance: 0, kind: "skipped", note: "no model set beside it" }];
  const results = (
    JSON.parse(readFileSync(join(dir, "results.json"), "utf8")) as { f64: Record<string, VariantRecord> }
  ).f64;
  const files = ["params", "heads", "batch"].map((name) =>
    openSafetensorsFile(join(name === "params" ? modelDir : dir, `${name}.safetensors`)),
  );
  const [parameters, heads, batchFile] = files.map(({ file }) => file);
  const context: Context = {
    dir,
    label,
    model: goldenModelConfig(modelDir),
    parameters,
    heads,
    batch: readGoldenBatch(batchFile),
  };
  const comparisons: Comparison[] = [];
  for (const [variant, record] of Object.entries(results)) {
    const [, name, recorded] = /^(.+)-(2d|3d)$/.exec(variant) ?? [];
    if (!name) continue;
    const opened = openSafetensorsFile(join(dir, `${name}.labels.safetensors`));
    const target = readTensor(opened.file, "target");
    const labels = {
      target: target.data as Float32Array,
      weights: readTensor(opened.file, "weights").data as Float32Array,
    };
    opened.close();
    // The reference adds 3D relations to those of the graph.
    const mode = recorded === "3d" ? "both" : "2d";
    const kind = record.eval?.task_type === "regression" || name.startsWith("reg") ? "regression" : "binary";
    const feeds = buildBatch(
      context.batch.graphs,
      fullDraws(context.batch, readsGeometry(mode)),
      policy("blend"),
      "distance",
    );
    for (const readout of Object.keys(record.readouts) as Readout[]) {
      const task: TaskConfig = { kind, outputs: target.shape[1], readout, mode };
      comparisons.push(...(await checkReadout(context, variant, record, task, labels, feeds)));
    }
  }
  for (const file of files) file.close();
  return comparisons;
}
