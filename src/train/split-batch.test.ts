// Parts of a batch: rows of the whole, what is no row in each, and constants of the losses once.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { aceticAcid, chain, ethanol, methane, salt } from "../blend/molecules.test.support.js";
import { memoryOf } from "../data/release-memory.js";
import { REFERENCE_DROPOUT } from "../model/config.js";
import { dropoutInputs } from "../model/inputs.js";
import { batchOf, tiny } from "../model/tiny.test.support.js";
import { Random } from "../random.js";
import { dropoutTensors } from "./make-batch.js";
import { splitBatch } from "./split-batch.js";

const whole = batchOf([ethanol, aceticAcid, chain(6), methane, salt], { target: "displacement" });
const numbers = (tensor: { readonly data: ArrayLike<number> }) => Array.from(tensor.data);

describe("splitBatch", () => {
  it("cuts rows into parts of neighbours, padded like the batch", () => {
    const parts = splitBatch(whole, 2, []);
    assert.deepEqual(
      parts.map((part) => part["token_features"].shape),
      [2, 3].map((molecules) => [molecules, ...whole["token_features"].shape.slice(1)]),
    );
    for (const name of ["token_features", "pair_features", "direction", "spd_target", "noise_target"]) {
      assert.deepEqual(
        parts.flatMap((part) => numbers(part[name])),
        numbers(whole[name]),
        name,
      );
    }
  });

  it("gives every part what is no row, and the constants of the losses to one", () => {
    const parts = splitBatch(whole, 3, []);
    for (const name of ["spd_selection", "spd_scale", "edge_scale"]) {
      for (const part of parts) assert.deepEqual(numbers(part[name]), numbers(whole[name]), name);
    }
    for (const name of ["geometry_total", "noise_total"]) {
      assert.deepEqual(
        parts.map((part) => part[name].data[0]),
        [1, 0, 0],
        name,
      );
    }
  });

  it("finds the molecules of dropout multipliers where their place has them", () => {
    const places = dropoutInputs(tiny("displacement"), REFERENCE_DROPOUT);
    const [molecules, tokens] = whole["token_features"].shape;
    const size = { batch: molecules, tokens, atoms: tokens - 1 };
    const masks = dropoutTensors({ dropout: places, droppath: "samples" }, size, Random.fromSeed(1));
    const parts = splitBatch({ ...whole, ...masks }, 2, places);
    const { data, shape } = masks["keep.layer.1.activation"];
    assert.deepEqual(shape.slice(0, 2), [tokens, molecules]);
    const row = (at: ArrayLike<number>, t: number, b: number, count: number) =>
      Array.from({ length: shape[2] }, (_, c) => at[(t * count + b) * shape[2] + c]);
    for (let t = 0; t < tokens; t++) {
      for (let b = 0; b < molecules; b++) {
        const [part, own] = b < 2 ? [0, b] : [1, b - 2];
        const mask = parts[part]["keep.layer.1.activation"];
        assert.deepEqual(row(mask.data, t, own, mask.shape[1]), row(data, t, b, molecules));
      }
    }
    for (const name of ["keep.layer.1.attention", "keep.layer.1.output_path"]) {
      assert.deepEqual(
        parts.flatMap((part) => numbers(part[name])),
        numbers(masks[name]),
        name,
      );
    }
  });

  it("makes no empty part, and leaves each in one piece of memory of its own", () => {
    const parts = splitBatch(whole, 9, []);
    assert.equal(parts.length, 5);
    const memory = parts.map(memoryOf);
    assert.ok(memory.every((pieces) => pieces.length === 1));
    assert.equal(new Set(memory.flat()).size, 5);
    assert.ok(parts.every((part) => Object.keys(part).join() === Object.keys(whole).join()));
  });
});
