// Parameters against the official model: names, shapes and number, initialisation, and the way there and back.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Random } from "../random.js";
import { PRESETS } from "./config.js";
import { initialise, layoutParameters, type ParameterSlot, parameterSpecs } from "./parameters.js";
import { fromReference, type ReferenceTensor, referenceLayout, toReference } from "./reference-layout.js";
import { TINY, tiny } from "./tiny.test.support.js";

interface OfficialParameter {
  readonly shape: readonly number[];
  readonly mean: number;
  /** Null for a single element. */
  readonly std: number | null;
  readonly min: number;
  readonly max: number;
}

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

const OFFICIAL = JSON.parse(
  readFileSync(join(repositoryRoot(), "test", "golden", "base-pretrain-model.json"), "utf8"),
) as { readonly total: number; readonly parameters: Readonly<Record<string, OfficialParameter>> };

const sizeOf = (shape: readonly number[]) => shape.reduce((size, dim) => size * dim, 1);

function slotsOf(specs: ReturnType<typeof parameterSpecs>) {
  const { slots, length } = layoutParameters(specs);
  return { slots, length, byName: new Map<string, ParameterSlot>(slots.map((slot) => [slot.name, slot])) };
}

test("the paper preset has the official model's tensors: every name, every shape, 50,120,106 numbers", () => {
  const layout = referenceLayout(PRESETS.paper);
  const shapes = Object.fromEntries(layout.map(({ name, shape }) => [name, shape]));
  const official = Object.fromEntries(Object.entries(OFFICIAL.parameters).map(([name, { shape }]) => [name, shape]));
  assert.equal(layout.length, Object.keys(shapes).length, "a name occurs twice");
  assert.deepEqual(shapes, official);
  assert.equal(
    layout.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    50_120_106,
  );
  assert.equal(OFFICIAL.total, 50_120_106);
});

/** The official rows that our parameters hold, in our values. */
function trained(tensor: ReferenceTensor, slots: ReadonlyMap<string, ParameterSlot>, flat: Float32Array): Float32Array {
  const marks = toReference(tensor, slots, new Float32Array(flat.length).fill(1));
  return toReference(tensor, slots, flat).filter((_, i) => marks[i] === 1);
}

function moments(values: Float32Array): { mean: number; std: number } {
  let sum = 0;
  let squares = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return { mean, std: Math.sqrt(Math.max(0, squares / values.length - mean * mean)) };
}

test('initialisation "reference" has the official statistics, tensor by tensor', () => {
  // The tensors outside the layers and those of the first: the other layers are drawn alike.
  const config = { ...PRESETS.paper, layers: 1, geometryTarget: "displacement" } as const;
  const { slots, length, byName } = slotsOf(parameterSpecs(config));
  const flat = new Float32Array(length);
  initialise(slots, flat, Random.fromSeed(1), "reference");
  let compared = 0;
  for (const tensor of referenceLayout(config)) {
    if (tensor.pieces.length === 0) continue;
    const official = OFFICIAL.parameters[tensor.name];
    const values = trained(tensor, byName, flat);
    const { mean, std } = moments(values);
    compared++;
    if (official.min === official.max) {
      assert.ok(
        values.every((value) => value === official.mean),
        `${tensor.name}: expected ${official.mean} throughout`,
      );
      continue;
    }
    // Both are samples: five standard errors of each.
    const errors = [values.length, sizeOf(official.shape)].map((count) => 5 / Math.sqrt(count));
    const margin = 0.02 * (errors[0] + errors[1]);
    assert.ok(Math.abs(mean - official.mean) < margin, `${tensor.name}: mean ${mean}, officially ${official.mean}`);
    const officialStd = official.std ?? 0;
    assert.ok(
      Math.abs(std - officialStd) < margin * Math.SQRT1_2,
      `${tensor.name}: std ${std}, officially ${officialStd}`,
    );
  }
  assert.ok(compared > 60, `only ${compared} tensors were compared`);
});

test('initialisation "moleblend" differs in the Gaussian basis alone: centres over 0 to 12 Å', () => {
  const { slots, length, byName } = slotsOf(parameterSpecs(PRESETS.mini));
  const [reference, ours] = (["reference", "moleblend"] as const).map((scheme) => {
    const flat = new Float32Array(length);
    initialise(slots, flat, Random.fromSeed(3), scheme);
    return (name: string) => {
      const { offset, size } = byName.get(name) as ParameterSlot;
      return flat.subarray(offset, offset + size);
    };
  });
  const basis = ["geometry.means", "geometry.widths", "geometry.scale", "geometry.shift"];
  for (const { name } of slots) {
    if (!basis.includes(name)) assert.deepEqual(ours(name), reference(name), name);
  }
  const means = ours("geometry.means");
  assert.equal(means[0], 0);
  assert.ok(Math.abs(means[means.length - 1] - 12) < 1e-5);
  assert.ok(ours("geometry.widths").every((width) => Math.abs(width - means[1]) < 1e-6));
  // Both atoms of a pair together scale by 1 and shift by 0.
  assert.ok(ours("geometry.scale").every((half) => half === 0.5) && ours("geometry.shift").every((x) => x === 0));
});

test("initial values are a function of seed and name, not of the order of the tensors", () => {
  const { slots, length } = slotsOf(parameterSpecs(TINY));
  const [first, second] = [new Float32Array(length), new Float32Array(length)];
  initialise(slots, first, Random.fromSeed(9), "reference");
  initialise([...slots].reverse(), second, Random.fromSeed(9), "reference");
  assert.deepEqual(second, first);
});

test("slots are aligned and do not overlap", () => {
  const { slots, length } = layoutParameters(parameterSpecs(PRESETS.mini));
  let end = 0;
  for (const { name, offset, size, shape } of slots) {
    assert.ok(offset % 16 === 0 && offset >= end, name);
    assert.equal(size, sizeOf(shape), name);
    end = offset + size;
  }
  assert.ok(length >= end);
});

test("to the official layout and back: every number arrives once, rows that are not ours stay", () => {
  const config = tiny("displacement");
  const { slots, length, byName } = slotsOf(parameterSpecs(config));
  const flat = Float32Array.from({ length }, (_, i) => i + 1);
  const back = new Float32Array(length);
  const seen = new Uint8Array(length);
  for (const tensor of referenceLayout(config)) {
    const base = new Float32Array(sizeOf(tensor.shape)).fill(-7);
    const theirs = toReference(tensor, byName, flat, base);
    const ours = theirs.filter((value) => value !== -7);
    for (const value of ours) seen[value - 1]++;
    const rows = tensor.pieces.reduce((sum, piece) => sum + piece.rows, 0);
    assert.equal(ours.length, rows * tensor.width, tensor.name);
    fromReference(tensor, byName, theirs, back);
  }
  for (const { name, offset, size } of slots) {
    assert.deepEqual(back.subarray(offset, offset + size), flat.subarray(offset, offset + size), name);
    assert.ok(
      seen.subarray(offset, offset + size).every((times) => times === 1),
      `${name} is not covered once`,
    );
  }
});

test("with the distance target everything but its last map has an official place", () => {
  const { slots, byName } = slotsOf(parameterSpecs(TINY));
  const placed = new Set(referenceLayout(TINY).flatMap(({ pieces }) => pieces.map(({ parameter }) => parameter)));
  const homeless = slots.map(({ name }) => name).filter((name) => !placed.has(name));
  assert.deepEqual(homeless, ["pair.geometry2.weight", "pair.geometry2.bias"]);
  assert.ok([...placed].every((name) => byName.has(name)));
});

test("a model without the rows of an official tensor is refused by name", () => {
  const { byName, length } = slotsOf(parameterSpecs(TINY));
  const wider = referenceLayout({ ...TINY, width: 32 }).find(({ name }) => name.endsWith("layers.0.fc1.weight"));
  assert.ok(wider);
  assert.throws(() => toReference(wider, byName, new Float32Array(length)), {
    name: "CheckpointError",
    message: /layers\.0\.fc1\.weight": this model has no rows 0 to 24 of parameter "layer\.0\.fc1\.weight"/,
  });
});
