// Batches from threads: in order, the same as made here, whatever memory they lie in.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { BatchTensors } from "../blend/tensors.js";
import { openCorpus } from "../data/corpus.js";
import { dropoutInputs } from "../model/inputs.js";
import { Random } from "../random.js";
import { prepare } from "../tasks/prepare.js";
import { loadBatches } from "./batch-loader.js";
import { type BatchRecipe, makeBatch } from "./make-batch.js";
import { pretrainSettings } from "./settings.js";
import { roomIn } from "./spare-room.js";

const root = mkdtempSync(join(tmpdir(), "moleblend-loader-"));
const corpusDir = join(root, "corpus");
after(() => rmSync(root, { recursive: true, force: true }));

before(async () => {
  const file = join(root, "molecules.smi");
  writeFileSync(file, Array.from({ length: 40 }, (_, i) => `${"C".repeat(1 + i)}c1ccccc1`).join("\n"));
  await prepare([file], corpusDir, { workers: 0 });
});

const settings = pretrainSettings("mini");
const recipe: BatchRecipe = {
  blend: settings.blend,
  target: settings.model.geometryTarget,
  dropout: dropoutInputs(settings.model, settings.dropout),
  droppath: settings.droppath,
};

/** What is freed when the next batch is asked for, and not used again. */
const freed = (tensors: BatchTensors) =>
  Object.entries(tensors).flatMap(([name, tensor]) =>
    recipe.dropout.some((own) => own.name === name) ? [] : [tensor],
  );

describe("loadBatches", () => {
  for (const workers of [1, 2]) {
    it(`gives what makeBatch gives, and lets go of the batch before, with ${workers} threads`, async () => {
      const orders = Array.from({ length: 12 }, (_, i) => ({
        molecules: Int32Array.from({ length: 1 + (i % 4) }, (_, k) => (i * 7 + k) % 40),
        labels: ["test", i],
      }));
      const corpus = await openCorpus(corpusDir);
      let at = 0;
      let last: BatchTensors = {};
      for await (const [tensors] of loadBatches(orders, { corpusDir, recipe, seed: 3, workers })) {
        assert.ok(freed(last).every((tensor) => tensor.data.byteLength === 0));
        last = tensors;
        const { molecules, labels } = orders[at++];
        assert.deepEqual(tensors, makeBatch(corpus, molecules, recipe, Random.fromSeed(3).split(...labels)));
      }
      assert.equal(at, orders.length);
      corpus.close();
    });
  }
});

describe("roomIn", () => {
  it("takes memory that fits, and frees what is too small", () => {
    const spare = new ArrayBuffer(2048);
    for (const bytes of [0, 1500, 2048]) assert.equal(roomIn(spare)(bytes), spare);
    const fresh = roomIn(spare)(2049);
    assert.ok(fresh !== spare && fresh.byteLength >= 2049);
    assert.equal(spare.byteLength, 0);
    assert.ok(roomIn(null)(1000).byteLength >= 1000);
  });
});
