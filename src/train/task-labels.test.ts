// Labels on their way into the loss and back out of the logits; settings that decide what learns and how fast.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { preset } from "../model/config.js";
import { taskSpecs } from "../model/parameters.js";
import type { TaskConfig } from "../model/task-graphs.js";
import { balancedClassWeights, type LabelTable, labelTensors, targetScales, toPredictions } from "./task-labels.js";
import { finetuneSettings, isTrained, rateOf } from "./task-settings.js";

const missing = Number.NaN;
const task = (kind: TaskConfig["kind"], outputs: number): TaskConfig => ({
  ...{ kind, outputs, readout: "cls", mode: "2d" },
});
const every = (labels: LabelTable) =>
  Int32Array.from({ length: labels.values.length / labels.names.length }, (_, i) => i);
const rounded = (values: ArrayLike<number>) => Array.from(values, (value) => Number(value.toFixed(6)));

describe("labels", () => {
  it("are standardised on the training part, target by target, missing ones aside", () => {
    const labels = { names: ["a", "b"], values: Float64Array.of(1, 10, 3, missing, 5, 30, 100, 1000) };
    const targets = targetScales(labels, Int32Array.of(0, 1, 2), "regression");
    assert.deepEqual(rounded(targets.map(({ mean }) => mean)), [3, 20]);
    assert.deepEqual(rounded(targets.map(({ std }) => std)), rounded([Math.sqrt(8 / 3), 10]));
    const { labels: wanted, label_weights: weights } = labelTensors(
      labels,
      [0, 1],
      task("regression", 2),
      targets,
      null,
    );
    assert.deepEqual(rounded(wanted.data), rounded([-2 / targets[0].std, -1, 0, 0]));
    assert.deepEqual(rounded(weights.data), rounded([1 / 3, 1 / 3, 1 / 3, 0]));
    assert.deepEqual(
      rounded(toPredictions([-1, 0.5], task("regression", 2), targets)),
      rounded([3 - targets[0].std, 25]),
    );
  });

  it("of a constant target are refused", () => {
    const labels = { names: ["a"], values: Float64Array.of(2, 2, 7) };
    assert.throws(() => targetScales(labels, Int32Array.of(0, 1), "regression"), {
      name: "DatasetError",
      message: /target "a": expected different values.*2 training labels that are all 2/,
    });
  });

  it("of classes become one-hot rows with one weight each", () => {
    const labels = { names: ["class"], values: Float64Array.of(2, missing, 0) };
    const targets = targetScales(labels, every(labels), "classes");
    const { labels: wanted, label_weights: weights } = labelTensors(
      labels,
      every(labels),
      task("classes", 3),
      targets,
      null,
    );
    assert.deepEqual([...wanted.data], [0, 0, 1, 0, 0, 0, 1, 0, 0]);
    assert.deepEqual([...weights.data], [0.5, 0, 0.5]);
    const [a, b, c] = toPredictions([1000, 1000, -1000], task("classes", 3), targets);
    assert.deepEqual([a, b, c], [0.5, 0.5, 0]);
  });

  it("can weigh every class the same", () => {
    const labels = { names: ["a", "b"], values: Float64Array.of(1, 0, 0, 0, 0, missing, 0, 1) };
    const [a, b] = balancedClassWeights(labels, every(labels), task("binary", 2));
    assert.deepEqual(rounded(a), rounded([4 / 6, 2]));
    assert.deepEqual(rounded(b), rounded([3 / 4, 3 / 2]));
    const { label_weights: weights } = labelTensors(
      labels,
      [0],
      task("binary", 2),
      targetScales(labels, every(labels), "binary"),
      [a, b],
    );
    assert.deepEqual(rounded(weights.data), rounded([2 / 2.75, 0.75 / 2.75]));
  });
});

describe("finetuneSettings", () => {
  const model = preset("mini");
  const names = taskSpecs(model, 1, false).map(({ name }) => name);
  const settings = (overrides: Parameters<typeof finetuneSettings>[3]) =>
    finetuneSettings(model, task("regression", 1), "rmse", overrides);

  it("lowers the rate layer by layer from the head down", () => {
    const decayed = settings({ layerDecay: 0.5 });
    const rate = (name: string) => rateOf(name, decayed);
    assert.equal(rate("task.dense.weight"), 1);
    assert.equal(rate("layer.3.qkv.weight"), 0.5);
    assert.equal(rate("layer.0.qkv.weight"), 0.5 ** 4);
    assert.equal(rate("embedding.atom"), 0.5 ** 5);
    assert.equal(rate("relation.spd"), 0.5 ** 5);
  });

  it("freezes the encoder or its lower layers", () => {
    const trained = (freeze: "nothing" | "encoder" | number) =>
      names.filter((name) => isTrained(name, settings({ freeze })));
    assert.deepEqual(trained("nothing"), names);
    assert.ok(trained("encoder").every((name) => name.startsWith("task.")));
    assert.ok(trained(2).every((name) => /^(layer\.[23]|task)\./.test(name)));
    assert.ok(trained(0).includes("layer.0.qkv.weight") && !trained(0).includes("embedding.atom"));
  });

  it("refuses values that cannot be meant", () => {
    for (const wrong of [
      { epochs: 0 },
      { dropout: 1 },
      { layerDecay: 0 },
      { freeze: 9 },
      { warmup: 1 },
      { learningRate: 0 },
    ])
      assert.throws(() => settings(wrong), { name: "ConfigError" }, JSON.stringify(wrong));
  });
});
