// Preparing a corpus from files: in input order whatever the number of threads, with every reject accounted for.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Reject } from "../chem/molecule.js";
import { openCorpus } from "../data/corpus.js";
import { splitCorpus } from "../data/split.js";
import { ConfigError } from "../errors.js";
import { type PrepareProgress, prepare } from "./prepare.js";

const root = mkdtempSync(join(tmpdir(), "moleblend-prepare-"));
after(() => rmSync(root, { recursive: true, force: true }));
let files = 0;

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

function file(name: string, content: string): string {
  const path = join(root, `${files++}-${name}`);
  writeFileSync(path, content);
  return path;
}
const newFolder = () => join(root, `corpus-${files++}`);

/** Alkanes and bad lines among them: line n is bad when n is a multiple of 50. */
const lines = Array.from({ length: 1000 }, (_, at) =>
  (at + 1) % 50 === 0 ? `C1CC bad${at + 1}` : `${"C".repeat(1 + (at % 12))}${at % 2 ? "O" : "N"} mol${at + 1}`,
);
const csv = ["smiles,gap,note", "CCO,1.5,x", "CCN,,y", "c1ccccc1,high,z", "CC(=O)O,-2e-1,"].join("\n");
const readRejects = (dir: string) =>
  readFileSync(join(dir, "rejects.jsonl"), "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Reject);

describe("prepare", () => {
  it("writes the same corpus with no, one and two threads, in input order", async () => {
    const input = file("many.smi", `${lines.join("\n")}\n`);
    const shards: string[][] = [];
    for (const workers of [0, 1, 2]) {
      const dir = newFolder();
      const summary = await prepare([input], dir, { workers, shardSize: 300 });
      assert.equal(summary.records, 1000);
      assert.equal(summary.molecules, 980);
      assert.deepEqual(summary.rejects, { "unparsable-smiles": 20 });
      const corpus = await openCorpus(dir);
      const names = Array.from({ length: corpus.size }, (_, index) => corpus.get(index).name);
      assert.deepEqual(
        names,
        lines.filter((_, at) => (at + 1) % 50 !== 0).map((line) => line.split(" ")[1]),
      );
      assert.deepEqual(
        readRejects(dir).map((reject) => reject.line),
        Array.from({ length: 20 }, (_, at) => 50 * (at + 1)),
      );
      shards.push(corpus.manifest.shards.map((shard) => shard.sha256));
    }
    assert.deepEqual(shards[1], shards[0]);
    assert.deepEqual(shards[2], shards[0]);
  });

  it("keeps labels as numbers, NaN where missing or not a number, and counts both", async () => {
    const dir = newFolder();
    const summary = await prepare([file("labels.csv", csv)], dir, { labels: ["gap"], workers: 0 });
    const corpus = await openCorpus(dir);
    assert.deepEqual([...corpus.labelColumn("gap")], [1.5, Number.NaN, Number.NaN, -0.2]);
    assert.equal(summary.notes["missing-label"], 1);
    assert.equal(summary.notes["unparsable-label"], 1);
  });

  it("names the existing columns when a label is none of them", async () => {
    const dir = newFolder();
    const job = prepare([file("labels.csv", csv)], dir, { labels: ["gap", "homo"], workers: 0 });
    await assert.rejects(job, {
      name: "DatasetError",
      message: /label "homo": expected one of its columns.*gap, note/,
    });
    assert.ok(!existsSync(dir));
    assert.ok(!readdirSync(root).some((name) => name.includes(".partial-")));
  });

  it("joins several files, rejects molecules that are too large, and reports progress", async () => {
    const dir = newFolder();
    const inputs = [file("a.smi", "CCO\nCCCCCCCCCC\n"), file("b.smi", "CCN\n")];
    const progress: PrepareProgress[] = [];
    const summary = await prepare(inputs, dir, { maxAtoms: 5, workers: 0, onProgress: (p) => progress.push(p) });
    assert.equal(summary.molecules, 2);
    assert.deepEqual(summary.rejects, { "too-many-atoms": 1 });
    assert.equal(progress.at(-1)?.bytes, progress.at(-1)?.totalBytes);
    const { sources, options } = (await openCorpus(dir)).manifest;
    assert.deepEqual(
      sources.map((source) => source.records),
      [2, 1],
    );
    assert.equal(options["maxAtoms"], 5);
  });

  it("says so when no molecule is left, and leaves nothing behind", async () => {
    const dir = newFolder();
    const job = prepare([file("bad.smi", "C1CC\nxyz\n")], dir, { workers: 1 });
    await assert.rejects(job, /expected molecules, got 2 records of which none can be used; the first: .*bad.smi:1/);
    assert.ok(!existsSync(dir));
    await assert.rejects(prepare([join(root, "no-such-file.smi")], dir, { workers: 1 }), { name: "DatasetError" });
    assert.ok(!readdirSync(root).some((name) => name.includes(".partial-")));
  });

  it("refuses impossible options and stops when told to", async () => {
    const input = file("many.smi", lines.join("\n"));
    await assert.rejects(prepare([], newFolder()), ConfigError);
    await assert.rejects(prepare([input], newFolder(), { maxAtoms: 0 }), ConfigError);
    await assert.rejects(prepare([input], newFolder(), { workers: -1 }), ConfigError);
    const stopped = prepare([input], newFolder(), { workers: 0, signal: AbortSignal.abort() });
    await assert.rejects(stopped, { name: "AbortError" });
  });

  it("prepares the embedded molecules with geometry and labels", async () => {
    const input = join(repositoryRoot(), "data/nci-xtb/nci-xtb.sdf.gz");
    const dir = newFolder();
    const summary = await prepare([input], dir, { labels: ["gap_eV", "dipole_D"] });
    assert.equal(summary.records, 4431);
    assert.equal(summary.with3d, summary.molecules);
    assert.ok(summary.molecules > 4400, JSON.stringify(summary.rejects));
    const corpus = await openCorpus(dir);
    assert.ok(corpus.labelColumn("gap_eV").every((value) => value > 0 && value < 20));
    const molecule = corpus.get(100);
    assert.equal(molecule.positions?.length, corpus.atomCounts[100] * 3);
    const { train, validation } = splitCorpus(corpus.structureKeys, {}, 1);
    assert.equal(train.length + validation.length, corpus.size);
  });
});
