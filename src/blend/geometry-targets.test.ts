// Targets of the 3D head and of denoising: directions, and weights that sum to 1.
import assert from "node:assert/strict";
import { test } from "node:test";
import { build, near, scalarOf, sum } from "./batch.test.support.js";
import { aceticAcid, ethanol, flatEthanol, methane, sketch } from "./molecules.test.support.js";

test("distance weights: 1 in all, the same for every molecule, nothing for padding or the diagonal", () => {
  const built = build([ethanol, aceticAcid, methane, flatEthanol]);
  const weights = built.batch["distance_weight"].data;
  const plane = built.n ** 2;
  const shares = [0, 1, 2, 3].map((b) => sum(weights.subarray(b * plane, (b + 1) * plane)));
  for (const [b, share] of [0.5, 0.5, 0, 0].entries()) near(shares[b], share, `molecule ${b}`);
  const [x, y, z] = [0, 1, 2].map((c) => (ethanol.positions?.[3 + c] ?? 0) - (ethanol.positions?.[c] ?? 0));
  near(built.batch["distance_target"].data[1], Math.hypot(x, y, z), "distance of the clean atoms 0 and 1");
});

test("displacement targets: unit vectors times the weight of the pair, opposite in opposite directions", () => {
  const built = build([ethanol, flatEthanol], { target: "displacement" });
  const { data } = built.batch["displacement_target"];
  const lengths = Array.from({ length: data.length / 3 }, (_, p) => Math.hypot(...data.subarray(p * 3, p * 3 + 3)));
  near(sum(lengths), 1, "all weights");
  near(lengths[1], 1 / 6, "one of six pairs of one molecule");
  for (let c = 0; c < 3; c++) near(data[1 * 3 + c], -data[3 * 3 + c], "(0, 1) and (1, 0)");
  assert.equal(scalarOf(built, "geometry_total"), 1);
});

test("noise targets: unit vectors over the atoms that show their 3D feature", () => {
  const built = build([ethanol, aceticAcid, flatEthanol]);
  const shown = built.draws.flatMap(({ atoms }) => [...atoms]).filter((bits) => bits & 2).length;
  const { data } = built.batch["noise_target"];
  const lengths = Array.from({ length: data.length / 3 }, (_, p) => Math.hypot(...data.subarray(p * 3, p * 3 + 3)));
  assert.equal(lengths.filter((length) => length > 0).length, shown);
  for (const length of lengths.filter((value) => value > 0)) near(length, 1 / shown, "weight");
  const all = build([ethanol, flatEthanol], { name: "mask-3d" }).batch["noise_target"].data;
  assert.equal(all.filter((value) => value !== 0).length, 9, "every located atom");
});

test("atoms at the same place have no direction: they do not count, and nothing is NaN", () => {
  const twins = sketch([6, 6, 8], [[0, 1]], [1, 2, 3, 1, 2, 3, 0, 0, 1]);
  for (const target of ["distance", "displacement"] as const) {
    const { batch } = build([twins], { target });
    for (const [name, { data }] of Object.entries(batch)) assert.ok(data.every(Number.isFinite), name);
  }
  const weights = build([twins]).batch["distance_weight"].data;
  near(weights[1], 0, "the pair of twins");
  near(weights[2], 1 / 4, "one of four pairs");
});
