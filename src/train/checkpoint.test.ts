import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CheckpointError } from "../errors.js";
import { Random } from "../random.js";
import {
  type CheckpointContent,
  discardCheckpointsAfter,
  listCheckpoints,
  loadCheckpoint,
  loadLatest,
  saveCheckpoint,
} from "./checkpoint.js";
import { readTensor } from "./safetensors.js";

async function inFolder(body: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "moleblend-"));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function content(step: number): CheckpointContent {
  const data = Float32Array.of(step, -step);
  return {
    state: { step, epoch: 2, batchInEpoch: 7, seed: 3, config: { layers: 3 }, metrics: { loss: 1.5, auc: Number.NaN } },
    model: [{ name: "w", dtype: "F32", shape: [2], data }],
    optimizer: [{ name: "m", dtype: "F32", shape: [2], data }],
  };
}

const steps = (folder: string) => listCheckpoints(folder).map((place) => place.step);

test("what is saved is loaded, and only the newest are kept", () =>
  inFolder(async (parent) => {
    const folder = join(parent, "run");
    assert.equal(loadLatest(folder), null);
    for (const step of [5, 10, 100, 200]) await saveCheckpoint(folder, content(step), { keep: 2, protect: [10] });
    assert.deepEqual(steps(folder), [10, 100, 200]);
    const loaded = loadLatest(folder)!;
    assert.deepEqual(loaded.state, { ...content(200).state, metrics: { loss: 1.5, auc: null } });
    assert.deepEqual(readTensor(loaded.model, "w").data, Float32Array.of(200, -200));
    assert.deepEqual(readTensor(loaded.optimizer, "m").data, Float32Array.of(200, -200));
    loaded.close();
    assert.ok(readdirSync(folder).every((name) => !name.startsWith(".")));
    await discardCheckpointsAfter(folder, 100);
    assert.deepEqual(steps(folder), [10, 100]);
  }));

test("a step that is saved again replaces the first", () =>
  inFolder(async (folder) => {
    await saveCheckpoint(folder, content(3), { keep: 1 });
    const changed = { ...content(3), state: { ...content(3).state, seed: 99 } };
    await saveCheckpoint(folder, changed, { keep: 1 });
    assert.deepEqual(readdirSync(folder), ["checkpoint-3"]);
    const loaded = loadLatest(folder)!;
    assert.equal(loaded.state.seed, 99);
    loaded.close();
  }));

test("sha256sum understands the checksums", (t) =>
  inFolder(async (folder) => {
    const path = await saveCheckpoint(folder, content(1), { keep: 1 });
    const result = spawnSync("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: path, encoding: "utf8" });
    if (result.error) return t.skip("sha256sum is not installed");
    assert.equal(result.status, 0, result.stderr);
    assert.equal(result.stdout.match(/OK/g)?.length, 3);
  }));

test("a finished checkpoint that is damaged is an error that names the file and the way out", () =>
  inFolder(async (folder) => {
    await saveCheckpoint(folder, content(1), { keep: 3 });
    for (const name of ["model.safetensors", "optimizer.safetensors", "state.json", "SHA256SUMS"]) {
      const path = await saveCheckpoint(folder, content(2), { keep: 3 });
      const file = join(path, name);
      const bytes = readFileSync(file);
      bytes[bytes.length - 2] ^= 1;
      writeFileSync(file, bytes);
      const named =
        name === "SHA256SUMS" ? /SHA256SUMS: damaged: expected a SHA-256 of/ : /expected SHA-256 \w{64}, got \w{64}/;
      assert.throws(
        () => loadLatest(folder),
        (error: unknown) =>
          error instanceof CheckpointError &&
          named.test(error.message) &&
          error.message.includes(file) &&
          error.message.endsWith(`the checkpoint before it is ${join(folder, "checkpoint-1")}`),
      );
      rmSync(file);
      assert.throws(() => loadLatest(folder), CheckpointError);
    }
    const before = loadCheckpoint(join(folder, "checkpoint-1"));
    assert.equal(before.state.step, 1);
    before.close();
  }));

test("leftovers of a killed writer are ignored, then removed", () =>
  inFolder(async (folder) => {
    await saveCheckpoint(folder, content(4), { keep: 3 });
    renameSync(await saveCheckpoint(folder, content(9), { keep: 3 }), join(folder, ".writing-checkpoint-9"));
    renameSync(await saveCheckpoint(folder, content(8), { keep: 3 }), join(folder, ".removed-checkpoint-8"));
    // Saving 8 removed the first leftover, so make it again.
    renameSync(await saveCheckpoint(folder, content(7), { keep: 3 }), join(folder, ".writing-checkpoint-7"));
    assert.deepEqual(steps(folder), [4]);
    // Killed between the two renames of a replacement: the old one still counts.
    renameSync(join(folder, "checkpoint-4"), join(folder, ".replaced-checkpoint-4"));
    assert.deepEqual(steps(folder), [4]);
    const loaded = loadLatest(folder)!;
    assert.equal(loaded.state.step, 4);
    loaded.close();
    await saveCheckpoint(folder, content(6), { keep: 3 });
    assert.deepEqual(readdirSync(folder).sort(), ["checkpoint-4", "checkpoint-6"]);
  }));

test("contradicting content is refused before anything is written", () =>
  inFolder(async (folder) => {
    const bad = { ...content(1), state: { ...content(1).state, epoch: -1 } };
    await assert.rejects(
      saveCheckpoint(join(folder, "run"), bad, { keep: 1 }),
      /epoch: expected a whole number, got -1/,
    );
    await assert.rejects(saveCheckpoint(join(folder, "run"), content(1), { keep: 0 }), CheckpointError);
    assert.ok(!existsSync(join(folder, "run")));
  }));

/** Starts the writer, kills it some milliseconds after it began to write; resolves to the last step it reported. */
function writeUntilKilled(folder: string, delay: number): Promise<number> {
  const script = fileURLToPath(new URL("./checkpoint.test.writer.js", import.meta.url));
  const child = spawn(process.execPath, [script, folder], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    if (output === "") setTimeout(() => child.kill("SIGKILL"), delay);
    output += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.on("close", (_code, signal) => {
      if (signal !== "SIGKILL") return reject(new Error(`the writer ended by itself: ${signal}`));
      const saved = [...output.matchAll(/saved (\d+)\n/g)].map((match) => Number(match[1]));
      resolve(saved.at(-1) ?? 0);
    });
  });
}

test("killed at any moment, a run leaves whole checkpoints and loses none that was reported", () =>
  inFolder(async (folder) => {
    const random = Random.fromSeed(20);
    let reported = 0;
    let most = 2;
    for (let round = 0; round < 20; round++) {
      const saved = await writeUntilKilled(folder, random.below(90));
      reported = Math.max(reported, saved);
      // Two are kept. A kill between naming the newest and removing the oldest leaves one more, until a save comes to its end.
      most = saved > 0 ? 3 : most + 1;
      const places = listCheckpoints(folder);
      assert.ok(places.length <= most, `${places.length} checkpoints, at most ${most} expected`);
      for (const place of places) {
        const { state, model, optimizer, close } = loadCheckpoint(place.path);
        const values = [
          readTensor(model, "w"),
          readTensor(model, "b"),
          readTensor(optimizer, "m"),
          readTensor(optimizer, "v"),
        ];
        assert.ok(values.every(({ data }) => (data as Float32Array).every((x) => x === state.step)));
        assert.equal(state.metrics["loss"], state.step);
        close();
      }
      assert.ok((places.at(-1)?.step ?? 0) >= reported, `reported ${reported}, found ${places.at(-1)?.step}`);
    }
    assert.ok(reported > 5, `only ${reported} checkpoints were written`);
  }));
