// Hidden states of batches of molecules, pooled to rows: what an inference thread does for `embed`.
import { atomCount, type Molecule } from "../../chem/molecule.js";
import { releaseTensors } from "../../data/release-memory.js";
import type { ModelConfig } from "../../model/config.js";
import { layoutParameters, taskSpecs } from "../../model/parameters.js";
import { embeddingGraph, readsGeometry, type TaskMode } from "../../model/task-graphs.js";
import { Random } from "../../random.js";
import { Session } from "../../runtime/session.js";
import { makeTaskBatch } from "../../train/task-batch.js";
import { BatchPool, type BatchThreadSetup } from "../../train/task-batch-pool.js";
import { parameterTensors } from "../../train/trainer.js";
import { INFERENCE_WORKER } from "./prediction.js";

/** cls: the graph token; mean, sum: over the atoms; atoms: one row an atom. */
export const POOLINGS = ["cls", "mean", "sum", "atoms"] as const;
export type Pooling = (typeof POOLINGS)[number];

export interface EmbedSetup extends BatchThreadSetup {
  readonly kind: "embed";
  readonly config: ModelConfig;
  readonly mode: TaskMode;
  readonly layer: number;
  readonly pool: Pooling;
  /** Parameters in the layout of `taskSpecs(config, 1, readsGeometry(mode))`. */
  readonly parameters: Float32Array;
}

/** Answers with the rows of the molecules of a batch, one after another. [rows, width] */
export function embeddingPool(setup: EmbedSetup, threads: number): BatchPool<Float32Array> {
  return new BatchPool(INFERENCE_WORKER, setup, threads);
}

/** What a thread of `embeddingPool` does. */
export async function createEmbedder({ config, mode, layer, pool, parameters }: EmbedSetup) {
  const geometry = readsGeometry(mode);
  const session = await Session.create(embeddingGraph(config, [layer], geometry), { threads: 1 });
  const { slots } = layoutParameters(taskSpecs(config, 1, geometry));
  const weights = parameterTensors(slots, parameters);
  const recipe = { mode, readout: "cls", dropout: [] } as const;
  const random = Random.fromSeed(0);
  return async (molecules: readonly Molecule[]): Promise<Float32Array> => {
    const batch = makeTaskBatch(molecules, recipe, random);
    const results = await session.run({ ...batch, ...weights });
    const states = results[`states.${layer}`].data as Float32Array;
    const pooled = poolStates(states, molecules.map(atomCount), config.width, pool);
    releaseTensors(batch);
    releaseTensors(results);
    return pooled;
  };
}

/** Rows of molecule after molecule. @param states [batch * tokens, width] @returns [rows, width] */
export function poolStates(states: Float32Array, atoms: readonly number[], width: number, pool: Pooling): Float32Array {
  const tokens = states.length / width / atoms.length;
  const rows = pool === "atoms" ? atoms.reduce((sum, count) => sum + count, 0) : atoms.length;
  const pooled = new Float32Array(rows * width);
  let row = 0;
  atoms.forEach((count, b) => {
    const token = (t: number) => states.subarray((b * tokens + t) * width, (b * tokens + t + 1) * width);
    if (pool === "atoms") {
      for (let i = 1; i <= count; i++) pooled.set(token(i), row++ * width);
      return;
    }
    const own = pooled.subarray(row * width, ++row * width);
    if (pool === "cls") {
      own.set(token(0));
      return;
    }
    for (let i = 1; i <= count; i++) {
      const state = token(i);
      for (let c = 0; c < width; c++) own[c] += state[c];
    }
    if (pool === "mean") for (let c = 0; c < width; c++) own[c] /= count;
  });
  return pooled;
}
