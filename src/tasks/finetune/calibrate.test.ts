// The calibration of a run: fitted on one part, it holds on another, and is said in the units of the kind of task.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TaskConfig } from "../../model/task-graphs.js";
import { Random } from "../../random.js";
import {
  applyCalibration,
  calibrationTable,
  describeCalibration,
  fitCalibration,
  scoreCalibration,
} from "./calibrate.js";

const regression: TaskConfig = { kind: "regression", outputs: 1, readout: "mean", mode: "2d" };
const binary: TaskConfig = { ...regression, kind: "binary" };
const source = { from: "ensemble", models: 3 } as const;

/** Standard deviations that are half of what they should be. */
function part(seed: number) {
  const random = Random.fromSeed(seed);
  const mean = Float64Array.from({ length: 2000 }, () => random.normal());
  const std = mean.map(() => 0.5 + random.uniform());
  return { uncalibrated: { mean, std }, labels: mean.map((value, i) => value + 2 * std[i] * random.normal()) };
}

test("regression: intervals of the test part hold after calibration on validation", () => {
  const [validation, other] = [part(1), part(2)];
  const calibration = fitCalibration(regression, source, validation.uncalibrated, validation.labels);
  assert.ok(calibration);
  const calibrated = applyCalibration(regression, calibration, other.uncalibrated);
  const summary = scoreCalibration(
    regression,
    calibration,
    "test",
    { ...other.uncalibrated, calibrated },
    other.labels,
  );
  assert.ok(summary);
  const [inner, outer] = summary.scores;
  assert.ok(inner.before < 0.45 && Math.abs(inner.after - 0.68) < 0.03, JSON.stringify(inner));
  assert.ok(outer.before < 0.75 && Math.abs(outer.after - 0.95) < 0.02, JSON.stringify(outer));
  assert.match(
    describeCalibration(summary),
    /over 3 models times (1\.9|2\.0)\d? \(floor 0\.\d+\), fitted on the validation part/,
  );
  assert.equal(calibrationTable(summary).rows.length, 2);
});

test("without a spread there is nothing to scale", () => {
  const { uncalibrated, labels } = part(3);
  assert.equal(fitCalibration(regression, null, uncalibrated, labels), null);
  assert.equal(fitCalibration(regression, source, { ...uncalibrated, std: null }, labels), null);
  const calibration = { method: "spread", source, factors: [2] } as const;
  assert.equal(applyCalibration(regression, calibration, { ...uncalibrated, std: null }), null);
});

test("binary: log loss and calibration error before and after", () => {
  const random = Random.fromSeed(5);
  const honest = Float64Array.from({ length: 4000 }, () => random.uniform());
  const labels = honest.map((p) => (random.uniform() < p ? 1 : 0));
  // Three times too sure.
  const mean = honest.map((p) => p ** 3 / (p ** 3 + (1 - p) ** 3));
  const calibration = fitCalibration(binary, null, { mean, std: null }, labels);
  assert.ok(calibration?.method === "temperature" && Math.abs(calibration.temperature - 3) < 0.3);
  const calibrated = applyCalibration(binary, calibration, { mean, std: null });
  const summary = scoreCalibration(binary, calibration, "test", { mean, std: null, calibrated }, labels);
  for (const { name, before, after } of summary?.scores ?? []) assert.ok(after < before, name);
});
