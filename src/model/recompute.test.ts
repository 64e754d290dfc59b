// A backward pass that computes values again gives the gradients of one that keeps them, dropout included.
import assert from "node:assert/strict";
import { test } from "node:test";
import { aceticAcid, chain, ethanol, methane } from "../blend/molecules.test.support.js";
import { Random } from "../random.js";
import { dropoutTensors } from "../train/make-batch.js";
import { REFERENCE_DROPOUT, REFERENCE_LOSS_WEIGHTS } from "./config.js";
import { recomputes, trainingGraph } from "./graphs.js";
import { dropoutInputs } from "./inputs.js";
import { batchOf, distance, open, parametersOf, tiny } from "./tiny.test.support.js";

const config = tiny("distance");
const graphOf = (recompute: boolean) => trainingGraph(config, REFERENCE_DROPOUT, REFERENCE_LOSS_WEIGHTS, recompute);

test("every loss and gradient is the same whether values are kept or computed again", async () => {
  const batch = batchOf([ethanol, aceticAcid, chain(7), methane]);
  const [molecules, tokens] = batch["token_features"].shape;
  const size = { batch: molecules, tokens, atoms: tokens - 1 };
  const recipe = { dropout: dropoutInputs(config, REFERENCE_DROPOUT), droppath: "samples" } as const;
  const feeds = { ...batch, ...dropoutTensors(recipe, size, Random.fromSeed(3)), ...parametersOf(config, "strong") };
  const [kept, again] = await Promise.all(
    [false, true].map(async (recompute) => {
      const session = await open(graphOf(recompute));
      const outputs = await session.run(feeds);
      await session.close();
      return outputs;
    }),
  );
  assert.deepEqual(Object.keys(again), Object.keys(kept));
  for (const [name, { data }] of Object.entries(kept)) {
    const largest = Array.from(data as Float32Array).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
    assert.ok(distance(data as Float32Array, again[name].data as Float32Array) <= 1e-5 * largest, name);
  }
});

test("wide models compute again, at the price of more nodes", () => {
  assert.ok(graphOf(true).nodes.length > graphOf(false).nodes.length);
  assert.deepEqual(
    [256, 768].map((width) => recomputes({ ...config, width })),
    [false, true],
  );
});
