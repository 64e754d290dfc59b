import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { halfToFloat } from "../data/half-float.js";
import { bytesSource } from "../data/random-access.js";
import { CheckpointError } from "../errors.js";
import { ADAM_DEFAULTS, adamStep } from "./adam.js";
import { createArena } from "./arena.js";
import { encodeSafetensors, type NamedTensor, openSafetensors, readDense, readTensor } from "./safetensors.js";
import { openSafetensorsFile, writeSafetensorsFile } from "./safetensors-file.js";

function golden(path: string): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return join(folder, "test/golden", path);
}

const join1 = (parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const open = (bytes: Uint8Array) => openSafetensors(bytesSource(bytes, "x.safetensors"));

/** A file whose header is the given JSON text (or value), with some bytes of data. */
function file(header: unknown, data = 0): Uint8Array {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return join1([length, json, Buffer.alloc(data)]);
}

const SAMPLES: readonly NamedTensor[] = [
  { name: "u8", dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 255) },
  { name: "f32", dtype: "F32", shape: [2, 2], data: Float32Array.of(1.5, -2, Infinity, 0) },
  { name: "scalar", dtype: "F64", shape: [], data: Float64Array.of(Math.PI) },
  { name: "i64", dtype: "I64", shape: [1], data: BigInt64Array.of(-(2n ** 60n)) },
  { name: "i32", dtype: "I32", shape: [2], data: Int32Array.of(-5, 2 ** 30) },
  { name: "f16", dtype: "F16", shape: [1], data: Uint16Array.of(0x3c00) },
  { name: "i8", dtype: "I8", shape: [1], data: Int8Array.of(-1) },
  { name: "bool", dtype: "BOOL", shape: [2], data: Uint8Array.of(0, 1) },
  { name: "empty", dtype: "F32", shape: [0, 7], data: new Float32Array(0) },
  { name: "__proto__", dtype: "U8", shape: [1], data: Uint8Array.of(9) },
];

test("every type survives writing and reading", () => {
  const read = open(join1(encodeSafetensors(SAMPLES, { made: "here" })));
  assert.deepEqual(read.metadata, { made: "here" });
  assert.equal(read.entries.size, SAMPLES.length);
  for (const sample of SAMPLES) assert.deepEqual(readTensor(read, sample.name), sample);
  assert.equal(read.dataStart % 8, 0);
});

test("views into a larger buffer are written as they are", () => {
  const data = Float32Array.of(0, 1, 2, 3).subarray(1, 3);
  const read = open(join1(encodeSafetensors([{ name: "x", dtype: "F32", shape: [2], data }])));
  assert.deepEqual(readTensor(read, "x").data, Float32Array.of(1, 2));
});

test("half precision", () => {
  const cases: [bits: number, value: number][] = [
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3555, 0.333251953125],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
    [0x7e00, Number.NaN],
  ];
  for (const [bits, value] of cases) assert.ok(Object.is(halfToFloat(bits), value), bits.toString(16));
});

test("damaged and foreign files are refused with a reason", () => {
  const f32 = (begin: number, end: number, shape = [1]) => ({ dtype: "F32", shape, data_offsets: [begin, end] });
  const cases: [bytes: Uint8Array, message: RegExp][] = [
    [new Uint8Array(3), /at least 8 bytes, got 3/],
    [new Uint8Array(8).fill(255), /claims a header of/],
    [file("{}").subarray(0, 9), /truncated: expected a header of 2 bytes, got 1/],
    [file("nonsense"), /not JSON/],
    [file("[1]"), /not a JSON object/],
    [file({ a: 3 }), /"a": expected dtype, shape and data_offsets, got 3/],
    [file({ a: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, 4), /"a": expected dtype/],
    [file({ a: f32(0, 5) }, 5), /expected 4 bytes for F32 \[1\], got 5/],
    [file({ a: f32(0, 4), b: f32(2, 6) }, 6), /"b" \(from byte 2\) overlaps tensor "a" \(to byte 4\)/],
    [file({ a: f32(4, 8) }, 8), /4 bytes between the header and tensor "a"/],
    [file({ a: f32(0, 4) }, 2), /truncated: tensor "a" ends at byte 4 of the data, the file has 2/],
    [file({ a: f32(0, 4) }, 9), /5 bytes after tensor "a" belong to no tensor/],
    [file({ a: { dtype: "BF16", shape: [1], data_offsets: [2, 0] } }, 0), /ends \(0\) before it begins \(2\)/],
    [file({ __metadata__: { a: 1 } }), /not a map of strings/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(
      () => open(bytes),
      (error: unknown) => error instanceof CheckpointError && message.test(error.message),
      `${message}`,
    );
  }
  const foreign = open(file({ a: { dtype: "BF16", shape: [1], data_offsets: [0, 2] } }, 2));
  assert.throws(() => readTensor(foreign, "a"), /got BF16/);
  assert.throws(() => readTensor(foreign, "b"), /no tensor "b" among its 1/);
});

test("no damaged byte of the header gives anything but a CheckpointError or a sound file", () => {
  const whole = join1(encodeSafetensors(SAMPLES));
  const damage = fc.record({ at: fc.nat(whole.length - 1), value: fc.nat(255), cut: fc.option(fc.nat(whole.length)) });
  fc.assert(
    fc.property(damage, ({ at, value, cut }) => {
      const bytes = whole.slice(0, cut ?? whole.length);
      if (at < bytes.length) bytes[at] = value;
      try {
        const read = open(bytes);
        for (const [name, { dtype }] of read.entries) if (dtype !== "BF16") readTensor(read, name);
      } catch (error) {
        assert.ok(error instanceof CheckpointError, String(error));
      }
    }),
    { numRuns: 500, seed: 5 },
  );
});

test("contradicting tensors are not written", () => {
  const x: NamedTensor = { name: "x", dtype: "F32", shape: [2], data: new Float32Array(2) };
  assert.throws(() => encodeSafetensors([x, x]), /"x" is taken/);
  assert.throws(() => encodeSafetensors([{ ...x, shape: [3] }]), /expected F32 \[3\], got Float32Array of 2/);
  assert.throws(() => encodeSafetensors([{ ...x, dtype: "F64" }]), CheckpointError);
});

test("row-sparse tables are expanded", () => {
  const read = open(
    join1(
      encodeSafetensors([
        { name: "t#rows", dtype: "I32", shape: [2], data: Int32Array.of(3, 1) },
        { name: "t#values", dtype: "F32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
      ]),
    ),
  );
  assert.deepEqual(readDense(read, "t", [4, 2]), Float32Array.of(0, 0, 3, 4, 0, 0, 1, 2));
  assert.deepEqual(readDense(read, "t", [4, 2], new Float32Array(8).fill(9)), Float32Array.of(9, 9, 3, 4, 9, 9, 1, 2));
  assert.throws(() => readDense(read, "t", [3, 2]), /rows below 3, got 3/);
  assert.throws(() => readDense(read, "t", [4, 3]), /expected \[2,3\], got \[2,2\]/);
  assert.throws(() => readDense(read, "t#rows", [2]), /floating-point tensor, got I32/);
});

test("files: written, read lazily, checked against a checksum", async () => {
  const folder = mkdtempSync(join(tmpdir(), "moleblend-"));
  try {
    const path = join(folder, "x.safetensors");
    const sum = await writeSafetensorsFile(path, SAMPLES);
    const { file: read, close } = openSafetensorsFile(path, sum);
    for (const sample of SAMPLES) assert.deepEqual(readTensor(read, sample.name), sample);
    close();
    assert.throws(() => openSafetensorsFile(path, "0".repeat(64)), /expected SHA-256 0{64}, got [0-9a-f]{64}/);
    writeFileSync(path, readFileSync(path).subarray(0, -1));
    assert.throws(() => openSafetensorsFile(path), /truncated/);
    assert.throws(() => openSafetensorsFile(join(folder, "none")), CheckpointError);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("Adam gives the reference's parameters after one step with weight decay", () => {
  const parameters = openSafetensorsFile(golden("model-tiny/params.safetensors"));
  const gradients = openSafetensorsFile(golden("model-tiny/a.grad.f64.safetensors"));
  const results = JSON.parse(readFileSync(golden("model-tiny/results.json"), "utf8")) as {
    f64: {
      pre_a: { grad_norm: number };
      "adam_clip5.0": { steps: { grad_norm?: number }[] };
      "adam_wd0.01_one_step": { param_l2_each: Record<string, number> };
    };
  };
  const expected = results.f64["adam_wd0.01_one_step"].param_l2_each;
  const shapeOf = (name: string) => parameters.file.entries.get(name)!.shape;
  // Parameters without any gradient (unused heads) are no business of the optimizer: they do not even decay.
  const trained = new Set([...gradients.file.entries.keys()].map((name) => name.split("#")[0]));
  const names = Object.keys(expected).filter((name) => trained.has(name));
  assert.equal(names.length, 116);
  const sizes = names.map((name) => shapeOf(name).reduce((a, b) => a * b, 1));
  const offsets = sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));
  const arena = createArena(offsets[names.length - 1] + sizes[names.length - 1]);
  names.forEach((name, i) => {
    arena.parameters.set(readDense(parameters.file, name, shapeOf(name)), offsets[i]);
    arena.gradients.set(readDense(gradients.file, name, shapeOf(name)), offsets[i]);
  });
  const report = adamStep(
    arena,
    { ...ADAM_DEFAULTS, weightDecay: 0.01, maxGradientNorm: 5 },
    { update: 1, learningRate: 1e-3 },
  );
  assert.ok(Math.abs(report.gradientNorm / results.f64.pre_a.grad_norm - 1) < 1e-6, `${report.gradientNorm}`);
  names.forEach((name, i) => {
    let square = 0;
    for (const x of arena.parameters.subarray(offsets[i], offsets[i] + sizes[i])) square += x * x;
    // Gradients of key biases are noise around 0 that Adam blows up to the full rate.
    const tolerance = name.endsWith("k_proj.bias") ? 1e-3 : 2e-7;
    assert.ok(
      Math.abs(Math.sqrt(square) / expected[name] - 1) <= tolerance,
      `${name}: ${Math.sqrt(square)}, ${expected[name]}`,
    );
  });
  parameters.close();
  gradients.close();
});
