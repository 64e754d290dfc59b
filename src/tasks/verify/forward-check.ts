// Compares the forward arrays and the gradients of a model set with the recorded ones.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { NO_DROPOUT } from "../../model/config.js";
import { probingGraph } from "../../model/graphs.js";
import { toReference } from "../../model/reference-layout.js";
import { Session } from "../../runtime/session.js";
import { readDense, type Safetensors } from "../../train/safetensors.js";
import { openSafetensorsFile } from "../../train/safetensors-file.js";
import { parameterTensors } from "../../train/trainer.js";
import { type Comparison, compare, deviation } from "./comparison.js";
import type { GoldenDraws } from "./golden-batch.js";
import {
  type Context,
  compareLosses,
  FORWARD_TOLERANCE,
  GRADIENT_TOLERANCE,
  goldenBatch,
  gradientNorms,
  type RunRecord,
  recordedDraws,
  tensors,
  withTensors,
  ZERO_GRADIENT,
} from "./model-set.js";
import { compareProbes } from "./probe-comparison.js";

/** Forward arrays of one batch with the recorded draws, with each relation alone, and in evaluation. */
export async function checkForward(context: Context, set: string): Promise<Comparison[]> {
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
    const drawn = recordedDraws(file);
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

export async function checkGradients(context: Context, set: string): Promise<Comparison[]> {
  const { dir, trainer, noise, results } = context;
  const record = results[`pre_${set}`] as RunRecord | undefined;
  const forward = join(dir, `${set}.f64.safetensors`);
  if (!record || !existsSync(forward)) return [];
  const batch = goldenBatch(context, set);
  const draws = withTensors(forward, recordedDraws);
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
