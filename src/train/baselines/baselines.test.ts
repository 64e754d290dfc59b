import assert from "node:assert/strict";
import { test } from "node:test";
import { ShapeError } from "../../errors.js";
import type { TaskKind } from "../../model/task-graphs.js";
import { Random } from "../../random.js";
import { taskMetrics } from "../metrics.js";
import { BASELINES, type BaselineData, runBaseline } from "./baselines.js";
import { type BinaryFeatures, unpackFingerprints } from "./binary-features.js";
import { growTree, leafOf } from "./tree.js";

/** Rows of 16 random bits each on with one chance in four. */
function randomFeatures(rows: number, seed: number): BinaryFeatures {
  const random = Random.fromSeed(seed);
  return unpackFingerprints(
    Uint8Array.from({ length: rows * 2 }, () => random.below(256) & random.below(256)),
    16,
  );
}

const has = ({ start, on }: BinaryFeatures, row: number, column: number) =>
  on.subarray(start[row], start[row + 1]).includes(column);

const range = (from: number, to: number) => Int32Array.from({ length: to - from }, (_, i) => from + i);

function data(
  kind: TaskKind,
  outputs: number,
  label: (features: BinaryFeatures, row: number) => number[],
): BaselineData {
  const features = randomFeatures(600, 7);
  const labels = Float64Array.from([...range(0, 600)].flatMap((row) => label(features, row)));
  return { kind, outputs, features, labels, train: range(0, 400), validation: range(400, 500) };
}

const TEST_ROWS = range(500, 600);

function score(kind: TaskKind, { labels, outputs }: BaselineData, predictions: Float64Array): Record<string, number> {
  const width = kind === "classes" ? 1 : outputs;
  return taskMetrics(kind, predictions, labels.slice(500 * width), outputs).average;
}

test("fingerprints are read bit by bit, the lowest first", () => {
  const features = unpackFingerprints(Uint8Array.from([0b00000101, 0b10000000, 0, 0b1]), 16);
  assert.deepEqual([...features.start], [0, 3, 4]);
  assert.deepEqual([...features.on], [0, 2, 15, 8]);
  assert.throws(() => unpackFingerprints(new Uint8Array(3), 16), ShapeError);
});

test("a full-grown tree gives back what it was grown on", () => {
  const features = randomFeatures(200, 3);
  const target = Float64Array.from({ length: 200 }, (_, row) =>
    Number(has(features, row, 3) !== has(features, row, 5)),
  );
  const weight = new Float64Array(200).fill(1);
  const options = { candidates: 16, maxDepth: 50, minRows: 1, penalty: 0 };
  const tree = growTree(
    features,
    { channels: 1, gradient: target, weight },
    range(0, 200),
    options,
    Random.fromSeed(1),
  );
  for (let row = 0; row < 200; row++) assert.equal(tree.value[leafOf(tree, features, row, 1)], target[row]);
  // Depth 0: the mean alone.
  const stump = growTree(
    features,
    { channels: 1, gradient: target, weight },
    range(0, 200),
    { ...options, maxDepth: 0 },
    Random.fromSeed(1),
  );
  assert.deepEqual([...stump.value], [target.reduce((sum, value) => sum + value, 0) / 200]);
});

test("the first split is the feature that tells most, worked by hand", () => {
  // Four rows: feature 1 separates the targets 0, 0, 3, 5 best.
  const features = unpackFingerprints(Uint8Array.from([0b001, 0b000, 0b011, 0b010]), 8);
  const target = { channels: 1, gradient: Float64Array.from([0, 0, 3, 5]), weight: new Float64Array(4).fill(1) };
  const options = { candidates: 8, maxDepth: 1, minRows: 1, penalty: 0 };
  const tree = growTree(features, target, range(0, 4), options, Random.fromSeed(1));
  assert.deepEqual([...tree.feature], [1, -1, -1]);
  assert.deepEqual([...tree.value], [2, 0, 4]);
});

test("both methods learn what depends on two bits together, of every kind of task", () => {
  const together = (features: BinaryFeatures, row: number) => Number(has(features, row, 2) && !has(features, row, 9));
  const numbers = data("regression", 1, (features, row) => [3 * together(features, row) - 1]);
  const answers = data("binary", 1, (features, row) => [together(features, row)]);
  const classes = data("classes", 3, (features, row) => [together(features, row) + Number(has(features, row, 2))]);
  for (const name of BASELINES) {
    const options = { seed: 1, trees: 60 };
    const r2 = score("regression", numbers, runBaseline(name, numbers, TEST_ROWS, options).predictions)["r2"];
    assert.ok(r2 > 0.9, `${name}: ${r2}`);
    const area = score("binary", answers, runBaseline(name, answers, TEST_ROWS, options).predictions)["roc-auc"];
    assert.ok(area > 0.97, `${name}: ${area}`);
    const accuracy = score("classes", classes, runBaseline(name, classes, TEST_ROWS, options).predictions)["accuracy"];
    assert.ok(accuracy > 0.95, `${name}: ${accuracy}`);
  }
});

test("missing labels are not learnt from, and the seed decides", () => {
  const labels = (features: BinaryFeatures, row: number) => [
    row % 3 === 0 ? Number.NaN : Number(has(features, row, 4)),
    Number.NaN,
  ];
  const task = data("binary", 2, labels);
  for (const name of BASELINES) {
    const run = (seed: number) => runBaseline(name, task, TEST_ROWS, { seed, trees: 20 }).predictions;
    assert.deepEqual(run(1), run(1));
    assert.notDeepEqual(run(1), run(2));
    assert.ok(score("binary", task, run(1))["roc-auc"] > 0.99);
    assert.equal(run(1)[1], 0.5);
  }
});
