// Dropout multipliers: droppath drops whole samples (or token positions, as the reference does), as often as asked.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BLEND, chain, type Example, ethanol, methane } from "../blend/molecules.test.support.js";
import type { Corpus } from "../data/corpus.js";
import { Random } from "../random.js";
import { type BatchRecipe, makeBatch } from "../train/make-batch.js";
import { type DropoutConfig, NO_DROPOUT } from "./config.js";
import { dropoutInputs } from "./inputs.js";
import { batchOf, distance, openProbe, parametersOf, TINY } from "./tiny.test.support.js";

const DROPOUT: DropoutConfig = { attention: 0.2, activation: 0.1, droppath: 0.5, denoising: 0.1 };
const PATHS = ["keep.layer.1.attention_path", "keep.layer.1.output_path"];

/** As much of a corpus as making a batch needs. */
function corpusOf(examples: readonly Example[]): Pick<Corpus, "arrays"> {
  const molecules = examples.map(({ graph: { atoms, atomFeatures }, positions }) => {
    const bonds = Uint16Array.from(Array.from({ length: atoms - 1 }, (_, i) => [i, i + 1]).flat());
    return { atomFeatures, bonds, bondFeatures: new Uint8Array((bonds.length / 2) * 3), positions };
  });
  return { arrays: (index) => molecules[index] };
}

function recipe(droppath: BatchRecipe["droppath"]): BatchRecipe {
  return { blend: BLEND, target: "distance", dropout: dropoutInputs(TINY, DROPOUT), droppath };
}

function batch(examples: readonly Example[], droppath: BatchRecipe["droppath"], seed: number) {
  const members = Int32Array.from(examples.keys());
  return makeBatch(corpusOf(examples), members, recipe(droppath), Random.fromSeed(seed));
}

const MANY = Array.from({ length: 200 }, () => chain(9));

test("samples: all tokens of a molecule share their fate, molecules do not, half of them are dropped", () => {
  for (const name of PATHS) {
    const { data, shape } = batch(MANY, "samples", 1)[name];
    assert.deepEqual(shape, [200, 10, 1]);
    const own = Array.from({ length: 200 }, (_, b) => data[b * 10]);
    for (let at = 0; at < data.length; at++) assert.equal(data[at], own[Math.floor(at / 10)]);
    assert.ok(own.every((factor) => factor === 0 || factor === 2));
    const dropped = own.filter((factor) => factor === 0).length;
    assert.ok(Math.abs(dropped - 100) < 3.5 * Math.sqrt(50), `${dropped} of 200 dropped`);
  }
});

test("positions: a token position has one fate in all molecules", () => {
  const { data } = batch(MANY, "positions", 1)[PATHS[0]];
  for (let at = 0; at < data.length; at++) assert.equal(data[at], data[at % 10]);
  assert.deepEqual(new Set(data), new Set([0, 2]));
});

test("every place draws for itself, with its probability; batches repeat from their stream alone", () => {
  const first = batch(MANY, "samples", 1);
  assert.deepEqual(batch(MANY, "samples", 1), first);
  assert.notDeepEqual(batch(MANY, "samples", 2)[PATHS[0]], first[PATHS[0]]);
  assert.notDeepEqual(first[PATHS[0]].data, first[PATHS[1]].data);
  for (const [name, probability] of [
    ["keep.layer.0.attention", DROPOUT.attention],
    ["keep.layer.1.activation", DROPOUT.activation],
    ["keep.denoising.attention", DROPOUT.denoising],
  ] as const) {
    const { data } = first[name];
    const share = data.filter((factor) => factor === 0).length / data.length;
    const error = Math.sqrt((probability * (1 - probability)) / data.length);
    assert.ok(Math.abs(share - probability) < 4 * error + 1e-5, `${name}: ${share} dropped`);
    const mean = Array.from(data, Number).reduce((sum, factor) => sum + factor, 0) / data.length;
    assert.ok(Math.abs(mean - 1) < (4 * error) / (1 - probability) + 1e-4, `${name}: mean ${mean}`);
  }
});

/** Layer norm of each row, by the definition. */
function norm(rows: readonly number[], name: string): number[] {
  const parameters = parametersOf(TINY, "strong");
  const [weight, bias] = ["weight", "bias"].map((part) => Array.from(parameters[`${name}.${part}`].data, Number));
  const { width } = TINY;
  return rows.map((value, at) => {
    const row = rows.slice(at - (at % width), at - (at % width) + width);
    const mean = row.reduce((sum, x) => sum + x, 0) / width;
    const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / width;
    return ((value - mean) / Math.sqrt(variance + 1e-5)) * weight[at % width] + bias[at % width];
  });
}

test("a dropped sample passes the branch by, the others do not notice", async () => {
  const examples = [ethanol, chain(4), methane];
  const probe = await openProbe(TINY, { ...NO_DROPOUT, droppath: 0.5 });
  const tokens = 5;
  const keep = (factors: readonly number[]) => ({
    data: Float32Array.from({ length: 3 * tokens }, (_, at) => factors[Math.floor(at / tokens)]),
    shape: [3, tokens, 1],
  });
  const plain = batchOf(examples);
  const run = (factors: readonly number[]) =>
    probe.run({ ...plain, [PATHS[0]]: keep(factors), [PATHS[1]]: keep(factors) });
  const [all, second] = [await run([1, 1, 1]), await run([1, 0, 1])];
  const rows = (outputs: typeof all, name: string, b: number) =>
    Array.from(outputs[name].data, Number).slice(b * tokens * TINY.width, (b + 1) * tokens * TINY.width);
  for (const b of [0, 2]) {
    const difference = distance(rows(second, "layer.1.output", b), rows(all, "layer.1.output", b));
    assert.ok(difference < 1e-5, `molecule ${b} changed by ${difference}`);
  }
  // Without both branches nothing is left of the layer but its two norms.
  const expected = norm(norm(rows(second, "layer.0.output", 1), "layer.1.attention_norm"), "layer.1.output_norm");
  const off = distance(rows(second, "layer.1.output", 1), expected);
  assert.ok(off < 1e-4, `the dropped molecule is off by ${off}`);
  assert.ok(distance(rows(all, "layer.1.output", 1), expected) > 0.05, "and would not be so otherwise");
  await probe.session.close();
});
