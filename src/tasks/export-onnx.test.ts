// ONNX files of fine-tuned models: a stranger's session gives what `predict` gives, and what cannot be given is refused with advice.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { featurize } from "../chem/featurize.js";
import { FINGERPRINT_BYTES } from "../chem/fingerprint.js";
import type { Molecule } from "../chem/molecule.js";
import { loadRdkit } from "../chem/rdkit.js";
import { isReject, readRecords } from "../data/readers/index.js";
import { ConfigError } from "../errors.js";
import { type ModelConfig, NO_DROPOUT } from "../model/config.js";
import { initialise } from "../model/parameters.js";
import { readsGeometry, type TaskConfig, type TaskMode } from "../model/task-graphs.js";
import { Random } from "../random.js";
import { runOnnxFile } from "../runtime/onnx-file.js";
import { saveCheckpoint } from "../train/checkpoint.js";
import { saveFinetuned, taskSlots } from "../train/finetuned-model.js";
import { modelSlots } from "../train/load-arrays.js";
import { makeTaskBatch } from "../train/task-batch.js";
import { exportFairseq } from "./export-checkpoint.js";
import { exportOnnx } from "./export-onnx.js";
import { predict } from "./predict.js";

const folder = mkdtempSync(join(tmpdir(), "moleblend-onnx-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const MODEL: ModelConfig = {
  ...{ layers: 2, width: 16, heads: 4, feedForward: 16, kernels: 4, geometryHidden: 8 },
  geometryTarget: "distance",
};
const HYDROGENS = { hydrogens: false, maxAtoms: 64 };

function repositoryRoot(): string {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  return root;
}

/** The first 24 molecules of the embedded set, with geometry. */
const input = join(folder, "molecules.sdf");
const records = gunzipSync(readFileSync(join(repositoryRoot(), "data/nci-xtb/nci-xtb.sdf.gz"))).toString("utf8");
writeFileSync(input, `${records.split("$$$$\n").slice(0, 24).join("$$$$\n")}$$$$\n`);

async function readMolecules(): Promise<Molecule[]> {
  const rdkit = await loadRdkit();
  const molecules: Molecule[] = [];
  for await (const record of readRecords(input)) {
    if (!isReject(record)) molecules.push(featurize(rdkit, record, HYDROGENS).molecule);
  }
  return molecules;
}

async function savedModel(name: string, task: TaskConfig, seeds: readonly number[] = [7]): Promise<string> {
  const { slots, length } = taskSlots(MODEL, task);
  const parameters = (seed: number) => {
    const flat = new Float32Array(length);
    const random = Random.fromSeed(seed);
    for (const { name: parameter, offset, size } of slots) {
      const isScale = /norm\.weight$/.test(parameter);
      for (let i = 0; i < size; i++) flat[offset + i] = (isScale ? 1 : 0) + 0.3 * random.normal();
    }
    return flat;
  };
  const regression = task.kind === "regression";
  const count = task.kind === "classes" ? 1 : task.outputs;
  const dir = join(folder, name);
  await saveFinetuned(dir, {
    ...{ model: MODEL, task, dropout: NO_DROPOUT, metric: "rmse", conformers: 1, pretrained: null },
    targets: Array.from({ length: count }, (_, i) => ({
      ...{ name: `target ${i}`, mean: regression ? -40 + i : 0, std: regression ? 2.5 : 1 },
    })),
    reading: HYDROGENS,
    seeds: seeds.map((seed) => ({ seed, bestEpoch: 3, validation: {}, parameters: parameters(seed) })),
    fingerprints: new Uint8Array(FINGERPRINT_BYTES),
  });
  return dir;
}

/** Rows of `predict`: one number a column that it predicts. */
async function predicted(model: string, column: RegExp): Promise<number[][]> {
  const out = join(folder, "predictions.csv");
  await predict({ models: [model], inputs: [input], out, samples: 0, similarity: false, threads: 1, workers: 0 });
  const [header, ...lines] = readFileSync(out, "utf8").trim().split("\n");
  const wanted = header.split(",").flatMap((name, i) => (column.test(name) ? [i] : []));
  // Names hold no comma here.
  return lines.map((line) => wanted.map((i) => Number(line.split(",")[i])));
}

/** What a fresh session gives for all molecules in one batch. */
async function answers(
  file: string,
  molecules: readonly Molecule[],
  output = "property",
  mode: TaskMode = "both",
): Promise<number[][]> {
  const recipe = { mode, readout: "cls", dropout: [] } as const;
  const { results } = await runOnnxFile(file, makeTaskBatch(molecules, recipe, Random.fromSeed(1)));
  const { data, shape } = results[output];
  const [rows, columns] = shape;
  assert.equal(rows, molecules.length);
  return Array.from({ length: rows }, (_, row) => Array.from(data.slice(row * columns, (row + 1) * columns), Number));
}

function assertClose(got: readonly number[][], expected: readonly number[][]): void {
  assert.deepEqual([got.length, got[0].length], [expected.length, expected[0].length]);
  const largest = Math.max(1, ...expected.flat().map(Math.abs));
  for (const [row, values] of expected.entries()) {
    for (const [i, value] of values.entries()) {
      assert.ok(Math.abs(got[row][i] - value) <= 1e-5 * largest, `row ${row}: ${got[row][i]} beside ${value}`);
    }
  }
}

const TASKS: readonly (readonly [string, TaskConfig, RegExp])[] = [
  ["regression", { kind: "regression", outputs: 1, readout: "cls", mode: "2d" }, / predicted$/],
  ["regression of two, 3D", { kind: "regression", outputs: 2, readout: "mean", mode: "both" }, / predicted$/],
  ["binary, many tasks", { kind: "binary", outputs: 5, readout: "sum", mode: "2d" }, / predicted$/],
  ["distances alone", { kind: "regression", outputs: 1, readout: "sum", mode: "3d" }, / predicted$/],
  ["classes", { kind: "classes", outputs: 3, readout: "cls", mode: "both" }, /class \d predicted$/],
];

describe("property of a fine-tuned model", () => {
  for (const [name, task, columns] of TASKS) {
    it(`${name}: what predict gives`, async () => {
      const model = await savedModel(name, task);
      const file = join(folder, `${name}.onnx`);
      const { inputs, outputs } = await exportOnnx(model, file);
      assert.deepEqual(outputs, ["property"]);
      assert.equal(inputs.includes("distance"), readsGeometry(task.mode));
      const bytes = readFileSync(file, "latin1");
      assert.ok(!bytes.includes("com.microsoft"), "standard operators alone");
      const got = await answers(file, await readMolecules(), "property", task.mode);
      assertClose(got, await predicted(model, columns));
      if (task.kind === "classes") {
        for (const row of got) assert.ok(Math.abs(row.reduce((sum, p) => sum + p, 0) - 1) < 1e-6);
      }
    });
  }

  it("says in its metadata what the columns are and how to read molecules", async () => {
    const model = await savedModel("described", { kind: "regression", outputs: 2, readout: "mean", mode: "2d" });
    const file = join(folder, "described.onnx");
    await exportOnnx(model, file);
    const text = readFileSync(file, "utf8");
    const start = text.indexOf("{", text.indexOf("moleblend.task"));
    const described = JSON.parse(text.slice(start, closing(text, start))) as Record<string, unknown>;
    assert.deepEqual(described["columns"], ["target 0", "target 1"]);
    assert.deepEqual(described["targets"], [
      { name: "target 0", mean: -40, std: 2.5 },
      { name: "target 1", mean: -39, std: 2.5 },
    ]);
    assert.deepEqual(
      [described["kind"], described["readout"], described["mode"], described["reading"], described["seeds"]],
      ["regression", "mean", "2d", HYDROGENS, [{ seed: 7, bestEpoch: 3 }]],
    );
  });

  it("averages the seeds as predict does, with their spread, or takes those asked for", async () => {
    const task: TaskConfig = { kind: "binary", outputs: 2, readout: "mean", mode: "2d" };
    const model = await savedModel("ensemble", task, [1, 2, 5]);
    const file = join(folder, "ensemble.onnx");
    const molecules = await readMolecules();
    assert.deepEqual((await exportOnnx(model, file)).outputs, ["property", "property.std"]);
    assertClose(await answers(file, molecules), await predicted(model, / predicted$/));
    assertClose(await answers(file, molecules, "property.std"), await predicted(model, / std$/));

    const { outputs } = await exportOnnx(model, file, { seeds: [5], outputs: ["property", "mean", "attention.1"] });
    assert.deepEqual(outputs, ["property", "mean", "attention.1"]);
    const alone = await savedModel("alone", task, [5]);
    assertClose(await answers(file, molecules), await predicted(alone, / predicted$/));
  });

  it("does without coordinates where the model was also trained on the graph", async () => {
    const model = await savedModel("flat", { kind: "regression", outputs: 1, readout: "cls", mode: "both" });
    const [whole, flat] = [join(folder, "whole.onnx"), join(folder, "flat.onnx")];
    await exportOnnx(model, whole);
    const { inputs } = await exportOnnx(model, flat, { geometry: false });
    assert.deepEqual(inputs, ["token_features", "spd_selection", "pair_features"]);
    const without = (await readMolecules()).map((molecule): Molecule => ({ ...molecule, positions: null }));
    assertClose(await answers(flat, without), await answers(whole, without));
  });

  it("refuses what the model cannot give, and says what to do", async () => {
    const file = join(folder, "refused.onnx");
    const refused = (attempt: Promise<unknown>, expected: RegExp) =>
      assert.rejects(attempt, (error: Error) => error instanceof ConfigError && expected.test(error.message));
    const { slots, length } = modelSlots(MODEL);
    const flat = new Float32Array(length);
    initialise(slots, flat, Random.fromSeed(1), "moleblend");
    const model = slots.map(({ name, shape, offset, size }) => ({
      ...{ name, dtype: "F32" as const, shape, data: flat.slice(offset, offset + size) },
    }));
    const state = { step: 1, epoch: 0, batchInEpoch: 0, seed: 1, config: { model: { ...MODEL } }, metrics: {} };
    const pretrained = await saveCheckpoint(join(folder, "pre"), { state, model, optimizer: [] }, { keep: 1 });
    await refused(exportOnnx(pretrained, file, { outputs: ["property"] }), /got property; .*fine-tune it.*--from RUN/);
    await refused(exportOnnx(pretrained, file, { seeds: [1] }), /expected the run of a fine-tuned model/);

    const several = await savedModel("several", { kind: "binary", outputs: 1, readout: "cls", mode: "3d" }, [1, 2]);
    await refused(exportOnnx(several, file, { outputs: ["cls"] }), /got cls; .*single seed/);
    await refused(exportOnnx(several, file, { seeds: [3] }), /expected some of 1, 2, got 3/);
    await refused(exportOnnx(several, file, { outputs: ["noise"], seeds: [1] }), /export the pretrained model/);
    await refused(exportOnnx(several, file, { outputs: ["property.std"], seeds: [1] }), /a single model has no spread/);
    await refused(exportOnnx(several, file, { geometry: false }), /distances alone/);
    await assert.rejects(exportFairseq(several, file), { name: "CheckpointError", message: /as ONNX/ });
    assert.ok(!existsSync(file));
  });
});

/** Where the object that begins at `start` ends; its strings hold no braces. */
function closing(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "{") depth++;
    if (text[at] === "}" && --depth === 0) return at + 1;
  }
  return text.length;
}
