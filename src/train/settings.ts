// Everything that defines a pretraining run, as plain data, with the defaults of each preset.
import { type BlendOptions, REFERENCE_NOISE } from "../blend/draws.js";
import { type GeometryTarget, type PolicyOptions, policy } from "../blend/policy.js";
import type { BatchOptions } from "../data/batches.js";
import { ConfigError } from "../errors.js";
import {
  BALANCED_LOSS_WEIGHTS,
  type DropoutConfig,
  type LossWeights,
  type ModelConfig,
  NO_DROPOUT,
  type PresetName,
  preset,
  REFERENCE_DROPOUT,
  REFERENCE_LOSS_WEIGHTS,
} from "../model/config.js";
import type { InitScheme } from "../model/parameters.js";
import { ADAM_DEFAULTS, type AdamConfig } from "./adam.js";

export interface PretrainSettings {
  readonly preset: string;
  readonly model: ModelConfig;
  readonly blend: BlendOptions;
  readonly dropout: DropoutConfig;
  readonly droppath: "samples" | "positions";
  readonly lossWeights: LossWeights;
  readonly init: InitScheme;
  readonly adam: AdamConfig;
  readonly learningRate: number;
  readonly warmupSteps: number;
  /** Updates in all. */
  readonly steps: number;
  readonly batches: BatchOptions;
  /** Batches whose mean gradient makes one update. */
  readonly accumulate: number;
  /**
   * Replicas of the model that share each batch; without it, chosen when a run begins (`replicasFor`) and kept from there on. Draws do
   * not depend on it, but sums are added up in another order.
   */
  readonly replicas?: number;
  /** Share of the structures held out. */
  readonly validation: number;
  readonly seed: number;
  readonly logEvery: number;
  readonly evaluateEvery: number;
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
}

/** What a preset trains with beside its sizes. */
interface Schedule {
  readonly steps: number;
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly maxTokens: number;
  readonly dropout: DropoutConfig;
}

const SCHEDULES: Readonly<Record<PresetName, Schedule>> = {
  mini: { steps: 4000, learningRate: 2e-3, warmupSteps: 200, maxTokens: 512, dropout: NO_DROPOUT },
  base: { steps: 50_000, learningRate: 3e-4, warmupSteps: 2500, maxTokens: 1024, dropout: REFERENCE_DROPOUT },
  paper: { steps: 1_000_000, learningRate: 2e-4, warmupSteps: 100_000, maxTokens: 4096, dropout: REFERENCE_DROPOUT },
};

/** The reference clips at 5. */
const CLIP = 5;
/** Padded pairs a batch, in multiples of its padded tokens: what keeps a batch of large molecules in memory. */
const PAIRS_PER_TOKEN = 32;

/** How long and in what portions is trained; neither the model nor what it learns. */
export interface ScheduleOverrides {
  readonly steps?: number;
  readonly learningRate?: number;
  readonly warmupSteps?: number;
  readonly maxTokens?: number;
  /** A fixed number of molecules a batch, in random order, instead of a budget of tokens. */
  readonly batchSize?: number;
  readonly accumulate?: number;
  readonly replicas?: number;
  readonly validation?: number;
  readonly logEvery?: number;
  readonly evaluateEvery?: number;
  readonly checkpointEvery?: number;
  readonly keepCheckpoints?: number;
}

export interface SettingOverrides extends PolicyOptions, ScheduleOverrides {
  readonly policy?: string;
  readonly target?: GeometryTarget;
  readonly noise?: number;
  readonly rotate?: boolean;
  readonly maskPerBatch?: boolean;
  readonly seed?: number;
  readonly lossWeights?: LossWeights;
  /** Overrides every dropout probability. */
  readonly dropout?: number;
  /**
   * Everything as the reference does it: displacement target, its loss weights and dropout, one mask a batch, droppath
   * over positions, official initialisation, no rotation, lone atoms denoised.
   */
  readonly official?: boolean;
}

/** @throws ConfigError naming the option, what was expected and what came */
export function pretrainSettings(presetName: string, overrides: SettingOverrides = {}): PretrainSettings {
  const model = preset(presetName);
  const schedule = SCHEDULES[presetName as PresetName];
  const { official = false } = overrides;
  const steps = positive("steps", overrides.steps ?? schedule.steps);
  const maxTokens = positive("max-tokens", overrides.maxTokens ?? schedule.maxTokens);
  const dropout = overrides.dropout;
  if (dropout !== undefined && !(dropout >= 0 && dropout < 1)) {
    throw new ConfigError(`dropout: expected a probability in [0, 1), got ${dropout}`);
  }
  const scale = overrides.noise ?? REFERENCE_NOISE;
  if (!(scale >= 0 && Number.isFinite(scale))) throw new ConfigError(`noise: expected 0 Å or more, got ${scale}`);
  const learningRate = overrides.learningRate ?? schedule.learningRate;
  checkRate(learningRate);
  const every = (fallback: number) => Math.max(1, Math.min(fallback, steps));
  return {
    preset: presetName,
    model: { ...model, geometryTarget: overrides.target ?? (official ? "displacement" : model.geometryTarget) },
    blend: {
      policy: policy(overrides.policy ?? "blend", { denoiseLoneAtoms: official, ...overrides }),
      noise: scale,
      rotate: overrides.rotate ?? !official,
      maskPerBatch: overrides.maskPerBatch ?? official,
    },
    dropout:
      dropout === undefined
        ? official
          ? REFERENCE_DROPOUT
          : schedule.dropout
        : { attention: dropout, activation: dropout, droppath: dropout, denoising: dropout },
    droppath: official ? "positions" : "samples",
    lossWeights: overrides.lossWeights ?? (official ? REFERENCE_LOSS_WEIGHTS : BALANCED_LOSS_WEIGHTS),
    init: official ? "reference" : "moleblend",
    adam: { ...ADAM_DEFAULTS, maxGradientNorm: CLIP },
    learningRate,
    warmupSteps: overrides.warmupSteps ?? Math.min(schedule.warmupSteps, Math.ceil(steps / 10)),
    steps,
    batches: batchesOf(maxTokens, overrides.batchSize),
    accumulate: positive("accumulate", overrides.accumulate ?? 1),
    ...(overrides.replicas === undefined ? {} : { replicas: positive("replicas", overrides.replicas) }),
    validation: overrides.validation ?? 0.05,
    seed: overrides.seed ?? 1,
    logEvery: positive("log-every", overrides.logEvery ?? every(20)),
    evaluateEvery: positive("evaluate-every", overrides.evaluateEvery ?? every(500)),
    checkpointEvery: positive("checkpoint-every", overrides.checkpointEvery ?? every(500)),
    keepCheckpoints: positive("keep-checkpoints", overrides.keepCheckpoints ?? 2),
  };
}

/**
 * Settings under which a model that was trained elsewhere goes on here.
 * @throws ConfigError naming the option, what was expected and what came
 */
export function rescheduled(settings: PretrainSettings, overrides: ScheduleOverrides): PretrainSettings {
  const { maxTokens, batchSize, ...rest } = overrides;
  for (const name of [
    "steps",
    "accumulate",
    "replicas",
    "logEvery",
    "evaluateEvery",
    "checkpointEvery",
    "keepCheckpoints",
  ] as const) {
    const value = rest[name];
    if (value !== undefined) positive(name, value);
  }
  if (rest.learningRate !== undefined) checkRate(rest.learningRate);
  const anew = maxTokens !== undefined || batchSize !== undefined;
  const batches = anew ? { batches: batchesOf(positive("max-tokens", maxTokens ?? 1), batchSize) } : {};
  const changed = { ...settings, ...rest, ...batches };
  const { steps, warmupSteps } = changed;
  if (warmupSteps < steps) return changed;
  throw new ConfigError(`warmup-steps: expected fewer than the ${steps} steps in all, got ${warmupSteps}`);
}

function batchesOf(maxTokens: number, batchSize: number | undefined): BatchOptions {
  return batchSize === undefined
    ? { maxTokens, maxPairs: maxTokens * PAIRS_PER_TOKEN }
    : { fixed: positive("batch-size", batchSize) };
}

function checkRate(learningRate: number): void {
  if (!(learningRate > 0)) throw new ConfigError(`learning-rate: expected a positive number, got ${learningRate}`);
}

function positive(name: string, value: number): number {
  if (Number.isInteger(value) && value > 0) return value;
  throw new ConfigError(`${name}: expected a positive integer, got ${value}`);
}
