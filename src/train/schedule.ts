// The learning rate of each update: linear warm-up, then a cosine, as in the reference (cosine_lr_scheduler.py:116-147).

import { ConfigError } from "../errors.js";

export interface CosineSchedule {
  /** Rate at the end of the warm-up. */
  readonly learningRate: number;
  /** Rate at the end of the cosine. */
  readonly minLearningRate: number;
  readonly warmupUpdates: number;
  /** Rate of the very first update; a negative number means `minLearningRate`. */
  readonly warmupInitialRate: number;
  /** Where the cosine ends. Later updates start another period of the same length with all rates times `shrink`. */
  readonly maxUpdates: number;
  /** The reference's `lr_shrink`, 0.1. */
  readonly shrink: number;
}

/** What the reference's pretraining uses unless its script says otherwise. */
export const SCHEDULE_DEFAULTS = { minLearningRate: 0, warmupUpdates: 0, warmupInitialRate: 0, shrink: 0.1 } as const;

/** @throws ConfigError naming the setting that is out of range. */
export function checkSchedule(schedule: CosineSchedule): void {
  const { learningRate, minLearningRate, warmupUpdates, maxUpdates, shrink } = schedule;
  if (!(learningRate >= 0 && learningRate < Infinity)) {
    throw new ConfigError(`schedule: learning rate: expected 0 or a positive number, got ${learningRate}`);
  }
  if (!(minLearningRate >= 0 && minLearningRate <= learningRate)) {
    throw new ConfigError(`schedule: minimal rate: expected 0 to ${learningRate}, got ${minLearningRate}`);
  }
  if (!(schedule.warmupInitialRate <= learningRate)) {
    throw new ConfigError(
      `schedule: initial rate of the warm-up: expected at most ${learningRate}, got ${schedule.warmupInitialRate}`,
    );
  }
  if (!Number.isInteger(warmupUpdates) || warmupUpdates < 0) {
    throw new ConfigError(`schedule: warm-up: expected a whole number of updates, got ${warmupUpdates}`);
  }
  if (!Number.isInteger(maxUpdates) || maxUpdates <= warmupUpdates) {
    throw new ConfigError(
      `schedule: expected more updates than the ${warmupUpdates} of the warm-up, got ${maxUpdates}`,
    );
  }
  if (!(shrink > 0 && shrink <= 1))
    throw new ConfigError(`schedule: shrink: expected a number in (0, 1], got ${shrink}`);
}

/**
 * Learning rate after `updatesDone` updates, that is, of update number `updatesDone + 1`: the first one has
 * `warmupInitialRate`, which is 0 by default.
 * @throws ConfigError if the schedule contradicts itself.
 */
export function learningRateAt(schedule: CosineSchedule, updatesDone: number): number {
  checkSchedule(schedule);
  const { learningRate, minLearningRate, warmupUpdates, maxUpdates, shrink } = schedule;
  if (updatesDone < warmupUpdates) {
    const initial = schedule.warmupInitialRate < 0 ? minLearningRate : schedule.warmupInitialRate;
    return initial + updatesDone * ((learningRate - initial) / warmupUpdates);
  }
  const period = maxUpdates - warmupUpdates;
  const sinceWarmup = updatesDone - warmupUpdates;
  const restarts = Math.floor(sinceWarmup / period);
  const factor = shrink ** restarts;
  const low = minLearningRate * factor;
  const high = learningRate * factor;
  return low + 0.5 * (high - low) * (1 + Math.cos((Math.PI * (sinceWarmup - period * restarts)) / period));
}
