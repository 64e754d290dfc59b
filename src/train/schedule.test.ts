import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../errors.js";
import { type CosineSchedule, learningRateAt, SCHEDULE_DEFAULTS } from "./schedule.js";

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

interface Golden {
  readonly schedules: readonly {
    readonly cfg: {
      readonly warmup_updates: number;
      readonly warmup_init_lr: number;
      readonly lr: readonly number[];
      readonly min_lr: number;
      readonly max_update: number;
    };
    readonly lr: readonly (readonly [updates: number, rate: number])[];
  }[];
}

test("all rates of the reference", () => {
  const path = join(repositoryRoot(), "test/golden/schedule.json");
  const golden = JSON.parse(readFileSync(path, "utf8")) as Golden;
  assert.ok(golden.schedules.length >= 4);
  for (const { cfg, lr } of golden.schedules) {
    const schedule: CosineSchedule = {
      learningRate: cfg.lr[0],
      minLearningRate: cfg.min_lr,
      warmupUpdates: cfg.warmup_updates,
      warmupInitialRate: cfg.warmup_init_lr,
      maxUpdates: cfg.max_update,
      shrink: 0.1,
    };
    for (const [updates, rate] of lr) {
      const got = learningRateAt(schedule, updates);
      assert.ok(Math.abs(got - rate) <= 1e-15 * Math.abs(rate), `after ${updates}: expected ${rate}, got ${got}`);
    }
  }
});

test("contradicting settings are refused", () => {
  const base: CosineSchedule = { ...SCHEDULE_DEFAULTS, learningRate: 1e-3, maxUpdates: 10 };
  const bad: Partial<CosineSchedule>[] = [
    { learningRate: Number.NaN },
    { learningRate: -1 },
    { minLearningRate: 1 },
    { warmupInitialRate: 1 },
    { warmupUpdates: 10 },
    { warmupUpdates: 1.5 },
    { maxUpdates: 0 },
    { shrink: 0 },
  ];
  for (const change of bad) assert.throws(() => learningRateAt({ ...base, ...change }, 0), ConfigError);
});
