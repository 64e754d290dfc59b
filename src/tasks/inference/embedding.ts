// What an embedding thread is told, and how hidden states become rows.
import type { ModelConfig } from "../../model/config.js";
import type { TaskMode } from "../../model/task-graphs.js";

/** cls: the graph token; mean, sum: over the atoms; atoms: one row an atom. */
export const POOLINGS = ["cls", "mean", "sum", "atoms"] as const;
export type Pooling = (typeof POOLINGS)[number];

export interface EmbedSetup {
  readonly corpusDir: string | null;
  readonly config: ModelConfig;
  readonly mode: TaskMode;
  readonly layer: number;
  readonly pool: Pooling;
  /** Parameters in the layout of `taskSpecs(config, 1, readsGeometry(mode))`. */
  readonly parameters: Float32Array;
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
