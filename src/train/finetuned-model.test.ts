// Fine-tuned models on disk: what an older version wrote keeps its meaning, and what is no model is refused.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FINGERPRINT_BYTES } from "../chem/fingerprint.js";
import { NO_DROPOUT } from "../model/config.js";
import { TASK_MODES, type TaskConfig, type TaskMode } from "../model/task-graphs.js";
import { loadFinetuned, readTaskDescription, saveFinetuned, TASK_FILE, taskSlots } from "./finetuned-model.js";

const folder = mkdtempSync(join(tmpdir(), "moleblend-task-"));
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

const MODEL = {
  ...{ layers: 1, width: 8, heads: 2, feedForward: 8, kernels: 4, geometryHidden: 8 },
  geometryTarget: "distance",
} as const;

async function saved(name: string, mode: TaskMode): Promise<string> {
  const task: TaskConfig = { kind: "regression", outputs: 1, readout: "mean", mode };
  const parameters = new Float32Array(taskSlots(MODEL, task).length).fill(0.5);
  const dir = join(folder, name);
  await saveFinetuned(dir, {
    ...{ model: MODEL, task, dropout: NO_DROPOUT, metric: "rmse", conformers: 1, pretrained: null },
    ...{ targets: [{ name: "x", mean: 0, std: 1 }], reading: { hydrogens: false, maxAtoms: 64 } },
    seeds: [{ seed: 1, bestEpoch: 1, validation: {}, parameters }],
    fingerprints: new Uint8Array(FINGERPRINT_BYTES),
  });
  return dir;
}

/** Rewrites task.json as version 1 had it. */
function asFirstVersion(dir: string, geometry: boolean): void {
  const path = join(dir, TASK_FILE);
  const { task, ...rest } = JSON.parse(readFileSync(path, "utf8")) as { task: Record<string, unknown> };
  const { mode: _, ...others } = task;
  writeFileSync(path, JSON.stringify({ ...rest, version: 1, task: { ...others, geometry } }));
}

test("a model comes back as it was saved, in every mode", async () => {
  for (const mode of TASK_MODES) {
    const model = loadFinetuned(await saved(mode, mode));
    assert.equal(model.description.calibration, null);
    assert.equal(model.description.task.mode, mode);
    for (const { name, offset, size } of model.slots)
      assert.ok(
        model.parameters[0].subarray(offset, offset + size).every((value) => value === 0.5),
        name,
      );
  }
});

test("version 1: geometry was always beside the graph, so its 3d is both", async () => {
  const located = await saved("first-3d", "both");
  asFirstVersion(located, true);
  assert.deepEqual(loadFinetuned(located).description.task, {
    ...{ kind: "regression", outputs: 1, readout: "mean", mode: "both" },
  });
  const flat = await saved("first-2d", "2d");
  asFirstVersion(flat, false);
  assert.equal(loadFinetuned(flat).description.task.mode, "2d");
});

test("another version is refused with both versions", async () => {
  const dir = await saved("later", "2d");
  const path = join(dir, TASK_FILE);
  writeFileSync(path, readFileSync(path, "utf8").replace(/"version": \d+/, '"version": 99'));
  assert.throws(() => readTaskDescription(dir), {
    name: "CheckpointError",
    message: /expected format moleblend-task, version 2, got .*"version":99/,
  });
});
