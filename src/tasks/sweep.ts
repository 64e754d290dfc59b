// A search over a few settings of fine-tuning: trials drawn from a declared space, chosen by validation alone.
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, DatasetError } from "../errors.js";
import { Random } from "../random.js";
import { isBetter } from "../train/metrics.js";
import type { FinetuneOverrides } from "../train/task-settings.js";
import { type FinetuneJob, type FinetuneSummary, finetune } from "./finetune.js";

/** Settings that are searched: a list to choose from, or a range on a logarithmic scale. */
export interface SweepSpace {
  readonly learningRate: readonly [low: number, high: number];
  readonly batchSize: readonly number[];
  readonly dropout: readonly number[];
  readonly layerDecay: readonly number[];
}

export const SWEEP_SPACE: SweepSpace = {
  learningRate: [1e-4, 2e-3],
  batchSize: [16, 32, 64],
  dropout: [0, 0.1, 0.2],
  layerDecay: [0.7, 0.85, 1],
};

export type SweepSettings = Pick<Required<FinetuneOverrides>, keyof SweepSpace>;

export interface SweepJob {
  /** What every trial shares; its seeds are those of the final model. Its run is OUT/final. */
  readonly job: Omit<FinetuneJob, "runsDir" | "name" | "scoreTest">;
  /**
   * - random: every trial has all epochs
   * - halving: all trials have few epochs; the better third goes on to three times as many, until all epochs are reached
   */
  readonly method: "random" | "halving";
  readonly trials: number;
  readonly epochs: number;
  /** Seeds of each trial; their mean validation value counts. */
  readonly trialSeeds: readonly number[];
  /** Draws the trials. */
  readonly seed: number;
  readonly space?: SweepSpace;
  readonly outDir: string;
  readonly onTrial?: (trial: SweepTrial, done: number, total: number) => void;
}

/** A line of OUT/trials.jsonl. */
export interface SweepTrial {
  readonly trial: number;
  readonly epochs: number;
  readonly settings: SweepSettings;
  readonly metric: string;
  /** Mean over the seeds of the best validation value. */
  readonly validation: number;
  readonly seeds: readonly number[];
  readonly seconds: number;
}

export interface SweepSummary {
  readonly best: SweepTrial;
  readonly trials: number;
  /** The model trained with the best settings; its test part was scored once. Null where the sweep was stopped. */
  readonly final: FinetuneSummary | null;
  readonly finished: boolean;
}

/** Of sweep.json; 1 had no number, and in it mode 3d was what is "both" now. */
const VERSION = 2;

/** Trials go on to three times the epochs by thirds (Jamieson and Talwalkar 2016, arXiv 1502.07943). */
const REDUCTION = 3;

/** The settings of a trial follow from the seed and its number. */
export function drawSettings(space: SweepSpace, seed: number, trial: number): SweepSettings {
  const random = Random.fromSeed(seed).split("sweep", trial);
  const pick = (values: readonly number[]) => values[random.below(values.length)];
  const [low, high] = space.learningRate;
  return {
    learningRate: Number((low * (high / low) ** random.uniform()).toPrecision(3)),
    batchSize: pick(space.batchSize),
    dropout: pick(space.dropout),
    layerDecay: pick(space.layerDecay),
  };
}

export interface Rung {
  readonly trials: number;
  readonly epochs: number;
}

/** How many trials have how many epochs, round by round. */
export function planRungs(method: SweepJob["method"], trials: number, epochs: number): Rung[] {
  if (method === "random") return [{ trials, epochs }];
  const counts = [trials];
  while (counts[counts.length - 1] > REDUCTION && epochs / REDUCTION ** counts.length >= 1)
    counts.push(Math.ceil(counts[counts.length - 1] / REDUCTION));
  return counts.map((count, i) => ({
    trials: count,
    epochs: Math.max(1, Math.round(epochs / REDUCTION ** (counts.length - 1 - i))),
  }));
}

function checkJob({ trials, epochs, trialSeeds, job, space = SWEEP_SPACE }: SweepJob): void {
  const positive = (name: string, value: number) => {
    if (!(Number.isInteger(value) && value > 0))
      throw new ConfigError(`${name}: expected a positive integer, got ${value}`);
  };
  positive("trials", trials);
  positive("epochs", epochs);
  if (trialSeeds.length === 0) throw new ConfigError("trial seeds: expected at least one, got none");
  const [low, high] = space.learningRate;
  if (!(low > 0 && high >= low))
    throw new ConfigError(`learning rate: expected a range above 0, got ${low} to ${high}`);
  for (const name of ["batchSize", "dropout", "layerDecay"] as const)
    if (space[name].length === 0) throw new ConfigError(`${name}: expected values to choose from, got none`);
  const fixed = Object.keys(space).filter((name) => job.training && name in job.training);
  if (fixed.length > 0) throw new ConfigError(`${fixed.join(", ")}: searched by the sweep, and given a value as well`);
}

/**
 * Runs the trials that are not done yet, then trains the final model with the best settings. Only the final model predicts the
 * test part; trials leave it alone.
 * @throws ConfigError, DatasetError, CheckpointError; ConfigError also when OUT holds a sweep of other settings
 */
export async function sweep(sweepJob: SweepJob): Promise<SweepSummary> {
  checkJob(sweepJob);
  const { outDir, method, trials, epochs, job } = sweepJob;
  mkdirSync(outDir, { recursive: true });
  refuseOtherSweep(sweepJob);
  const path = join(outDir, "trials.jsonl");
  const done = readTrials(path);
  const rungs = planRungs(method, trials, epochs);
  const total = rungs.reduce((sum, rung) => sum + rung.trials, 0);
  let numbers = Array.from({ length: trials }, (_, i) => i);
  let ranked: SweepTrial[] = [];
  let count = 0;
  for (const rung of rungs) {
    numbers = numbers.slice(0, rung.trials);
    const results: SweepTrial[] = [];
    for (const trial of numbers) {
      let result = done.find((one) => one.trial === trial && one.epochs === rung.epochs);
      if (!result) {
        if (job.shouldStop?.()) return stopped(ranked, done);
        result = await runTrial(sweepJob, trial, rung.epochs);
        if (job.shouldStop?.()) return stopped(ranked, done); // Cut short: no result.
        appendFileSync(path, `${JSON.stringify(result)}\n`);
        done.push(result);
      }
      results.push(result);
      sweepJob.onTrial?.(result, ++count, total);
    }
    ranked = results.sort((a, b) => (isBetter(a.metric, a.validation, b.validation) ? -1 : 1));
    numbers = ranked.map(({ trial }) => trial);
  }
  const [best] = ranked;
  const name = "final";
  rmSync(join(outDir, name), { recursive: true, force: true });
  const training = { ...job.training, ...best.settings, epochs };
  const final = await finetune({ ...job, training, runsDir: outDir, name, scoreTest: true });
  return { best, trials: done.length, final, finished: final.finished };
}

function stopped(ranked: readonly SweepTrial[], done: readonly SweepTrial[]): SweepSummary {
  const [best] = ranked.length > 0 ? ranked : done;
  if (!best) throw new ConfigError("the sweep was stopped before its first trial was done");
  return { best, trials: done.length, final: null, finished: false };
}

/** Everything that decides the trials must be as it was when the sweep began. */
function refuseOtherSweep({
  job,
  method,
  trials,
  epochs,
  trialSeeds,
  seed,
  space = SWEEP_SPACE,
  outDir,
}: SweepJob): void {
  const { inputs, targets, from, preset, kind, readout, mode, split, training } = job;
  const shared = { inputs, targets, from, preset, kind, readout, mode, split, training };
  const text = JSON.stringify({ version: VERSION, ...shared, method, trials, epochs, trialSeeds, seed, space });
  const path = join(outDir, "sweep.json");
  if (!existsSync(path)) {
    writeFileSync(path, text);
    return;
  }
  const before = readFileSync(path, "utf8");
  if (before !== text)
    throw new ConfigError(
      `${outDir}: expected the sweep that began here, ${before}, got ${text}; take another folder (--out)`,
    );
}

/** @throws DatasetError for a line that is damaged; a last line that was cut short is done again */
function readTrials(path: string): SweepTrial[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) writeFileSync(path, whole);
  return whole
    .split("\n")
    .filter(Boolean)
    .map((line, i) => {
      try {
        return JSON.parse(line) as SweepTrial;
      } catch (cause) {
        throw new DatasetError(`${path}:${i + 1}: expected a trial as JSON, got ${line.slice(0, 60)}`, { cause });
      }
    });
}

async function runTrial({ job, trialSeeds, seed, space, outDir }: SweepJob, trial: number, epochs: number) {
  const settings = drawSettings(space ?? SWEEP_SPACE, seed, trial);
  const name = `trial-${trial}-${epochs}`;
  const runsDir = join(outDir, "work");
  rmSync(join(runsDir, name), { recursive: true, force: true });
  const summary = await finetune({
    ...job,
    ...{ runsDir, name, seeds: trialSeeds },
    training: { ...job.training, ...settings, epochs },
    progress: "silent",
    scoreTest: false,
  });
  // All that counts of a trial is a line of trials.jsonl.
  rmSync(join(runsDir, name), { recursive: true, force: true });
  const { metric, seconds } = summary;
  const values = summary.seeds.map(({ validation }) => validation[metric]);
  const validation = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { trial, epochs, settings, metric, validation, seeds: trialSeeds, seconds };
}
