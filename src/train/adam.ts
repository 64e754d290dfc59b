// Adam as the reference trains with it (fairseq/optim/adam.py), gradient clipping included, in two passes over memory.

import { ConfigError } from "../errors.js";
import type { Arena } from "./arena.js";

export interface AdamConfig {
  readonly beta1: number;
  readonly beta2: number;
  /** Added to sqrt(v), which is not bias-corrected here (unlike torch.optim.Adam). */
  readonly epsilon: number;
  /** Decoupled: p -= lr · weightDecay · p before the update. */
  readonly weightDecay: number;
  /** Gradients are scaled down to this global L2 norm; 0 turns clipping off. */
  readonly maxGradientNorm: number;
}

/** fairseq's defaults; the reference's scripts set weight decay and clipping themselves. */
export const ADAM_DEFAULTS: AdamConfig = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradientNorm: 0,
};

export interface AdamStep {
  /** Number of this update, from 1. */
  readonly update: number;
  readonly learningRate: number;
  /** Multiplied into the gradients first, e.g. 1 / micro-batches; 1 by default. */
  readonly gradientScale?: number;
  /** Reads the sum in `arena.accumulated` instead of `arena.gradients`. */
  readonly accumulated?: boolean;
  /** Parts with learning rates of their own; the whole arena at the full rate by default. */
  readonly ranges?: readonly RateRange[];
}

/** A part of the arena. */
export interface Span {
  /** First element and the one after the last, multiples of 8 (slots of a layout begin at multiples of 16). */
  readonly begin: number;
  readonly end: number;
}

/** A part of the arena that learns at its own rate. */
export interface RateRange extends Span {
  /** Multiplied into the learning rate; 0 leaves the part as it is. */
  readonly factor: number;
}

export interface AdamReport {
  /** L2 norm over all scaled gradients, before clipping. */
  readonly gradientNorm: number;
  /** What clipping multiplied the gradients with: 1 if the norm was small enough. */
  readonly clipCoefficient: number;
  /** False if the norm was not finite: then parameters and moments are as before. */
  readonly applied: boolean;
}

/** Floats whose squares are summed at one go, and updated while they are in the cache. Part of what defines the norm. */
export const BLOCK = 1 << 15;

/** @throws ConfigError naming the setting that is out of range. */
export function checkAdamConfig(config: AdamConfig): void {
  const fail = (name: keyof AdamConfig, expected: string): never => {
    throw new ConfigError(`Adam: ${name}: expected ${expected}, got ${config[name]}`);
  };
  if (!(config.beta1 >= 0 && config.beta1 < 1)) fail("beta1", "a number in [0, 1)");
  if (!(config.beta2 >= 0 && config.beta2 < 1)) fail("beta2", "a number in [0, 1)");
  if (!(Math.fround(config.epsilon) > 0 && config.epsilon < Infinity)) fail("epsilon", "a positive number");
  if (!(config.weightDecay >= 0 && config.weightDecay < Infinity)) fail("weightDecay", "0 or a positive number");
  if (!(config.maxGradientNorm >= 0)) fail("maxGradientNorm", "0 (off) or a positive number");
}

/** Sets both moments to 0. */
export function resetAdam(arena: Arena): void {
  arena.m.fill(0);
  arena.v.fill(0);
}

/** L2 norm of all gradients, in float64 and in an order that depends on nothing but their number. */
export function gradientNorm(arena: Arena, accumulated = false): number {
  const start = gradientAddress(arena, accumulated);
  let sum = 0;
  for (const { begin, end } of blocks({ begin: 0, end: arena.paddedCount })) {
    sum += arena.kernel.squareSum(start + 4 * begin, end - begin);
  }
  return Math.sqrt(sum);
}

/** accumulated += gradients, for gradients of several micro-batches. @throws ConfigError without `accumulate`. */
export function accumulateGradients(arena: Arena): void {
  const target = gradientAddress(arena, true);
  arena.kernel.addInto(target, arena.address.gradients, arena.paddedCount);
}

/** min(1, max / (norm + 1e-6)), fairseq's `clip_grad_norm_`; 1 if max is 0. */
export function clipCoefficient(norm: number, maxNorm: number): number {
  return maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1;
}

/**
 * One update of `arena.parameters`, `m` and `v` in place; the gradients are left as they are.
 * Not applied, and reported so, if the gradient norm is not finite.
 */
export function adamStep(arena: Arena, config: AdamConfig, step: AdamStep): AdamReport {
  return applyAdam(arena, config, step, gradientNorm(arena, step.accumulated));
}

/**
 * `adamStep` where the norm is known already, on a part of the arena: replicas of a model have a part each.
 * @param norm of the gradients as they lie there, without `gradientScale`
 * @param part elements that are updated, bounds as in RateRange
 */
export function applyAdam(
  arena: Arena,
  config: AdamConfig,
  step: AdamStep,
  norm: number,
  part: Span = { begin: 0, end: arena.paddedCount },
): AdamReport {
  checkAdamConfig(config);
  const { update, learningRate, gradientScale = 1, accumulated = false } = step;
  if (!Number.isSafeInteger(update) || update < 1)
    throw new ConfigError(`Adam: update: expected 1 or more, got ${update}`);
  if (!Number.isFinite(learningRate))
    throw new ConfigError(`Adam: learning rate: expected a number, got ${learningRate}`);

  const scaled = Math.abs(gradientScale) * norm;
  if (!Number.isFinite(scaled)) return { gradientNorm: scaled, clipCoefficient: 1, applied: false };
  const coefficient = clipCoefficient(scaled, config.maxGradientNorm);
  const { parameters, m, v } = arena.address;
  const gradients = gradientAddress(arena, accumulated);
  for (const { begin, end, factor } of step.ranges ?? [{ begin: 0, end: arena.paddedCount, factor: 1 }]) {
    if (factor === 0) continue;
    const rate = learningRate * factor;
    const scalars = {
      gradientFactor: coefficient * gradientScale,
      beta1: config.beta1,
      oneMinusBeta1: 1 - config.beta1,
      beta2: config.beta2,
      oneMinusBeta2: 1 - config.beta2,
      stepSize: (rate * Math.sqrt(1 - config.beta2 ** update)) / (1 - config.beta1 ** update),
      epsilon: config.epsilon,
      decay: rate * config.weightDecay,
    };
    for (const block of blocks({ begin: Math.max(begin, part.begin), end: Math.min(end, part.end) })) {
      const offset = 4 * block.begin;
      const count = block.end - block.begin;
      arena.kernel.adam(parameters + offset, gradients + offset, m + offset, v + offset, count, scalars);
    }
  }
  return { gradientNorm: scaled, clipCoefficient: coefficient, applied: true };
}

/** What is worked on while it is in the cache, piece by piece. */
export function* blocks({ begin, end }: Span): Generator<Span> {
  for (let at = begin; at < end; at += BLOCK) yield { begin: at, end: Math.min(end, at + BLOCK) };
}

/** Where the gradients of an update lie, in bytes. @throws ConfigError without `accumulate`, where it is asked for */
export function gradientAddress(arena: Arena, accumulated: boolean): number {
  if (accumulated && !arena.accumulated) {
    throw new ConfigError("gradient accumulation: the arena was created without `accumulate`");
  }
  return accumulated ? arena.address.accumulated : arena.address.gradients;
}
