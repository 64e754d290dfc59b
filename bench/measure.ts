// What every benchmark here shares: repetition, medians and spread, one JSON line a result.

import { median } from "../src/runtime/median.js";
import { describeMachine } from "../src/tasks/bench.js";

export interface Timing {
  /** Seconds. */
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly runs: number;
}

/** Times `work` after a warm-up that is not counted. */
export async function time(work: () => unknown, runs = 5, warmup = 1): Promise<Timing> {
  const seconds: number[] = [];
  for (let i = -warmup; i < runs; i++) {
    const start = performance.now();
    await work();
    if (i >= 0) seconds.push((performance.now() - start) / 1000);
  }
  return { median: median(seconds), least: Math.min(...seconds), most: Math.max(...seconds), runs };
}

/** Peak memory of this process in MB. */
export const peakMemoryMB = (): number => process.resourceUsage().maxRSS / 1024;

export function report(benchmark: string, values: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify({ benchmark, ...values, machine: describeMachine() }));
}
