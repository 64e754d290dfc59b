// Sweep, benchmark and report end to end on a few real molecules: what is computed, kept, resumed and refused.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { CheckpointError, ConfigError, DatasetError } from "../errors.js";
import { type BenchmarkJob, runBenchmark } from "./benchmark.js";
import { type BenchmarkCell, benchmarkMarkdown, networkOf } from "./benchmark-table.js";
import { labelTasks, moleculenetTasks } from "./benchmark-tasks.js";
import { reportRun } from "./report-run.js";
import { drawSettings, planRungs, SWEEP_SPACE, type SweepJob, sweep } from "./sweep.js";

const folder = mkdtempSync(join(tmpdir(), "moleblend-evaluation-"));
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

function repositoryRoot(): string {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  return root;
}

/** FreeSolv's layout with molecules of the embedded set: their HOMO-LUMO gaps stand for the measured values. */
const dataDir = join(folder, "data");
mkdirSync(dataDir);
const records = gunzipSync(readFileSync(join(repositoryRoot(), "data/nci-xtb/nci-xtb.sdf.gz")))
  .toString("utf8")
  .split("$$$$\n")
  .slice(0, 80);
const tag = (record: string, name: string) => new RegExp(`<${name}>\\n(.*)\\n`).exec(record)?.[1] ?? "";
const table = records.map((record) => `${tag(record, "SMILES")},${tag(record, "gap_eV")}`);
writeFileSync(join(dataDir, "SAMPL.csv"), `smiles,expt\n${table.join("\n")}\n`);

test("rungs: few epochs for all, all epochs for the best third of the best third", () => {
  assert.deepEqual(planRungs("random", 7, 20), [{ trials: 7, epochs: 20 }]);
  assert.deepEqual(planRungs("halving", 9, 27), [
    { trials: 9, epochs: 9 },
    { trials: 3, epochs: 27 },
  ]);
  assert.deepEqual(planRungs("halving", 10, 18), [
    { trials: 10, epochs: 2 },
    { trials: 4, epochs: 6 },
    { trials: 2, epochs: 18 },
  ]);
  assert.deepEqual(planRungs("halving", 1, 5), [{ trials: 1, epochs: 5 }]);
});

test("settings follow from seed and number, within the space", () => {
  const [low, high] = SWEEP_SPACE.learningRate;
  const drawn = Array.from({ length: 50 }, (_, trial) => drawSettings(SWEEP_SPACE, 3, trial));
  assert.deepEqual(drawSettings(SWEEP_SPACE, 3, 7), drawn[7]);
  assert.ok(drawn.every(({ learningRate }) => learningRate >= low && learningRate <= high));
  assert.ok(drawn.filter(({ learningRate }) => learningRate < Math.sqrt(low * high)).length > 12);
  assert.deepEqual(new Set(drawn.map(({ batchSize }) => batchSize)), new Set(SWEEP_SPACE.batchSize));
});

const sweepJob: SweepJob = {
  ...{ method: "random", trials: 2, epochs: 1, trialSeeds: [1], seed: 1, outDir: join(folder, "sweep") },
  job: {
    ...{ inputs: [join(dataDir, "SAMPL.csv")], from: null, seeds: [1], progress: "silent", threads: 1 },
    prepare: { dataset: "freesolv" },
    split: { method: "scaffold", seed: 1 },
  },
};

test("a sweep chooses by validation, keeps no test score of a trial, and goes on where it was", async () => {
  const trialsPath = join(sweepJob.outDir, "trials.jsonl");
  const first = await sweep(sweepJob);
  const lines = readFileSync(trialsPath, "utf8");
  assert.equal(lines.trim().split("\n").length, 2);
  const values = lines
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { validation: number }).validation);
  assert.equal(first.best.validation, Math.min(...values));
  assert.deepEqual(
    readdirSync(join(sweepJob.outDir, "work")).filter((name) => name.startsWith("trial")),
    [],
  );
  assert.doesNotMatch(lines, /test/);
  assert.ok(first.final?.parts.test.metrics["rmse"]);
  // As if it had been killed in the second trial.
  writeFileSync(trialsPath, `${lines.split("\n")[0]}\n{"trial":1,"ep`);
  const again = await sweep(sweepJob);
  assert.deepEqual({ ...again.best, seconds: 0 }, { ...first.best, seconds: 0 });
  assert.equal(again.final?.parts.test.metrics["rmse"], first.final?.parts.test.metrics["rmse"]);
  await assert.rejects(sweep({ ...sweepJob, seed: 2 }), ConfigError);
  await assert.rejects(
    sweep({ ...sweepJob, outDir: join(folder, "other"), job: { ...sweepJob.job, training: { dropout: 0 } } }),
    /dropout: searched by the sweep/,
  );
});

test("a finished run is reported beside simple methods and itself", async () => {
  const run = join(sweepJob.outDir, "final");
  const files = await reportRun({ run, compare: [run] });
  const page = readFileSync(files.html, "utf8");
  for (const words of [
    "random forest",
    "gradient boosting",
    "from scratch (final)",
    "Worst mistakes",
    "scaffold, seed 1",
  ])
    assert.ok(page.includes(words), words);
  await assert.rejects(reportRun({ run: folder, compare: [] }), CheckpointError);
});

const benchmarkJob: BenchmarkJob = {
  ...{ title: "MoleculeNet", name: "moleculenet", tasks: moleculenetTasks(dataDir, ["freesolv"]) },
  ...{ methods: ["scratch", "random forest"], seeds: [1], split: "scaffold" },
  ...{ from: null, preset: "mini", training: { epochs: 1 }, outDir: join(folder, "results"), threads: 1 },
  command: "moleblend benchmark moleculenet",
};

test("a benchmark keeps its cells and does not mix settings", async () => {
  const cellsSeen: string[] = [];
  const run = (job: BenchmarkJob) => runBenchmark({ ...job, onCell: ({ method }) => cellsSeen.push(method) });
  // Stopped at once, after the first cell, and not at all.
  assert.equal((await run({ ...benchmarkJob, shouldStop: () => true })).finished, false);
  const first = await run(benchmarkJob);
  assert.deepEqual(cellsSeen, ["scratch", "random forest"]);
  const second = await run(benchmarkJob);
  assert.deepEqual(second.cells, first.cells);
  assert.match(readFileSync(first.markdown, "utf8"), /\| freesolv \| RMSE \(kcal\/mol\) \| 64 \/ 8 \/ 8 \|/);
  await assert.rejects(run({ ...benchmarkJob, training: { epochs: 2 } }), /take another folder/);
  await assert.rejects(run({ ...benchmarkJob, methods: ["pretrained"] }), ConfigError);
  await assert.rejects(run({ ...benchmarkJob, tasks: [] }), ConfigError);
  assert.throws(() => moleculenetTasks(dataDir, ["qm9"]), ConfigError);
  assert.throws(() => moleculenetTasks(dataDir, ["bace"]), DatasetError);
});

test("labels of one's own file are tasks, and networks see the graph, the distances or both", async () => {
  const sdf = join(dataDir, "geometry.sdf");
  writeFileSync(sdf, records.map((record) => `${record}$$$$\n`).join(""));
  const tasks = labelTasks([sdf], ["gap_eV", "dipole_D"], "mae", {});
  const methods = ["scratch 2d", "scratch 3d", "scratch both"] as const;
  const outDir = join(folder, "own");
  const job: BenchmarkJob = { ...benchmarkJob, title: "own", name: "own", tasks, methods, split: "random", outDir };
  const { cells, markdown } = await runBenchmark(job);
  assert.deepEqual(
    cells.map(({ task, method }) => [task, networkOf(method)?.mode]),
    ["gap_eV", "dipole_D"].flatMap((task) => ["2d", "3d", "both"].map((mode) => [task, mode])),
  );
  assert.equal(new Set(cells.map(({ test: value }) => value)).size, 6);
  assert.match(readFileSync(markdown, "utf8"), /\| task \| metric \|.* scratch 2d \| scratch 3d \| scratch both \|/);
  const unknown = { ...job, tasks: labelTasks([sdf], ["gap_eV"], "roc-auc", {}), outDir: join(folder, "unknown") };
  await assert.rejects(runBenchmark(unknown), ConfigError);
});

test("the table says plainly whether pretraining helps", () => {
  const cell = (method: BenchmarkCell["method"], seed: number, value: number): BenchmarkCell => ({
    ...{ task: "bbbp", method, seed, metric: "roc-auc", validation: 0.5, test: value, seconds: 10, settings: "" },
    unit: null,
    molecules: { train: 80, validation: 10, test: 10 },
  });
  const cells = [
    ...[cell("pretrained", 1, 0.9), cell("pretrained", 2, 0.92), cell("scratch", 1, 0.8), cell("scratch", 2, 0.82)],
    ...[cell("random forest", 1, 0.91), cell("random forest", 2, 0.93)],
  ];
  const page = benchmarkMarkdown(cells, { title: "MoleculeNet", command: "x", hardware: "y", split: "scaffold" });
  assert.match(page, /better than the same network from scratch, not told apart from random forest by these seeds/);
  assert.match(page, /\| 0\.910 ± 0\.014 \| 0\.810 ± 0\.014 \| \*\*0\.920 ± 0\.014\*\* \|/);
});
