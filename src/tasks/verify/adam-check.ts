// Compares steps of Adam with the recorded ones: losses, gradient norms, and the parameters after them.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { toReference } from "../../model/reference-layout.js";
import { ADAM_DEFAULTS, resetAdam } from "../../train/adam.js";
import { readDense, type Safetensors } from "../../train/safetensors.js";
import { openSafetensorsFile } from "../../train/safetensors-file.js";
import { type Comparison, compare, deviation } from "./comparison.js";
import {
  type Context,
  FORWARD_TOLERANCE,
  GRADIENT_TOLERANCE,
  goldenBatch,
  loadParameters,
  norm,
  numbers,
  tensors,
  withTensors,
} from "./model-set.js";

interface StepRecord {
  readonly loss_backward: number;
  readonly grad_norm_before_clip?: number;
}

interface AdamRecord {
  readonly steps?: readonly StepRecord[];
  readonly loss_after_5_steps_with_draws_of_step0?: number;
  readonly param_l2_each?: Readonly<Record<string, number>>;
}

const ADAM_LEARNING_RATE = 1e-3;

const ADAM_STEPS = 5;

/** An element whose gradient is below this share of its tensor's largest is mostly rounding, and Adam makes it as large as any. */
const ROUNDING_SHARE = 1e-3;

/**
 * All elements; where that fails, those with a gradient worth the name, the others being held to what Adam can move them.
 * @param secondMoment Adam's v after the steps
 */
function compareMoved(
  name: string,
  ours: Float32Array,
  reference: ArrayLike<number>,
  secondMoment: Float32Array,
  steps: number,
): Comparison {
  const all = compare(name, ours, reference, GRADIENT_TOLERANCE);
  if (all.error <= all.tolerance) return all;
  const limit = secondMoment.reduce((most, v) => Math.max(most, v), 0) * ROUNDING_SHARE ** 2;
  const moved = compare(name, ours, reference, GRADIENT_TOLERANCE, { included: (i) => secondMoment[i] > limit });
  const rest = deviation(ours, reference, (i) => secondMoment[i] <= limit).error;
  if (moved.error > moved.tolerance || rest > 2 * ADAM_LEARNING_RATE * steps) return all;
  return { ...moved, note: `elements whose gradient is rounding differ by up to ${rest.toExponential(1)}` };
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
          : compareMoved(
              `${label} ${tensor.name}`,
              ours,
              reference,
              toReference(tensor, slots, trainer.arena.v),
              steps,
            );
      }),
  );
}

/** Steps of Adam with the recorded draws on batch a, at each recorded clipping. */
export async function checkAdam(context: Context): Promise<Comparison[]> {
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
