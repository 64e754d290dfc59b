// Preparing molecules without geometry: conformers in the corpus, their order and names, failures, the cache, threads.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openCorpus } from "../data/corpus.js";
import { type PrepareConformers, type PrepareOptions, prepare } from "./prepare.js";

describe("prepare with conformers", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "moleblend-prepare-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  let runs = 0;
  async function run(smiles: readonly string[], conformers: PrepareConformers, options: PrepareOptions = {}) {
    const input = join(folder, "molecules.smi");
    writeFileSync(input, `${smiles.join("\n")}\n`);
    const out = join(folder, `corpus-${runs++}`);
    const summary = await prepare([input], out, { workers: 0, ...options, conformers });
    const shards = readdirSync(out)
      .filter((name) => name.startsWith("shard"))
      .map((name) => readFileSync(join(out, name)));
    return { summary, out, shards };
  }

  it("gives every molecule its geometries, under one structure", async () => {
    const { summary, out } = await run(["CCCCO ethanol", "C1CC1"], { count: 3 });
    assert.equal(summary.molecules, 4, "three shapes of butanol, one of cyclopropane");
    assert.equal(summary.with3d, 4);
    assert.equal(summary.structures, 2);
    assert.deepEqual(summary.notes, { "generated-conformer": 2, "fewer-conformers: no other shape": 1 });
    const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
    assert.deepEqual(manifest.options.conformers, { count: 3, seed: 0, timeout: 10, rules: 1 });
    const corpus = await openCorpus(out);
    assert.equal(corpus.size, 4);
  });

  it("makes the same corpus in this thread, in others, and out of the cache", async () => {
    const smiles = ["CCCCO", "N[C@@H](C)C(=O)O", "OCC(O)CO", "c1ccccc1CC"];
    const cacheDir = join(folder, "cache");
    const alone = await run(smiles, { count: 2 });
    const threads = await run(smiles, { count: 2, cacheDir }, { workers: 2 });
    const cached = await run(smiles, { count: 2, cacheDir });
    const reordered = await run([...smiles].reverse(), { count: 2, cacheDir });
    assert.deepEqual(threads.shards, alone.shards);
    assert.deepEqual(cached.shards, alone.shards);
    assert.deepEqual(cached.summary.notes, alone.summary.notes);
    assert.equal(reordered.summary.molecules, alone.summary.molecules);
    assert.equal(readdirSync(cacheDir).filter((name) => !name.includes("conformers.jsonl")).length, 0);
    const otherSeed = await run(smiles, { count: 2, seed: 1, cacheDir });
    assert.notDeepEqual(otherSeed.shards, alone.shards);
  });

  it("keeps a molecule without geometry where none can be made, and counts why", async () => {
    const { summary } = await run(["CCCCCCCC", "CCO"], { count: 1, timeout: 1e-9 });
    assert.equal(summary.molecules, 2);
    assert.equal(summary.with3d, 0);
    assert.deepEqual(summary.notes, { "no-conformer: timeout": 2 });
  });

  it("adds all hydrogens when hydrogens are kept", async () => {
    const { summary } = await run(["CO"], { count: 1 }, { hydrogens: true });
    assert.equal(summary.atoms, 6);
    assert.equal(summary.with3d, 1);
  });

  it("refuses impossible settings", async () => {
    for (const conformers of [{ count: 0 }, { count: 1.5 }, { count: 1, timeout: 0 }, { count: 1, seed: 0.5 }]) {
      await assert.rejects(run(["C"], conformers), { name: "ConfigError" });
    }
  });
});
