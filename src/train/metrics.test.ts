import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DatasetError, MoleblendError, ShapeError } from "../errors.js";
import { bootstrapIntervals, isBetter, taskMetrics } from "./metrics.js";

const floats = (...values: number[]) => Float64Array.from(values);
const close = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual} is not ${expected}`);

test("binary measures of four molecules, worked by hand", () => {
  // In order of score: 0.1 (-), 0.4 (+), 0.6 (-), 0.9 (+).
  const { average } = taskMetrics("binary", floats(0.9, 0.6, 0.4, 0.1), floats(1, 0, 1, 0), 1);
  close(average["roc-auc"], 3 / 4);
  close(average["pr-auc"], (1 + 2 / 3) / 2);
  close(average["accuracy"], 1 / 2);
  close(average["log-loss"], -(2 * Math.log(0.9) + 2 * Math.log(0.4)) / 4);
  // Each molecule has a bin of its own.
  close(average["calibration-error"], (0.1 + 0.6 + 0.6 + 0.1) / 4);
});

test("equal scores share their place", () => {
  const { average } = taskMetrics("binary", floats(0.5, 0.5, 0.5, 0.5), floats(1, 0, 0, 0), 1);
  close(average["roc-auc"], 0.5);
  close(average["pr-auc"], 0.25);
});

test("missing labels do not count, and tasks of one class are left out of the mean", () => {
  const predictions = floats(0.9, 0.9, 0.5, 0.1, 0.1, 0.5, 0.8, 0.2, 0.5);
  const labels = floats(1, 1, Number.NaN, 0, 1, Number.NaN, 1, Number.NaN, Number.NaN);
  const { average, perTask } = taskMetrics("binary", predictions, labels, 3);
  assert.deepEqual(
    perTask.map((task) => task["roc-auc"]),
    [1, Number.NaN, Number.NaN],
  );
  close(average["roc-auc"], 1);
  close(perTask[1]["accuracy"], 1 / 2);
  assert.ok(Number.isNaN(perTask[2]["accuracy"]));
  assert.ok(Number.isNaN(taskMetrics("binary", floats(0.3, 0.4), floats(1, 1), 1).average["roc-auc"]));
});

test("regression measures of four molecules, worked by hand", () => {
  const { average } = taskMetrics("regression", floats(1, 2, 4, 4), floats(1, 3, 2, 6), 1);
  close(average["rmse"], Math.sqrt((0 + 1 + 4 + 4) / 4));
  close(average["mae"], 5 / 4);
  close(average["r2"], 1 - 9 / 14);
  // Ranks 1, 2, 3.5, 3.5 and 1, 3, 2, 4: sums of products 3, 4.5 and 5.
  close(average["spearman"], 3 / Math.sqrt(4.5 * 5));
});

test("classes: accuracy, log loss, mean area of one against the rest", () => {
  const predictions = floats(0.7, 0.2, 0.1, 0.2, 0.5, 0.3, 0.1, 0.6, 0.3);
  const { average, perTask } = taskMetrics("classes", predictions, floats(0, 1, 2), 3);
  assert.equal(perTask.length, 1);
  close(average["accuracy"], 2 / 3);
  close(average["log-loss"], -(Math.log(0.7) + Math.log(0.5) + Math.log(0.3)) / 3);
  close(average["roc-auc"], (1 + 1 / 2 + 3 / 4) / 3);
});

test("ROC-AUC is the share of pairs in the right order, whatever the scores", () => {
  const molecule = fc.tuple(fc.integer({ min: 0, max: 6 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(molecule, { minLength: 2, maxLength: 30 }), (molecules) => {
      let [right, pairs] = [0, 0];
      for (const [a, positive] of molecules)
        for (const [b, other] of molecules)
          if (positive && !other) {
            right += a > b ? 1 : a === b ? 0.5 : 0;
            pairs++;
          }
      const scores = Float64Array.from(molecules, ([score]) => score / 6);
      const labels = Float64Array.from(molecules, ([, positive]) => Number(positive));
      const area = taskMetrics("binary", scores, labels, 1).average["roc-auc"];
      if (pairs === 0) assert.ok(Number.isNaN(area));
      else close(area, right / pairs);
    }),
  );
});

test("intervals follow from the seed and hold the measure of all molecules", () => {
  const predictions = floats(0.1, 0.4, 0.35, 0.8, 0.65, 0.2);
  const labels = floats(0, 0, 1, 1, 1, 0);
  const once = bootstrapIntervals("binary", predictions, labels, 1, { seed: 3, resamples: 500 });
  assert.deepEqual(bootstrapIntervals("binary", predictions, labels, 1, { seed: 3, resamples: 500 }), once);
  assert.notDeepEqual(bootstrapIntervals("binary", predictions, labels, 1, { seed: 4, resamples: 500 }), once);
  const area = taskMetrics("binary", predictions, labels, 1).average["roc-auc"];
  assert.ok(once["roc-auc"].low < area && area <= once["roc-auc"].high);
});

test("the interval of a mean absolute error covers like its normal approximation", () => {
  const errors = Float64Array.from({ length: 400 }, (_, i) => ((i * 7919) % 400) / 100);
  const { mae } = bootstrapIntervals("regression", errors, new Float64Array(400), 1, { seed: 1, resamples: 2000 });
  const mean = errors.reduce((sum, error) => sum + error, 0) / 400;
  const deviation = Math.sqrt(errors.reduce((sum, error) => sum + (error - mean) ** 2, 0) / 400);
  const half = (1.96 * deviation) / Math.sqrt(400);
  assert.ok(Math.abs(mae.low - (mean - half)) < 0.15 * half, `${mae.low} against ${mean - half}`);
  assert.ok(Math.abs(mae.high - (mean + half)) < 0.15 * half, `${mae.high} against ${mean + half}`);
});

test("what cannot be measured is refused", () => {
  assert.throws(() => taskMetrics("regression", floats(1, 2, 3), floats(1, 2), 1), ShapeError);
  assert.throws(() => taskMetrics("regression", floats(Number.NaN), floats(1), 1), MoleblendError);
  assert.throws(() => taskMetrics("binary", floats(2.5), floats(1), 1), /expected probabilities, got 2.5/);
  assert.throws(() => taskMetrics("binary", floats(0.5), floats(-1), 1), DatasetError);
  assert.throws(() => taskMetrics("classes", floats(0.5, 0.5), floats(2), 2), /2 classes \(0 to 1\).*got 2/);
});

test("better means larger or smaller, and never not defined", () => {
  assert.ok(isBetter("roc-auc", 0.8, 0.7) && !isBetter("rmse", 0.8, 0.7));
  assert.ok(!isBetter("rmse", Number.NaN, 1) && isBetter("rmse", 1, Number.NaN));
  assert.throws(() => isBetter("rmsd", 1, 2), /expected one of roc-auc/);
});
