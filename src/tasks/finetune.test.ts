// Fine-tuning end to end on real molecules: the same run twice, what is reported and what is written, and what is refused.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import Papa from "papaparse";
import { FINGERPRINT_BYTES } from "../chem/fingerprint.js";
import { openCorpus } from "../data/corpus.js";
import { preset } from "../model/config.js";
import { initialise, layoutParameters, parameterSpecs } from "../model/parameters.js";
import { Random } from "../random.js";
import { saveCheckpoint } from "../train/checkpoint.js";
import { loadFinetuned, readTaskDescription, trainingFingerprints } from "../train/finetuned-model.js";
import { taskMetrics } from "../train/metrics.js";
import { readRunLog } from "../train/run-log.js";
import { embed } from "./embed.js";
import { evaluate } from "./evaluate.js";
import { type FinetuneJob, type FinetuneSummary, finetune } from "./finetune.js";
import { predict } from "./predict.js";
import { prepare } from "./prepare.js";
import { reportRun } from "./report-run.js";

const root = mkdtempSync(join(tmpdir(), "moleblend-finetune-"));
after(() => rmSync(root, { recursive: true, force: true, maxRetries: 5 }));

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/** The first molecules of the embedded set: SDF records, and their SMILES and gap. */
const records = gunzipSync(readFileSync(join(repositoryRoot(), "data/nci-xtb/nci-xtb.sdf.gz")))
  .toString("utf8")
  .split("$$$$\n")
  .slice(0, 160);
const tag = (record: string, name: string) => new RegExp(`<${name}>\\n(.*)\\n`).exec(record)?.[1] ?? "";
const rows = records.map((record) => {
  const gap = Number(tag(record, "gap_eV"));
  return { smiles: tag(record, "SMILES"), gap, wide: gap > 3 ? 1 : 0 };
});

let files = 0;
function file(name: string, content: string): string {
  const path = join(root, `${files++}-${name}`);
  writeFileSync(path, content);
  return path;
}
/** Every tenth gap is missing. */
const table = rows.map(
  ({ smiles, gap, wide }, i) => `${smiles},${i % 10 === 9 ? "" : gap},${wide},5,${i % 2 ? "high" : "1"}`,
);
const csv = file("gaps.csv", `${["smiles,gap,wide,constant,text", ...table].join("\n")}\n`);

/** Of jobs that score the test part. */
type Scored = { readonly scoreTest?: true };

const runsDir = join(root, "runs");
const job = (overrides: Partial<FinetuneJob> & Scored = {}): FinetuneJob & Scored => ({
  inputs: [csv],
  targets: ["gap"],
  from: null,
  split: { method: "random", seed: 1 },
  training: { epochs: 2 },
  runsDir,
  progress: "silent",
  threads: 1,
  ...overrides,
});

const parse = (path: string) =>
  Papa.parse<Record<string, string>>(readFileSync(path, "utf8"), { header: true, skipEmptyLines: true }).data;
const value = (text: string | undefined) => (text === undefined || text === "" ? Number.NaN : Number(text));

let summary: FinetuneSummary;
before(async () => {
  summary = await finetune(job({ name: "gap", seeds: [1, 2], command: "moleblend finetune gaps.csv --seeds 1,2" }));
});

describe("finetune", () => {
  it("reports the metrics of the predictions that it writes, of all seeds together", () => {
    for (const part of ["validation", "test"] as const) {
      const lines = parse(summary.parts[part].predictions);
      const predictions = Float64Array.from(lines, (line) => value(line["gap predicted"]));
      const labels = Float64Array.from(lines, (line) => value(line["gap"]));
      assert.equal(lines.length, summary.data[part]);
      assert.deepEqual(taskMetrics("regression", predictions, labels, 1).average, summary.parts[part].metrics);
    }
    assert.equal(summary.parts.test.seeds.length, 2);
    assert.notEqual(summary.parts.test.seeds[0]["rmse"], summary.parts.test.seeds[1]["rmse"]);
    assert.deepEqual(
      summary.calibration?.scores.map(({ name }) => name),
      ["labels within the 68 % interval", "labels within the 95 % interval"],
    );
    const { low, high } = summary.parts.test.intervals["rmse"];
    assert.ok(low <= summary.parts.test.metrics["rmse"] && summary.parts.test.metrics["rmse"] <= high);
  });

  it("trains the same with replicas that share each batch, but for rounding", async () => {
    const shared = () => finetune(job({ name: `replicas-${files++}`, seeds: [1], replicas: 2, threads: 2 }));
    const [one, two, again] = [readRunLog(join(summary.run, "metrics.jsonl")), await shared(), await shared()];
    const logs = [two, again].map(({ run }) => readRunLog(join(run, "metrics.jsonl")));
    assert.deepEqual(logs[1], logs[0]);
    for (const [i, { loss }] of logs[0].entries()) {
      const expected = Number(one[i]["loss"]);
      assert.ok(Math.abs(Number(loss) - expected) < 1e-3 * expected, `epoch ${i + 1}: ${loss}, not ${expected}`);
    }
  });

  it("leaves molecules without a label out, and every other one is in one part", () => {
    const { train, validation, test } = summary.data;
    assert.equal(train + validation + test, rows.length - Math.floor(rows.length / 10));
    assert.match(summary.remarks.join("\n"), /16 molecules without any label were left out/);
  });

  it("keeps the best epoch of each seed, with all that predicting needs", () => {
    const description = readTaskDescription(summary.run);
    const log = readRunLog(join(summary.run, "metrics.jsonl"));
    for (const { seed, bestEpoch } of description.seeds) {
      const own = log.filter((line) => line["seed"] === seed);
      const best = own.reduce((a, b) => (Number(b["validation/rmse"]) < Number(a["validation/rmse"]) ? b : a));
      assert.equal(bestEpoch, best["epoch"]);
    }
    assert.equal(description.targets[0].name, "gap");
    const model = loadFinetuned(summary.run);
    assert.equal(trainingFingerprints(model).length, description.training.molecules * FINGERPRINT_BYTES);
    for (const name of ["config.json", "report.md", "report.html", "predictions-validation.csv"])
      assert.ok(existsSync(join(summary.run, name)), name);
  });

  it("leaves the test part alone where it is told to", async () => {
    const alone = await finetune({ ...job({ name: "validated", seeds: [1, 2] }), scoreTest: false });
    assert.equal(alone.parts.test, null);
    assert.equal(existsSync(join(alone.run, "predictions-test.csv")), false);
    assert.deepEqual(alone.parts.validation.metrics, summary.parts.validation.metrics);
    assert.match(readFileSync(alone.report, "utf8"), /on validation.*\n[\s\S]*the test part was left alone/);
    const compared = reportRun({ run: summary.run, compare: [alone.run], baselines: [] });
    await assert.rejects(compared, {
      name: "ConfigError",
      message: /expected the scored part of .*"test", got "validation"/,
    });
  });

  it("has one report: the page can be written again, and with other methods beside it", async () => {
    const page = readFileSync(summary.report, "utf8");
    assert.match(page, /moleblend finetune gaps.csv --seeds 1,2/);
    const files = await reportRun({ run: summary.run, compare: [], baselines: [] });
    assert.deepEqual([files.markdown, files.html], [summary.report, summary.html]);
    assert.equal(readFileSync(files.markdown, "utf8"), page);
    await reportRun({ run: summary.run, compare: [summary.run], baselines: ["random forest"] });
    const more = readFileSync(summary.report, "utf8");
    for (const words of ["random forest", "from scratch (gap)"]) assert.ok(more.includes(words), words);
  });

  it("gives the same models again", async () => {
    const again = await finetune(job({ name: "again", seeds: [2], workers: 2 }));
    const sums = readTaskDescription(summary.run).seeds;
    assert.equal(readTaskDescription(again.run).seeds[0].sha256, sums[1].sha256);
  });

  it("stops when the validation metric gets no better, and when it is asked to", async () => {
    // With such steps the second epoch is no better than the first, or the one after it.
    const wild = { epochs: 30, patience: 1, learningRate: 0.5 };
    const early = await finetune(job({ training: wild }));
    const [{ epochs, bestEpoch }] = early.seeds;
    assert.ok(epochs < 30 && epochs === bestEpoch + 1, `${epochs} epochs, best ${bestEpoch}`);
    const stopped = await finetune(job({ seeds: [1, 2], shouldStop: () => true }));
    assert.equal(stopped.finished, false);
    assert.deepEqual(
      stopped.seeds.map((seed) => seed.epochs),
      [1],
    );
  });

  it("starts from a pretrained encoder, which stays as it was where it is frozen", async () => {
    const model = preset("mini");
    const { slots, length } = layoutParameters(parameterSpecs(model));
    const flat = new Float32Array(length);
    initialise(slots, flat, Random.fromSeed(7), "moleblend");
    const tensors = slots.map(({ name, shape, offset, size }) => ({
      ...{ name, dtype: "F32" as const, shape, data: flat.slice(offset, offset + size) },
    }));
    const state = { step: 1, epoch: 0, batchInEpoch: 0, seed: 1, config: { model: { ...model } }, metrics: {} };
    const from = join(root, "pretrained");
    await saveCheckpoint(join(from, "checkpoints"), { state, model: tensors, optimizer: [] }, { keep: 1 });
    const run = await finetune(job({ from, name: "frozen", training: { epochs: 1, freeze: "encoder" } }));
    const tuned = loadFinetuned(run.run);
    for (const { name, offset, size } of tuned.slots) {
      const before = tensors.find((tensor) => tensor.name === name);
      if (before) assert.deepEqual(tuned.parameters[0].slice(offset, offset + size), before.data, name);
    }
    assert.ok(run.trained < run.parameters);
    await assert.rejects(finetune(job({ from, preset: "base" })), {
      name: "CheckpointError",
      message: /width: expected 256 as asked for, got 128 in the checkpoint/,
    });
  });

  it("learns from coordinates and averages over conformers in 3d mode", async () => {
    // Twenty structures come twice: two conformers, as far as the job can tell.
    const content = [...records.slice(0, 60), ...records.slice(0, 20)].map((record) => `${record}$$$$\n`).join("");
    const sdf = file("gaps.sdf", content);
    const run = await finetune(job({ inputs: [sdf], targets: ["gap_eV"], mode: "3d", training: { epochs: 1 } }));
    const { train, validation, test } = run.data;
    assert.equal(train + validation + test, 60);
    assert.equal(readTaskDescription(run.run).task.mode, "3d");
    const flat = file(
      "flat.csv",
      `smiles,gap_eV\n${rows
        .slice(60, 70)
        .map(({ smiles, gap }) => `${smiles},${gap}`)
        .join("\n")}\n`,
    );
    const mixed = job({ inputs: [sdf, flat], targets: ["gap_eV"], training: { epochs: 1 } });
    const located = await finetune({ ...mixed, mode: "3d" });
    assert.ok(located.remarks.includes("10 molecules without coordinates were left out (mode 3d)"));
    assert.deepEqual(located.parts.test.metrics, run.parts.test.metrics);
    const both = await finetune({ ...mixed, mode: "both" });
    assert.equal(both.data.train + both.data.validation + both.data.test, 70);
    for (const mode of ["3d", "both"] as const) {
      await assert.rejects(finetune(job({ mode })), {
        name: "DatasetError",
        message: new RegExp(`mode ${mode} needs coordinates and no molecule has any.*--mode 2d`),
      });
    }
  });

  it("takes the split from a column or from files", async () => {
    const parts = rows
      .slice(0, 60)
      .map(({ smiles, gap }, i) => ({ smiles, gap, part: ["train", "train", "valid", "test"][i % 4] }));
    const lines = (part?: string) =>
      [
        "smiles,gap,part",
        ...parts.filter((row) => !part || row.part === part).map((row) => `${row.smiles},${row.gap},${row.part}`),
      ].join("\n");
    const training = { epochs: 1 };
    const column = await finetune(
      job({
        inputs: [file("all.csv", lines())],
        split: { method: "given", seed: 1, column: "part" },
        training,
      }),
    );
    const [train, validation, test] = ["train", "valid", "test"].map((part) =>
      file(`${part}.csv`, `${lines(part)}\nC1CC,1,bad\n`),
    );
    const split = { method: "given", seed: 1, files: { validation: [validation], test: [test] } } as const;
    const byFile = await finetune(job({ inputs: [train, validation, test], split, training }));
    const counts = ({ data }: FinetuneSummary) => [data.train, data.validation, data.test];
    assert.deepEqual(counts(byFile), counts(column));
    assert.equal(byFile.data.rejects, 3);
    assert.deepEqual(
      parse(byFile.parts.test.predictions).map((line) => line["gap"]),
      parse(column.parts.test.predictions).map((line) => line["gap"]),
    );
  });

  it("learns binary tasks and classes", async () => {
    const training = { epochs: 1, classWeights: "balanced" } as const;
    const split = { method: "stratified", seed: 1 } as const;
    const binary = await finetune(
      job({ targets: ["wide"], split, training, readout: "cls", baselines: ["random forest"] }),
    );
    assert.equal(binary.kind, "binary");
    assert.match(readFileSync(binary.html, "utf8"), /random forest/);
    assert.match(readFileSync(binary.report, "utf8"), /probabilities at temperature .*fitted on the validation part/);
    const out = join(root, "binary.jsonl");
    const predicted = await predict({ models: [binary.run], inputs: [csv], out, samples: 0, threads: 1 });
    assert.deepEqual(predicted.calibration, binary.calibration?.calibration);
    assert.deepEqual(predicted.outputs, ["wide predicted", "wide calibrated"]);
    const classes = await finetune(job({ targets: ["wide"], kind: "classes", split, training, readout: "sum" }));
    assert.ok("accuracy" in classes.parts.test.metrics);
    const [first] = parse(classes.parts.test.predictions);
    assert.ok(Math.abs(value(first["wide class 0 predicted"]) + value(first["wide class 1 predicted"]) - 1) < 1e-6);
  });

  it("names what is wrong and what to do", async () => {
    const refused = (overrides: Partial<FinetuneJob> & Scored, name: string, message: RegExp) =>
      assert.rejects(finetune(job(overrides)), { name, message });
    await refused({ targets: ["gop"] }, "DatasetError", /label "gop": expected one of its columns.*gap, wide/);
    await refused({ targets: [] }, "ConfigError", /no target: name the columns to predict.*smiles, gap, wide/);
    await refused({ targets: ["constant"] }, "DatasetError", /every label is 5/);
    await refused(
      { targets: ["text"] },
      "DatasetError",
      /gaps.csv:3 .*target "text": expected a number, got "high" \(80 such labels/,
    );
    await refused({ from: join(root, "nowhere") }, "CheckpointError", /there is no such folder/);
    await refused({ name: "gap" }, "ConfigError", /this run exists; take another name/);
    await refused({ seeds: [1, 1] }, "ConfigError", /seeds: expected different ones/);
    await refused({ training: { metric: "rmsd" } }, "MoleblendError", /metric: expected one of/);
  });
});

describe("predict", () => {
  it("gives the predictions of the run again, in input order, with rejects set apart", async () => {
    const lines = rows.map(({ smiles }, i) => (i % 40 === 5 ? `C1CC bad${i}` : `${smiles} m${i}`));
    const out = join(root, "predictions.csv");
    const result = await predict({
      models: [summary.run],
      inputs: [file("in.smi", `${lines.join("\n")}\n`)],
      out,
      threads: 1,
    });
    assert.deepEqual(result.rejects, { "unparsable-smiles": 4 });
    assert.deepEqual(result.uncertainty, { from: "ensemble", models: 2 });
    const rejected = readFileSync(`${out}.rejects.jsonl`, "utf8").trim().split("\n");
    assert.deepEqual(
      rejected.map((line) => (JSON.parse(line) as { record: number }).record),
      [6, 46, 86, 126],
    );
    const table = parse(out);
    assert.deepEqual(
      table.map((line) => line["name"]),
      lines.filter((line) => !line.startsWith("C1CC bad")).map((line) => line.split(" ")[1]),
    );
    const byName = new Map(table.map((line) => [rows[Number(line["name"]?.slice(1))].smiles, line]));
    let compared = 0;
    for (const line of parse(summary.parts.test.predictions)) {
      const found = byName.get(line["name"] ?? "");
      if (!found) continue;
      compared++;
      for (const column of ["gap predicted", "gap std", "gap std calibrated"])
        assert.ok(Math.abs(value(found[column]) - value(line[column])) < 1e-4, `${line["name"]} ${column}`);
    }
    assert.ok(compared > 10);
    assert.ok(table.filter((line) => line["similarity"] === "1").length >= summary.data.train / 2);
    assert.ok(table.every((line) => value(line["similarity"]) < 0.3 === (line["far"] === "true")));
  });

  it("draws an uncertainty with dropout where there is one model, and reads a corpus", async () => {
    const single = await finetune(job({ name: "single", training: { epochs: 1 } }));
    const dir = join(root, "corpus");
    await prepare([csv], dir, { workers: 0 });
    const out = join(root, "single.jsonl");
    const options = { models: [single.run], inputs: [dir], out, samples: 3, threads: 1 };
    const result = await predict(options);
    assert.deepEqual(result.uncertainty, { from: "dropout", samples: 3 });
    assert.deepEqual(result.calibration, single.calibration?.calibration);
    const read = () =>
      readFileSync(out, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, number>);
    const table = read();
    assert.equal(table.length, (await openCorpus(dir)).size);
    assert.ok(result.calibration?.method === "spread" && result.calibration.floors);
    const { factors, floors } = result.calibration;
    for (const line of table) {
      assert.ok(line["gap std"] > 0);
      assert.equal(line["gap std calibrated"], Math.hypot(line["gap std"] * factors[0], floors[0]));
    }
    await predict({ ...options, threads: 2 });
    assert.deepEqual(read(), table, "the number of threads changes nothing");
    await predict({ ...options, samples: 0, similarity: false });
    assert.deepEqual(Object.keys(read()[0]), ["record", "name", "gap predicted"]);
    assert.equal(read()[3]["gap predicted"], table[3]["gap predicted"]);
  });

  it("refuses models of different tasks, and folders that are none", async () => {
    const other = await finetune(
      job({ targets: ["wide"], split: { method: "stratified", seed: 1 }, training: { epochs: 1 } }),
    );
    const out = join(root, "x.csv");
    const both = predict({ models: [summary.run, other.run], inputs: [csv], out });
    await assert.rejects(both, { name: "ConfigError", message: /expected the task of/ });
    await assert.rejects(predict({ models: [root], inputs: [csv], out }), {
      name: "CheckpointError",
      message: /without task.json/,
    });
  });
});

describe("evaluate", () => {
  it("scores a labelled file, and says what was seen in training", async () => {
    const out = join(root, "evaluated.csv");
    const result = await evaluate({
      model: summary.run,
      inputs: [csv],
      out,
      cacheDir: join(runsDir, "corpora"),
      threads: 1,
    });
    const lines = parse(out);
    const metrics = taskMetrics(
      "regression",
      Float64Array.from(lines, (line) => value(line["gap predicted"])),
      Float64Array.from(lines, (line) => value(line["gap"])),
      1,
    );
    assert.deepEqual(metrics.average, result.metrics);
    assert.ok(result.seenInTraining >= summary.data.train);
    assert.ok(result.seenInTraining < result.molecules);
  });
});

describe("embed", () => {
  it("gives vectors in input order, pooled as asked for", async () => {
    const input = file("three.smi", "CCO a\nc1ccccc1 b\nC1CC bad\nC c\n");
    const read = (path: string) =>
      readFileSync(path, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { name: string; atom: number; x: number[] });
    const table = async (pool: "cls" | "mean" | "sum" | "atoms") => {
      const out = join(root, `${pool}.jsonl`);
      await embed({ model: summary.run, inputs: [input], out, pool, threads: 1, workers: 0 });
      return read(out);
    };
    const atoms = await table("atoms");
    assert.deepEqual(
      atoms.map(({ name, atom }) => `${name}${atom}`),
      ["a0", "a1", "a2", "b0", "b1", "b2", "b3", "b4", "b5", "c0"],
    );
    const sum = await table("sum");
    const mean = await table("mean");
    const expected = [0, 1, 2].map((i) => atoms[i].x).reduce((a, b) => a.map((x, c) => x + b[c]));
    expected.forEach((x, c) => {
      assert.ok(Math.abs(x - sum[0].x[c]) < 1e-4 && Math.abs(x / 3 - mean[0].x[c]) < 1e-4);
    });
    assert.deepEqual(
      (await table("cls")).map(({ name, x }) => [name, x.length]),
      [
        ["a", 128],
        ["b", 128],
        ["c", 128],
      ],
    );
    const parquet = join(root, "cls.parquet");
    await embed({ model: summary.run, inputs: [input], out: parquet, threads: 1, workers: 0 });
    const stored = await parquetReadObjects({ file: await asyncBufferFromFile(parquet) });
    assert.deepEqual(
      stored.map(({ record, name, x5 }) => [record, name, x5]),
      (await table("cls")).map(({ name, x }, i) => [[1, 2, 4][i], name, x[5]]),
    );
    const out = join(root, "cls.npy");
    await embed({ model: summary.run, inputs: [input], out, threads: 1, workers: 0 });
    const bytes = readFileSync(out);
    assert.match(bytes.toString("latin1", 10, 128), /'<f4'.*'shape': \(3, 128\)/);
    assert.equal(bytes.length, 128 + 3 * 128 * 4);
    assert.ok(Math.abs(bytes.readFloatLE(128) - (await table("cls"))[0].x[0]) < 1e-5);
  });
});
