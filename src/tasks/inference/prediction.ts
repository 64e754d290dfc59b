// Predictions of one or several fine-tuned models for batches of molecules: what an inference thread does for `predict` and scoring.
import { FingerprintIndex, morganFingerprint } from "../../chem/fingerprint.js";
import type { Molecule } from "../../chem/molecule.js";
import { loadRdkit } from "../../chem/rdkit.js";
import { releaseTensors } from "../../data/release-memory.js";
import type { DropoutConfig } from "../../model/config.js";
import { taskDropoutInputs } from "../../model/task-graphs.js";
import { type Label, Random } from "../../random.js";
import { taskSlots } from "../../train/finetuned-model.js";
import { makeTaskBatch, taskDropout } from "../../train/task-batch.js";
import { BatchPool, type BatchThreadSetup } from "../../train/task-batch-pool.js";
import { predictionRecipe, type TaskModel, TaskPredictor } from "../../train/task-predictor.js";
import { parameterTensors } from "../../train/trainer.js";

export const INFERENCE_WORKER = new URL("./inference-worker.js", import.meta.url);

/** A network, and the parameters of each of its seeds in the layout of `taskSlots`. */
export interface ModelSeeds {
  readonly model: TaskModel;
  readonly parameters: readonly Float32Array[];
}

export interface PredictSetup extends BatchThreadSetup {
  readonly kind: "predict";
  /** Of one task; batches are made for the first. */
  readonly models: readonly ModelSeeds[];
  /** Further predictions of the first seed of the first model with dropout on; null for none. */
  readonly dropout: { readonly config: DropoutConfig; readonly draws: number; readonly seed: number } | null;
  /** Fingerprints to compare with [rows, FINGERPRINT_BYTES]; null for none. */
  readonly fingerprints: Uint8Array | null;
}

/** Of a batch, molecules in the order of the batch. */
export interface PredictedBatch {
  /** Of each seed of each model. Each [batch, outputs] */
  readonly members: readonly Float64Array[];
  /** Of each draw with dropout. Each [batch, outputs] */
  readonly draws: readonly Float64Array[];
  /** Largest Tanimoto similarity with the fingerprints. [batch] */
  readonly similarities: Float64Array | null;
}

/** What the threads may hold of parameters together, in bytes: every thread has a copy of its own. */
const MOST_PARAMETERS = 4 * 2 ** 30;

/** Answers with the predictions for the molecules of a batch; they do not depend on the number of threads. */
export function predictionPool(setup: PredictSetup, threads: number): BatchPool<PredictedBatch> {
  const bytes = setup.models.flatMap(({ parameters }) => parameters).reduce((sum, flat) => sum + flat.byteLength, 0);
  return new BatchPool(INFERENCE_WORKER, setup, Math.max(1, Math.min(threads, Math.floor(MOST_PARAMETERS / bytes))));
}

/** What a thread of `predictionPool` does. */
export async function createPredictor({ models, dropout, fingerprints }: PredictSetup) {
  const [{ model: first }] = models;
  const seeds = await Promise.all(
    models.map(async ({ model, parameters }) => {
      const predictor = await TaskPredictor.create(model, null, { threads: 1 });
      const { slots } = taskSlots(model.model, model.task);
      return parameters.map((flat) => ({ predictor, parameters: parameterTensors(slots, flat) }));
    }),
  );
  const members = seeds.flat();
  const dropped = dropout && (await createDropped(first, dropout));
  const similarity = fingerprints && (await createSimilarity(fingerprints));
  const recipe = predictionRecipe(first);
  const plain = Random.fromSeed(0);
  return async (molecules: readonly Molecule[], labels: readonly Label[]): Promise<PredictedBatch> => {
    const batch = makeTaskBatch(molecules, recipe, plain);
    const values: Float64Array[] = [];
    for (const { predictor, parameters } of members) values.push(await predictor.predict(batch, parameters));
    const draws: Float64Array[] = [];
    for (let draw = 0; dropped && draw < dropped.draws; draw++) {
      const multipliers = taskDropout(molecules, dropped.inputs, dropped.random.split(...labels, draw));
      draws.push(await dropped.predictor.predict({ ...batch, ...multipliers }, members[0].parameters));
      releaseTensors(multipliers);
    }
    releaseTensors(batch);
    return { members: values, draws, similarities: similarity?.(molecules) ?? null };
  };
}

async function createDropped(model: TaskModel, { config, draws, seed }: NonNullable<PredictSetup["dropout"]>) {
  const predictor = await TaskPredictor.create(model, config, { threads: 1 });
  return { predictor, draws, inputs: taskDropoutInputs(model.model, config), random: Random.fromSeed(seed) };
}

async function createSimilarity(fingerprints: Uint8Array) {
  const rdkit = await loadRdkit();
  const index = new FingerprintIndex(fingerprints);
  return (molecules: readonly Molecule[]) =>
    Float64Array.from(molecules, (molecule) => index.nearest(morganFingerprint(rdkit, molecule)));
}
