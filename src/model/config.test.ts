// Presets and settings of models: what is refused, and with which words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkConfig, PRESETS, preset, REFERENCE_DROPOUT } from "./config.js";
import { dropoutInputs, droppathProbabilities } from "./inputs.js";
import { TINY } from "./tiny.test.support.js";

test("presets have sizes that fit", () => {
  for (const [name, config] of Object.entries(PRESETS)) {
    assert.equal(preset(name), config);
    assert.equal(checkConfig(config), config);
  }
  assert.deepEqual(
    [
      PRESETS.paper.layers,
      PRESETS.paper.width,
      PRESETS.paper.heads,
      PRESETS.paper.kernels,
      PRESETS.paper.geometryHidden,
    ],
    [12, 768, 32, 128, 256],
  );
});

test("unknown presets and impossible sizes are refused", () => {
  for (const name of ["large", "toString", ""]) {
    assert.throws(() => preset(name), { name: "ConfigError", message: /there are mini, base, paper/ });
  }
  assert.throws(() => checkConfig({ ...TINY, layers: 0 }), { name: "ConfigError", message: /layers.*got 0/ });
  assert.throws(() => checkConfig({ ...TINY, kernels: 1.5 }), /kernels: expected a positive integer, got 1.5/);
  assert.throws(() => checkConfig({ ...TINY, heads: 3 }), /width 16 is not a multiple of its 3 heads/);
});

test("droppath rises from nothing at the first layer to its last", () => {
  assert.deepEqual(droppathProbabilities(3, 0.5), [0, 0.25, 0.5]);
  assert.deepEqual(droppathProbabilities(1, 0.5), [0]);
});

test("places without dropout have no input", () => {
  const inputs = dropoutInputs({ ...TINY, layers: 2 }, REFERENCE_DROPOUT);
  assert.deepEqual(
    inputs.map(({ name, kind }) => `${name} ${kind}`),
    [
      "keep.layer.0.attention element",
      "keep.layer.0.activation element",
      "keep.layer.1.attention element",
      "keep.layer.1.activation element",
      "keep.layer.1.attention_path path",
      "keep.layer.1.output_path path",
      "keep.denoising.attention element",
    ],
  );
  assert.deepEqual(dropoutInputs(TINY, { attention: 0, activation: 0, droppath: 0, denoising: 0 }), []);
});
