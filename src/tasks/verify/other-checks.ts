// Compares what needs no model run: the learning-rate schedule and the shapes of the full-size model.
import { readFileSync } from "node:fs";
import { referenceLayout } from "../../model/reference-layout.js";
import { learningRateAt, SCHEDULE_DEFAULTS } from "../../train/schedule.js";
import { type Comparison, compare } from "./comparison.js";
import { modelConfig } from "./model-set.js";

interface GoldenSchedule {
  readonly cfg: {
    readonly warmup_updates: number;
    readonly warmup_init_lr: number;
    readonly lr: readonly number[];
    readonly min_lr: number;
    readonly max_update: number;
  };
  readonly lr: readonly (readonly [update: number, rate: number])[];
}

export function checkSchedule(path: string, label: string): Comparison[] {
  const { schedules } = JSON.parse(readFileSync(path, "utf8")) as { schedules: readonly GoldenSchedule[] };
  return schedules.map(({ cfg, lr }, i) => {
    const schedule = {
      ...SCHEDULE_DEFAULTS,
      learningRate: cfg.lr[0],
      minLearningRate: cfg.min_lr,
      warmupUpdates: cfg.warmup_updates,
      warmupInitialRate: cfg.warmup_init_lr,
      maxUpdates: cfg.max_update,
    };
    const ours = lr.map(([update]) => learningRateAt(schedule, update));
    return compare(
      `${label} schedule ${i + 1}`,
      ours,
      lr.map(([, rate]) => rate),
      1e-12,
    );
  });
}

/** Shape by shape: the parameters of a pretraining model of the released scripts. */
export function checkShapes(path: string, label: string): Comparison[] {
  const golden = JSON.parse(readFileSync(path, "utf8")) as {
    readonly args: Readonly<Record<string, number>>;
    readonly total: number;
    readonly parameters: Readonly<Record<string, { readonly shape: readonly number[] }>>;
  };
  const layout = new Map(referenceLayout(modelConfig(golden)).map(({ name, shape }) => [name, shape]));
  const names = new Set([...Object.keys(golden.parameters), ...layout.keys()]);
  const wrong = [...names].filter((name) => layout.get(name)?.join() !== golden.parameters[name]?.shape.join());
  const total = [...layout.values()].reduce((sum, shape) => sum + shape.reduce((size, dim) => size * dim, 1), 0);
  return [
    {
      name: `${label} shapes`,
      error: wrong.length,
      tolerance: 0,
      kind: "equal",
      note: wrong.slice(0, 3).join(", ") || `${names.size} tensors`,
    },
    {
      name: `${label} parameters`,
      error: Math.abs(total - golden.total),
      tolerance: 0,
      kind: "equal",
      note: total.toLocaleString("en"),
    },
  ];
}
