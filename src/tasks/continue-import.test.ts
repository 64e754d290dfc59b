// An imported checkpoint that is trained further: what ours does not hold goes along from checkpoint to checkpoint, back into an export.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { entriesOf, lookUp, type PythonTensor, type PythonValue } from "../data/python/python-values.js";
import { bytesSource } from "../data/random-access.js";
import { attachmentsOf, findCheckpoint, listCheckpoints } from "../train/checkpoint.js";
import { toFloat32 } from "../train/fairseq/float-bytes.js";
import { openOfficialFile } from "../train/fairseq/official-file.js";
import { pretrainSettings } from "../train/settings.js";
import { exportFairseq } from "./export-checkpoint.js";
import { type ImportSummary, importCheckpoint } from "./import-checkpoint.js";
import { type PretrainSummary, pretrain } from "./pretrain.js";

function repositoryRoot(): string {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  return root;
}

const ROOT = repositoryRoot();
const OFFICIAL = join(ROOT, "test", "golden", "checkpoint", "tiny_official_fp16.pt");
const runsDir = mkdtempSync(join(tmpdir(), "moleblend-continue-"));
after(() => rmSync(runsDir, { recursive: true, force: true }));

const sdf = join(runsDir, "molecules.sdf");
const records = gunzipSync(readFileSync(join(ROOT, "data/nci-xtb/nci-xtb.sdf.gz"))).toString("utf8");
writeFileSync(sdf, `${records.split("$$$$\n").slice(0, 30).join("$$$$\n")}$$$$\n`);

const schedule = { steps: 4, warmupSteps: 0, batchSize: 4, checkpointEvery: 1, keepCheckpoints: 1, evaluateEvery: 100 };
const job = (name: string, more: object = {}) => ({
  ...{ inputs: [sdf], runsDir, name, resume: true, settings: pretrainSettings("mini"), schedule },
  ...{ progress: "silent" as const, threads: 1, prepare: { workers: 0 } },
  ...more,
});

const read = (path: string): PythonValue => openOfficialFile(bytesSource(readFileSync(path), path)).value;

function tensors(root: PythonValue): ReadonlyMap<string, Float32Array> {
  const entries = (entriesOf(lookUp(root, "model")) ?? []) as unknown as readonly (readonly [string, PythonTensor])[];
  return new Map(entries.map(([name, { type, read: bytes }]) => [name, toFloat32(type, bytes())]));
}

describe("an import that is trained further", () => {
  let imported: ImportSummary;
  let trained: PretrainSummary;
  before(async () => {
    imported = await importCheckpoint(OFFICIAL, { outDir: join(runsDir, "official") });
    // Stopped and resumed on the way.
    let stops = 0;
    const halted = await pretrain(job("official", { shouldStop: () => ++stops === 1 }));
    assert.deepEqual([halted.step, halted.finished], [imported.step + 1, false]);
    trained = await pretrain(job("official", { schedule: {} }));
  });

  it("keeps what ours does not hold, though the imported checkpoint itself is gone", async () => {
    assert.deepEqual([trained.step, trained.finished], [4, true]);
    const folder = join(runsDir, "official", "checkpoints");
    assert.deepEqual(
      listCheckpoints(folder).map(({ step }) => step),
      [4],
    );
    const names = attachmentsOf(findCheckpoint(folder)).map(({ name }) => name);
    assert.deepEqual(names, ["reference.json", "reference.safetensors"]);

    const file = join(runsDir, "back.pt");
    const { remarks } = await exportFairseq(join(runsDir, "official"), file);
    assert.match(remarks.join("\n"), /that ours does not train are those of the import, at step 1/);
    const [before, now] = [tensors(read(OFFICIAL)), tensors(read(file))];
    assert.deepEqual([...now.keys()], [...before.keys()]);
    assert.equal(imported.unused.length, 6);
    for (const name of imported.unused) assert.deepEqual(now.get(name), before.get(name), name);
    const weights = "encoder.molecule_encoder.layers.0.fc1.weight";
    assert.notDeepEqual(now.get(weights), before.get(weights));
    const history = lookUp(read(file), "optimizer_history") as { readonly items: readonly PythonValue[] };
    assert.equal(lookUp(history.items.at(-1) as PythonValue, "num_updates"), 4);
  });

  it("goes on under the settings of its file, but for the schedule that was asked for", () => {
    const config = JSON.parse(readFileSync(join(runsDir, "official", "config.json"), "utf8")) as {
      readonly settings: Record<string, unknown>;
    };
    const { preset, steps, batches, init, model } = config.settings;
    assert.deepEqual([preset, steps, batches, init], ["imported", 4, { fixed: 4 }, "reference"]);
    assert.deepEqual(model, imported.model);
  });

  it("refuses a schedule that ends before the import, and a damaged attachment", async () => {
    const { checkpoint, step } = await importCheckpoint(OFFICIAL, { outDir: join(runsDir, "other") });
    await assert.rejects(pretrain(job("other", { schedule: { steps: step, warmupSteps: 0 } })), {
      name: "ConfigError",
      message: /steps: expected more than the 1 updates done, got 1/,
    });
    await assert.rejects(pretrain(job("other", { schedule: { steps: 5 } })), {
      name: "ConfigError",
      message: /warmup-steps: expected fewer than the 5 steps in all, got 20000/,
    });
    const path = join(checkpoint, "reference.json");
    writeFileSync(path, readFileSync(path, "utf8").replace("argparse", "argparsE"));
    await assert.rejects(pretrain(job("other")), {
      name: "CheckpointError",
      message: /reference\.json.*damaged: expected SHA-256/,
    });
    assert.ok(existsSync(checkpoint), "the import is still there");
  });
});
