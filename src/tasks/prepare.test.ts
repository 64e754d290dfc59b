// Preparing a corpus from files: in input order whatever the number of threads, with every reject accounted for.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
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

  it("keeps what came before damage, says so, and goes on with the next input", async () => {
    const text = Array.from({ length: 60_000 }, (_, i) => `${"C".repeat(1 + (i % 9))} name${i * 7919}`).join("\n");
    const whole = gzipSync(text);
    const cut = join(root, "cut.smi.gz");
    writeFileSync(cut, whole.subarray(0, whole.length >> 1));
    const summary = await prepare([cut, file("next.smi", "CCO\n")], newFolder(), { workers: 2 });
    assert.ok(summary.molecules > 10_000 && summary.molecules < 60_000, `${summary.molecules}`);
    assert.equal(summary.damaged.length, 1);
    assert.equal(summary.damaged[0].path, cut);
    assert.match(summary.damaged[0].reason, /gzip data is damaged near byte .* records before that were read/);
    const { sources } = (await openCorpus(summary.outDir)).manifest;
    assert.equal(sources[0].records + 1, summary.molecules);
    assert.match(sources[0].damage ?? "", /damaged/);
    assert.equal(sources[1].damage, undefined);
  });

  it("takes a tag that only late records of an SD file have for a label; one that none has is an error", async () => {
    const block = (tags: string) =>
      `m\n  x  3D\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0000    0.0000    0.0000 C   0  0\nM  END\n${tags}$$$$\n`;
    const input = file("late.sdf", block("").repeat(1200) + block("> <gap>\n1.5\n\n"));
    const dir = newFolder();
    assert.equal((await prepare([input], dir, { labels: ["gap"], workers: 0 })).notes["missing-label"], 1200);
    assert.equal((await openCorpus(dir)).labelColumn("gap")[1200], 1.5);
    const job = prepare([input], newFolder(), { labels: ["homo"], workers: 0 });
    await assert.rejects(job, {
      name: "DatasetError",
      message: /label "homo": expected one of its columns or tags, got gap/,
    });
  });

  it("finds the columns of a known data set, leaves out listed molecules, and perceives bonds on request", async () => {
    const dir = newFolder();
    const copy = file("bace.csv", "mol,CID,Class,pIC50\nCCO,mol_1,1,7\nCC,mol_2,,8\n");
    await prepare([copy], dir, { dataset: "bace", workers: 0 });
    const corpus = await openCorpus(dir);
    assert.deepEqual(corpus.labelNames, ["Class"]);
    assert.deepEqual([...corpus.labelColumn("Class")], [1, Number.NaN]);
    const listed = file("listed.smi", "CCO gdb_21\nCC gdb_22\n");
    const left = await prepare([listed], newFolder(), {
      exclude: file("list.txt", "  21  C  C  C  0.1\n"),
      workers: 1,
    });
    assert.deepEqual([left.molecules, left.rejects], [1, { excluded: 1 }]);
    const isomers = file("isomers.smi", "C[C@H](O)CC left\nCC(O)CCC kept\nOC(C)CC same\n");
    const held = file("held.csv", "smiles,y\nCC[C@@H](C)O,1\nnothing,2\n");
    for (const workers of [0, 1]) {
      const kept = await prepare([isomers], newFolder(), { excludeStructures: [held], workers });
      assert.deepEqual([kept.molecules, kept.rejects], [1, { excluded: 2 }]);
    }
    const none = prepare([isomers], newFolder(), { excludeStructures: [file("no.smi", "nothing\n")], workers: 0 });
    await assert.rejects(none, { name: "DatasetError", message: /structures to leave out/ });
    const xyz = file("a.xyz", "3\n\nO 0 0 0\nH 0.76 0.59 0\nH -0.76 0.59 0\n2\n\nO 0 0 0\nH 0.96 0 0\n");
    const guessed = await prepare([xyz], newFolder(), { perceiveBonds: true, workers: 1 });
    assert.deepEqual([guessed.molecules, guessed.with3d, guessed.notes["perceived-bonds"]], [1, 1, 1]);
    assert.deepEqual(guessed.rejects, { "unparsable-record": 1 });
    await assert.rejects(prepare([xyz], newFolder(), { workers: 1 }), /--perceive-bonds/);
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
    const { train, validation } = splitCorpus(corpus.readStructureKeys(), {}, 1);
    assert.equal(train.length + validation.length, corpus.size);
  });
});
