// What a benchmark of one preset asks for and gives.
import type { ProfiledNode } from "../../runtime/profile.js";
import type { Yardstick } from "./yardstick.js";

export interface MeasureRequest {
  readonly preset: string;
  readonly corpusDir: string;
  readonly batchSize: number;
  /** Largest molecules are left out until the rest has at most this many atoms on average. */
  readonly meanAtoms: number;
  readonly steps: number;
  /** Steps that are not counted, first. */
  readonly warmup: number;
  /** Of the runtime, in all. */
  readonly threads: number;
  /** Of the model; by default as many as training would have. */
  readonly replicas?: number;
  readonly profile: boolean;
  readonly yardstick: boolean;
  /** Seconds after which no further step begins. */
  readonly budget: number;
}

export interface PresetResult {
  readonly preset: string;
  readonly batchSize: number;
  /** Heavy atoms of the molecules measured. */
  readonly meanAtoms: number;
  /** Full training steps on batches that are given: forward, backward, clip, Adam. */
  readonly moleculesPerSecond: number;
  /** The same with the time spent waiting for batches. */
  readonly moleculesPerSecondWithData: number;
  /** Median. */
  readonly stepSeconds: number;
  /** Of the whole process: model, data, runtime, JavaScript. */
  readonly peakMemoryMB: number;
  readonly shares: { readonly data: number; readonly runtime: number; readonly optimizer: number };
  readonly parameters: number;
  readonly steps: number;
  /** Replicas of the model that shared each batch. */
  readonly replicas: number;
  readonly sessionSeconds: number;
  readonly optimizerSeconds: number;
  /** To make one batch in one thread: relations, draws, collation, dropout. */
  readonly batchSeconds: number;
  /** Share of the padded tokens that are real. */
  readonly tokenEfficiency: number;
  /** Operator profile, when it was asked for. */
  readonly nodes: readonly ProfiledNode[] | null;
  /** The matrix products of one batch (of replicas, of one part) alone, and a whole step on that batch, when it was asked for. */
  readonly yardstick: (Yardstick & { readonly stepSeconds: number }) | null;
}

/** Numbers of the smallest molecules, as many as have at most `mean` atoms on average; all of them if they do. */
export function smallMolecules(atomCounts: Uint16Array, mean: number): Int32Array {
  const order = Int32Array.from(atomCounts.keys()).sort((a, b) => atomCounts[a] - atomCounts[b] || a - b);
  let sum = 0;
  let count = 0;
  while (count < order.length && sum + atomCounts[order[count]] <= mean * (count + 1))
    sum += atomCounts[order[count++]];
  return order.slice(0, count).sort();
}
