// Compares the whole model with recorded runs of the reference: every array, losses, gradients, Adam, dropout.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError } from "../../errors.js";
import { NO_DROPOUT } from "../../model/config.js";
import { referenceLayout } from "../../model/reference-layout.js";
import { ADAM_DEFAULTS } from "../../train/adam.js";
import { Trainer } from "../../train/trainer.js";
import { checkAdam } from "./adam-check.js";
import type { Comparison } from "./comparison.js";
import { checkTrainMode } from "./dropout-check.js";
import { checkForward, checkGradients } from "./forward-check.js";
import { type Context, type GoldenConfig, loadParameters, modelConfig } from "./model-set.js";

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
