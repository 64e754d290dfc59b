// What must not matter to a molecule: padding, its neighbours in the batch, their order, and how it is turned.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { MoleculeDraw } from "../blend/draws.js";
import {
  aceticAcid,
  chain,
  draw,
  type Example,
  ethanol,
  flatEthanol,
  methane,
  salt,
} from "../blend/molecules.test.support.js";
import { policy } from "../blend/policy.js";
import { Random } from "../random.js";
import { randomRotation, rotate } from "../relations/geometry.js";
import type { Tensor } from "../runtime/session.js";
import { HEAD_OUTPUTS, LOSS_TERMS } from "./graphs.js";
import { batchOf, distance, lossesOf, openProbe, type Probe, TINY, tiny } from "./tiny.test.support.js";

const TOLERANCE = 1e-5;
let probe: Probe;
let displacement: Probe;
before(async () => {
  probe = await openProbe(TINY);
  displacement = await openProbe(tiny("displacement"));
});
after(async () => {
  await probe.session.close();
  await displacement.session.close();
});

type Outputs = Readonly<Record<string, Tensor>>;
const STATES = ["embedding", ...Array.from({ length: TINY.layers }, (_, i) => `layer.${i}.output`)];

/** The rows of molecule b that stand for its graph token and atoms, of every layer. */
function statesOf(outputs: Outputs, b: number, atoms: number, tokens: number): number[] {
  return STATES.flatMap((name) => {
    const from = b * tokens * TINY.width;
    return Array.from(outputs[name].data, Number).slice(from, from + (atoms + 1) * TINY.width);
  });
}

/** The predictions of every head for the atoms of molecule b. */
function predictionsOf(outputs: Outputs, b: number, atoms: number): number[] {
  return HEAD_OUTPUTS.flatMap((head) => {
    const { data, shape } = outputs[head];
    const values = Array.from(data, Number);
    const n = shape[1];
    const classes = shape[shape.length - 1];
    return Array.from({ length: atoms }, (_, i) => {
      const row = head === "noise" ? (b * n + i) * classes : (b * n + i) * n * classes;
      return values.slice(row, row + (head === "noise" ? 1 : atoms) * classes);
    }).flat();
  });
}

function assertSame(got: readonly number[], expected: readonly number[], what: string, tolerance = TOLERANCE): void {
  const difference = distance(got, expected);
  assert.ok(difference <= tolerance, `${what}: differs by ${difference}`);
}

test("a molecule has the same states and predictions alone and beside a larger one", async () => {
  for (const small of [ethanol, aceticAcid, methane, salt, flatEthanol]) {
    const examples = [small, chain(9)];
    const draws = draw(examples);
    const alone = await probe.run(batchOf([small], { draws: draws.slice(0, 1) }));
    const together = await probe.run(batchOf(examples, { draws }));
    const { atoms } = small;
    assertSame(statesOf(together, 0, atoms, 10), statesOf(alone, 0, atoms, atoms + 1), "states");
    assertSame(predictionsOf(together, 0, atoms), predictionsOf(alone, 0, atoms), "predictions");
  }
});

/** A molecule that only pads: nothing of it counts in any loss. */
const unused = (one: MoleculeDraw): MoleculeDraw => ({ ...one, usable: false, located: one.located.map(() => 0) });

test("losses do not change when the batch is padded further", async () => {
  for (const [model, target] of [
    [probe, "distance"],
    [displacement, "displacement"],
  ] as const) {
    const examples = [ethanol, aceticAcid, methane, flatEthanol, chain(12)];
    const draws = draw(examples);
    const padded = [...draws.slice(0, 4), unused(draws[4])];
    const before = lossesOf(await model.run(batchOf(examples.slice(0, 4), { draws: draws.slice(0, 4), target })));
    const after = lossesOf(await model.run(batchOf(examples, { draws: padded, target })));
    for (const term of LOSS_TERMS) {
      assert.ok(before[term] > 0.01, `${target} ${term} is ${before[term]}`);
      assertSame([after[term]], [before[term]], `${target} ${term}`);
    }
  }
});

test("the order of the molecules does not matter", async () => {
  const examples = [ethanol, chain(7), methane, aceticAcid];
  const draws = draw(examples);
  const order = [2, 0, 3, 1];
  const outputs = await probe.run(batchOf(examples, { draws }));
  const permuted = await probe.run(
    batchOf(
      order.map((b) => examples[b]),
      { draws: order.map((b) => draws[b]) },
    ),
  );
  assertSame(Object.values(lossesOf(permuted)), Object.values(lossesOf(outputs)), "losses");
  for (const [now, b] of order.entries()) {
    const { atoms } = examples[b];
    assertSame(statesOf(permuted, now, atoms, 8), statesOf(outputs, b, atoms, 8), `states of molecule ${b}`);
    assertSame(predictionsOf(permuted, now, atoms), predictionsOf(outputs, b, atoms), `predictions of molecule ${b}`);
  }
});

function turned(draws: readonly MoleculeDraw[]): readonly MoleculeDraw[] {
  const random = Random.fromSeed(4);
  return draws.map((one) => {
    const rotation = randomRotation(random);
    return { ...one, positions: rotate(one.positions, rotation), noise: rotate(one.noise, rotation) };
  });
}

test("with the distance target only the denoising head sees how a molecule is turned", async () => {
  const examples: Example[] = [ethanol, chain(7), aceticAcid];
  const draws = draw(examples);
  const straight = await probe.run(batchOf(examples, { draws }));
  const rotated = await probe.run(batchOf(examples, { draws: turned(draws) }));
  // Distances of rotated float32 coordinates differ by some 1e-6 Å, which the kernels amplify.
  for (const name of [...STATES, "bias", "spd", "edge", "geometry"]) {
    assertSame(Array.from(rotated[name].data, Number), Array.from(straight[name].data, Number), name, 1e-4);
  }
  const [before, after] = [lossesOf(straight), lossesOf(rotated)];
  for (const term of ["spd", "edge", "geometry"] as const) assertSame([after[term]], [before[term]], term, 1e-4);
  const difference = distance(Array.from(rotated["noise"].data, Number), Array.from(straight["noise"].data, Number));
  assert.ok(difference > 1e-3, `the predicted noise turns too, got a difference of ${difference}`);
});

test("the denoising head sees directions: moving a molecule changes nothing at all", async () => {
  const [one] = draw([aceticAcid]);
  const moved = { ...one, positions: one.positions.map((x, c) => x + [3, -2, 1][c % 3]) };
  const here = await probe.run(batchOf([aceticAcid], { draws: [one] }));
  const there = await probe.run(batchOf([aceticAcid], { draws: [moved] }));
  assertSame(predictionsOf(there, 0, 4), predictionsOf(here, 0, 4), "predictions", 1e-4);
});

test("what a policy does not show has no influence", async () => {
  const generate3d = policy("generate-3d");
  const [one] = draw([aceticAcid], { policy: generate3d });
  const elsewhere = { ...one, positions: Float32Array.from(one.positions, (x) => 2 * x + 1) };
  const batches = [one, elsewhere].map((drawn) => batchOf([aceticAcid], { draws: [drawn], policy: generate3d }));
  const [first, second] = [await probe.run(batches[0]), await probe.run(batches[1])];
  for (const name of [...STATES, "bias", "spd", "edge", "geometry"]) {
    assert.deepEqual(second[name].data, first[name].data, `${name} depends on hidden coordinates`);
  }
});
