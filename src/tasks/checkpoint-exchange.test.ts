// Official checkpoints in and out: recorded checksums, every layout of optimizer state, models that never were official.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  dict,
  entriesOf,
  isKind,
  list,
  lookUp,
  type PythonDict,
  type PythonEntry,
  type PythonTensor,
  type PythonValue,
} from "../data/python/python-values.js";
import { encodeTorchFile } from "../data/python/torch-writer.js";
import { bytesSource } from "../data/random-access.js";
import { CheckpointError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { initialise } from "../model/parameters.js";
import { Random } from "../random.js";
import { type Json, loadCheckpoint, saveCheckpoint } from "../train/checkpoint.js";
import { openOfficialFile } from "../train/fairseq/official-file.js";
import { modelSlots } from "../train/load-arrays.js";
import { type NamedTensor, openSafetensors, readTensor } from "../train/safetensors.js";
import { pretrainSettings } from "../train/settings.js";
import { exportFairseq, exportSafetensors } from "./export-checkpoint.js";
import { exportOnnx } from "./export-onnx.js";
import { importCheckpoint } from "./import-checkpoint.js";
import { checkCheckpoints } from "./verify/checkpoint-check.js";

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

const ROOT = repositoryRoot();
const GOLDEN = join(ROOT, "test", "golden", "checkpoint");
const OFFICIAL = join(GOLDEN, "tiny_official_fp16.pt");
const SHARED = join(ROOT, "..", "shared", "golden", "checkpoint");
const work = mkdtempSync(join(tmpdir(), "moleblend-exchange-"));
after(() => rmSync(work, { recursive: true }));

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const read = (path: string) => openOfficialFile(bytesSource(readFileSync(path), path)).value;

/** Everything in a file, tensors by type, shape and checksum. */
function fingerprint(value: PythonValue): unknown {
  if (isKind(value, "tensor")) return [value.type, value.shape, sha256(value.read())];
  if (typeof value !== "object" || value === null) return value;
  const parts = Object.entries(value).map(([key, part]) => {
    if (key === "entries") return [key, (part as PythonEntry[]).map((pair) => pair.map(fingerprint))];
    if (key === "items" || key === "given") return [key, (part as PythonValue[]).map(fingerprint)];
    return [key, key === "state" && part !== undefined ? fingerprint(part as PythonValue) : part];
  });
  return Object.fromEntries(parts);
}

function model(root: PythonValue): [string, PythonTensor][] {
  return (entriesOf(lookUp(root, "model")) ?? []) as unknown as [string, PythonTensor][];
}

function write(name: string, root: PythonValue): string {
  const path = join(work, name);
  writeFileSync(path, Buffer.concat([...encodeTorchFile(root)]));
  return path;
}

/** The official file with other entries on top. */
function official(changes: Readonly<Record<string, PythonValue>>): PythonDict {
  const entries = entriesOf(read(OFFICIAL)) ?? [];
  return {
    kind: "dict",
    entries: [...entries.filter(([key]) => !Object.hasOwn(changes, String(key))), ...Object.entries(changes)],
  };
}

function floats(shape: readonly number[], random: Random): PythonTensor {
  const values = Float32Array.from({ length: shape.reduce((size, dim) => size * dim, 1) }, () => random.normal());
  return { kind: "tensor", type: "float32", shape, requiresGradient: false, read: () => new Uint8Array(values.buffer) };
}

async function comesBack(name: string, root: PythonValue) {
  const path = write(`${name}.pt`, root);
  const summary = await importCheckpoint(path, { outDir: join(work, name) });
  const back = join(work, `${name}.back.pt`);
  await exportFairseq(join(work, name), back);
  assert.deepEqual(fingerprint(read(back)), fingerprint(read(path)));
  return summary;
}

test("every tensor of the recorded checkpoints, as read and after a round trip", (context) => {
  const folders = [GOLDEN, ...(existsSync(SHARED) ? [SHARED] : [])];
  if (folders.length === 1) context.diagnostic("the larger fixtures are not here: checked the float16 one alone");
  for (const { name, error, kind, note } of folders.flatMap((folder) => checkCheckpoints(folder, "checkpoint"))) {
    assert.ok(kind === "skipped" || error === 0, `${name}: ${note}`);
  }
});

test("float16: imported exactly, exported as float16, and import of the export is the import", async () => {
  const summary = await importCheckpoint(OFFICIAL, { outDir: join(work, "half") });
  assert.deepEqual(summary.types, ["float16"]);
  assert.equal(summary.step, 1);
  assert.deepEqual(summary.missing, []);
  assert.equal(summary.unused.length, 6);
  const exported = join(work, "half.pt");
  await exportFairseq(join(work, "half"), exported);
  assert.deepEqual(fingerprint(read(exported)), fingerprint(read(OFFICIAL)));
  const again = await importCheckpoint(exported, { outDir: join(work, "again") });
  for (const file of ["model.safetensors", "optimizer.safetensors", "reference.safetensors"]) {
    assert.ok(readFileSync(join(summary.checkpoint, file)).equals(readFileSync(join(again.checkpoint, file))), file);
  }
});

test("flat optimizer state of the FP16 optimizer", async () => {
  const tensors = model(read(OFFICIAL));
  const count = tensors.reduce((sum, [, { shape }]) => sum + shape.reduce((size, dim) => size * dim, 1), 0);
  const random = Random.fromSeed(2);
  const state = dict({ step: 1, exp_avg: floats([count], random), exp_avg_sq: floats([count], random) });
  const optimizer = dict({
    state: { kind: "dict", entries: [[0, state]] },
    param_groups: list([dict({ params: list([0]) })]),
  });
  const summary = await comesBack("flat", official({ last_optimizer_state: optimizer }));
  assert.equal(summary.optimizer, "flat");

  // One tensor, by hand: the layer norm bias of layer 2 is 64 numbers somewhere in the middle.
  const name = "encoder.molecule_encoder.layers.2.final_layer_norm.bias";
  const index = tensors.findIndex(([key]) => key === name);
  const from = tensors
    .slice(0, index)
    .reduce((sum, [, { shape }]) => sum + shape.reduce((size, dim) => size * dim, 1), 0);
  const flat = new Float32Array(new Uint8Array((lookUp(state, "exp_avg") as PythonTensor).read()).buffer);
  const loaded = loadCheckpoint(summary.checkpoint);
  assert.deepEqual(readTensor(loaded.optimizer, "m.layer.2.output_norm.bias").data, flat.slice(from, from + 64));
  loaded.close();
});

test("optimizer state by tensor, with gaps, and for a part of the model", async () => {
  const tensors = model(read(OFFICIAL));
  const random = Random.fromSeed(3);
  const stateOf = (chosen: readonly number[], first = 0): PythonDict => ({
    kind: "dict",
    entries: chosen.map((index): PythonEntry => {
      const { shape } = tensors[index][1];
      return [index - first, dict({ step: 1, exp_avg: floats(shape, random), exp_avg_sq: floats(shape, random) })];
    }),
  });
  const groups = (count: number) => list([dict({ params: list(Array.from({ length: count }, (_, i) => i)) })]);
  const trained = [...tensors.keys()].filter((index) => !/lm_|embed_out|encoder\.layer_norm/.test(tensors[index][0]));
  const whole = dict({ state: stateOf(trained), param_groups: groups(tensors.length) });
  const all = await comesBack("gaps", official({ last_optimizer_state: whole }));
  assert.equal(all.optimizer, "per tensor");
  assert.deepEqual(all.remarks, []);

  const layers = [...tensors.keys()].filter((index) => tensors[index][0].includes(".layers."));
  const part = dict({ state: stateOf(layers, layers[0]), param_groups: groups(layers.length) });
  const some = await comesBack("part", official({ last_optimizer_state: part }));
  assert.equal(some.optimizer, "per tensor");
  assert.match(some.remarks[0], /no moments for 68 of the 116/);

  const odd = dict({
    state: {
      kind: "dict",
      entries: [[0, dict({ step: 1, exp_avg: floats([7], random), exp_avg_sq: floats([7], random) })]],
    },
  });
  const unknown = await comesBack("unknown", official({ last_optimizer_state: odd }));
  assert.equal(unknown.optimizer, null);
  assert.match(unknown.remarks[0], /do not fit the model/);
});

test("a fine-tuned model: heads that are missing start anew, its own head is kept", async () => {
  const kept = model(read(OFFICIAL)).filter(([name]) => !/blend_|atom_proc|embed_out/.test(name));
  const head: PythonEntry = ["encoder.proj_out.dense.weight", floats([64, 64], Random.fromSeed(4))];
  const root = official({ model: { kind: "dict", entries: [...kept, head] } });
  const summary = await comesBack("molnet", root);
  assert.equal(summary.missing.length, 48);
  assert.ok(summary.unused.includes("encoder.proj_out.dense.weight"));
});

test("other models, incomplete ones and contradicting arguments are refused by name", async () => {
  const tensors = model(read(OFFICIAL));
  const refused = async (root: PythonValue, expected: RegExp) => {
    const attempt = importCheckpoint(write("refused.pt", root), { outDir: join(work, "refused") });
    await assert.rejects(attempt, (error: Error) => error instanceof CheckpointError && expected.test(error.message));
    assert.ok(!existsSync(join(work, "refused")), "nothing is written");
  };
  await refused(dict({ a: 1 }), /tensors of a model by name, got entries such as a/);
  await refused(list([1]), /an entry "model", found none/);
  await refused(dict({ model: dict({ w: floats([2], Random.fromSeed(1)) }) }), /not a MoleBLEND model/);
  const without = tensors.filter(([name]) => !name.includes("layers.1.fc1"));
  await refused(official({ model: { kind: "dict", entries: without } }), /incomplete: 2 tensors of the encoder/);
  const other = tensors.map(
    ([name, tensor]): PythonEntry => [
      name,
      name.endsWith("layers.1.fc1.bias") ? floats([9], Random.fromSeed(1)) : tensor,
    ],
  );
  await refused(
    official({ model: { kind: "dict", entries: other } }),
    /layers\.1\.fc1\.bias": expected shape \[64\], got \[9\]/,
  );
  await refused(
    official({ cfg: dict({ model: dict({ encoder_layers: 7 }) }) }),
    /arguments say layers = 7, its tensors 3/,
  );
});

const CONFIG: ModelConfig = {
  layers: 2,
  width: 16,
  heads: 4,
  feedForward: 24,
  kernels: 6,
  geometryHidden: 8,
  geometryTarget: "distance",
};

/** A checkpoint of ours with a value of its own in every place. */
async function ownCheckpoint(
  name: string,
  config: ModelConfig,
): Promise<{ folder: string; tensors: readonly NamedTensor[] }> {
  const { slots, length } = modelSlots(config);
  const random = Random.fromSeed(9);
  const flat = new Float32Array(length);
  initialise(slots, flat, random, "moleblend");
  const noise = () => Float32Array.from({ length }, () => random.normal());
  const tensors = (values: Float32Array, prefix = ""): NamedTensor[] =>
    slots.map((slot) => ({
      name: prefix + slot.name,
      dtype: "F32",
      shape: slot.shape,
      data: values.slice(slot.offset, slot.offset + slot.size),
    }));
  const settings = { ...pretrainSettings("mini"), model: config };
  const state = { step: 5, epoch: 1, batchInEpoch: 2, seed: 1, config: settings as unknown as Json, metrics: {} };
  const parameters = tensors(flat);
  const optimizer = [...tensors(noise(), "m."), ...tensors(noise(), "v.")];
  await saveCheckpoint(join(work, name), { state, model: parameters, optimizer }, { keep: 1 });
  return { folder: join(work, name), tensors: parameters };
}

test("a model that never was official becomes one that is imported as it was", async () => {
  const config: ModelConfig = { ...CONFIG, geometryTarget: "displacement" };
  const { folder } = await ownCheckpoint("own", config);
  const file = join(work, "own.pt");
  const { remarks } = await exportFairseq(folder, file);
  assert.equal(remarks.length, 1);
  assert.ok(!readFileSync(file).includes("nan"));
  const summary = await importCheckpoint(file, { outDir: join(work, "own-back") });
  assert.deepEqual(summary.model, config);
  assert.equal(summary.step, 5);
  assert.equal(summary.optimizer, "per tensor");
  for (const name of ["model.safetensors", "optimizer.safetensors"]) {
    const [before, after] = [join(folder, "checkpoint-5", name), join(summary.checkpoint, name)];
    assert.equal(sha256(readFileSync(after)), sha256(readFileSync(before)), name);
  }
  const table = lookUp(
    read(file),
    "model",
    "encoder.molecule_encoder.atom_feature.atom_encoder.weight",
  ) as PythonTensor;
  const values = new Float32Array(new Uint8Array(table.read()).buffer);
  assert.ok(
    values.subarray(0, 16).every((value) => value === 0),
    "the padding row is zero",
  );
  const unused = values.subarray(16 * 300, 16 * 500);
  const deviation = Math.sqrt(unused.reduce((sum, value) => sum + value * value, 0) / unused.length);
  assert.ok(Math.abs(deviation - 0.02) < 0.002, "unused rows are N(0, 0.02)");
  await exportFairseq(folder, join(work, "own2.pt"));
  assert.equal(sha256(readFileSync(join(work, "own2.pt"))), sha256(readFileSync(file)), "the same bytes every time");
});

test("a distance model says what it loses", async () => {
  const { folder } = await ownCheckpoint("distance", CONFIG);
  const { remarks } = await exportFairseq(folder, join(work, "distance.pt"));
  assert.match(remarks.join(), /last map of our distance head is lost/);
});

test("trained further: the numbers, the moments and the count of updates are ours, all else is theirs", async () => {
  const { checkpoint } = await importCheckpoint(OFFICIAL, { outDir: join(work, "base") });
  const loaded = loadCheckpoint(checkpoint);
  const change = (file: typeof loaded.model) =>
    [...file.entries.values()].map(({ name, shape }): NamedTensor => {
      const data = (readTensor(file, name).data as Float32Array<ArrayBuffer>).map((value) => value + 1e-3);
      return { name, dtype: "F32", shape, data };
    });
  const content = {
    state: { ...loaded.state, step: 9 },
    model: change(loaded.model),
    optimizer: change(loaded.optimizer),
  };
  const trained = await saveCheckpoint(join(work, "trained"), content, { keep: 1 });
  loaded.close();
  const file = join(work, "trained.pt");
  const { remarks } = await exportFairseq(trained, file, { reference: join(work, "base") });
  assert.match(remarks.join(), /no longer fit float16.*no optimizer state/);
  const [before, now] = [read(OFFICIAL), read(file)];
  assert.equal(
    (lookUp(now, "optimizer_history") as { items: PythonValue[] }).items
      .map((entry) => lookUp(entry, "num_updates"))
      .at(-1),
    9,
  );
  assert.deepEqual(fingerprint(lookUp(now, "cfg") as PythonValue), fingerprint(lookUp(before, "cfg") as PythonValue));
  const summary = await importCheckpoint(file, { outDir: join(work, "trained-back") });
  assert.equal(
    sha256(readFileSync(join(summary.checkpoint, "model.safetensors"))),
    sha256(readFileSync(join(trained, "model.safetensors"))),
  );
  await assert.rejects(exportFairseq(trained, file, { reference: trained }), /expected an imported checkpoint/);
});

test("safetensors under official names and under ours", async () => {
  await importCheckpoint(OFFICIAL, { outDir: join(work, "tensors") });
  const open = (path: string) => openSafetensors(bytesSource(readFileSync(path), path));
  const theirs = join(work, "theirs.safetensors");
  await exportSafetensors(join(work, "tensors"), theirs, "official");
  assert.deepEqual(
    [...open(theirs).entries.keys()].sort(),
    model(read(OFFICIAL))
      .map(([name]) => name)
      .sort(),
  );
  const ours = join(work, "ours.safetensors");
  await exportSafetensors(join(work, "tensors"), ours, "moleblend");
  assert.equal(JSON.parse(open(ours).metadata["model"]).layers, 3);
  assert.ok(open(ours).entries.has("embedding.atom"));
});

test("ONNX: every output, in 2D alone, and with the parameters in a file beside it", async () => {
  const { folder } = await ownCheckpoint("onnx", CONFIG);
  const file = join(work, "model.onnx");
  const all = [
    "cls",
    "mean",
    "atoms",
    "layer.0",
    "layer.2",
    "attention.1",
    "pair.spd",
    "pair.edge",
    "pair.distance",
    "noise",
  ];
  const whole = await exportOnnx(folder, file, { outputs: all });
  assert.deepEqual(whole.outputs, all);
  assert.ok(whole.deviation < 1e-5, `deviation ${whole.deviation}`);
  const bytes = readFileSync(file, "latin1");
  assert.ok(!bytes.includes("com.microsoft"), "standard operators alone");
  for (const key of ["moleblend.model", "moleblend.vocabulary", "moleblend.preprocessing", "atomicNumber"]) {
    assert.ok(bytes.includes(key), key);
  }
  const flat = await exportOnnx(folder, join(work, "2d.onnx"), { geometry: false, outputs: ["cls", "pair.spd"] });
  assert.deepEqual(flat.inputs, ["token_features", "spd_selection", "pair_features"]);
  const beside = await exportOnnx(folder, join(work, "large.onnx"), { outputs: ["mean"], inlineLimit: 100 });
  assert.ok(beside.data && existsSync(beside.data) && beside.bytes < 100_000);
  await assert.rejects(
    exportOnnx(folder, file, { outputs: ["pair.displacement"] }),
    /outputs: expected some of cls, mean/,
  );
});

test("a damaged import names the file", async () => {
  const { checkpoint } = await importCheckpoint(OFFICIAL, { outDir: join(work, "damaged") });
  const path = join(checkpoint, "reference.json");
  writeFileSync(path, readFileSync(path, "utf8").replace("argparse.Namespace", "os.system"));
  await assert.rejects(exportFairseq(checkpoint, join(work, "x.pt")), /reference\.json: damaged: expected SHA-256/);
  // Even with a checksum that fits, no export names what an import would refuse.
  const sums = join(checkpoint, "SHA256SUMS");
  const lines = readFileSync(sums, "utf8").replace(
    /\w+ {2}reference\.json/,
    `${sha256(readFileSync(path))}  reference.json`,
  );
  writeFileSync(sums, lines);
  await assert.rejects(exportFairseq(checkpoint, join(work, "x.pt")), /os\.system/);
});
