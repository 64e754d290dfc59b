// Unusual batches through the real training graph: losses and every gradient stay finite.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  aceticAcid,
  chain,
  cisLabel,
  dative,
  draw,
  type Example,
  ethanol,
  flatEthanol,
  methane,
  salt,
  sketch,
} from "../blend/molecules.test.support.js";
import { POLICY_NAMES, policy } from "../blend/policy.js";
import type { BatchTensors } from "../blend/tensors.js";
import type { Session, Tensor } from "../runtime/session.js";
import { NO_DROPOUT, REFERENCE_LOSS_WEIGHTS } from "./config.js";
import { gradientName, LOSS_TERMS, type LossTerm, trainingGraph } from "./graphs.js";
import { batchOf, lossesOf, open, parametersOf, tiny } from "./tiny.test.support.js";

const TARGETS = ["distance", "displacement"] as const;
const SCHEMES = ["strong", "reference", "moleblend"] as const;
const sessions = {} as Record<(typeof TARGETS)[number], Session>;

before(async () => {
  for (const target of TARGETS) {
    sessions[target] = await open(trainingGraph(tiny(target), NO_DROPOUT, REFERENCE_LOSS_WEIGHTS));
  }
});
after(async () => {
  for (const target of TARGETS) await sessions[target].close();
});

/** The losses, after every output was found finite. */
async function step(
  batch: BatchTensors,
  target: (typeof TARGETS)[number],
  scheme: (typeof SCHEMES)[number],
): Promise<{ losses: Record<LossTerm, number>; outputs: Readonly<Record<string, Tensor>> }> {
  const outputs = await sessions[target].run({ ...batch, ...parametersOf(tiny(target), scheme) });
  for (const [name, { data }] of Object.entries(outputs)) {
    assert.ok(Array.from(data, Number).every(Number.isFinite), `${target}, ${scheme}: ${name} is not finite`);
  }
  return { losses: lossesOf(outputs), outputs };
}

const BOND_LESS_TWINS = sketch([6, 6], [[0, 1]], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);

/** What each batch has no loss for. */
const BATCHES: Readonly<Record<string, readonly [readonly Example[], readonly LossTerm[]]>> = {
  "one molecule": [[ethanol], []],
  "single atoms only": [
    [methane, methane, methane],
    ["spd", "edge", "geometry", "noise"],
  ],
  "one single atom": [[methane], ["spd", "edge", "geometry", "noise"]],
  "a salt": [[salt], ["spd", "edge"]],
  "a salt beside others": [[salt, aceticAcid, methane], []],
  "distances far beyond 10": [[chain(40)], []],
  "a dative bond": [[dative], []],
  "stereo labels outside the classes": [[cisLabel], []],
  "no coordinates at all": [
    [flatEthanol, chain(5, "none")],
    ["geometry", "noise"],
  ],
  "some without coordinates": [[flatEthanol, ethanol, chain(5, "none")], []],
  "atoms at the same place": [[BOND_LESS_TWINS], ["geometry"]],
};

for (const [what, [examples, absent]] of Object.entries(BATCHES)) {
  test(`${what}: finite, and no loss where there is nothing to recover`, async () => {
    for (const target of TARGETS) {
      for (const scheme of SCHEMES) {
        // The seed is one with which some atom shows its 3D feature in every batch that has coordinates.
        const draws = draw(examples, {}, 3);
        const { losses } = await step(batchOf(examples, { target, draws }), target, scheme);
        for (const term of LOSS_TERMS) {
          const none = absent.includes(term) || (term === "total" && absent.length === 4);
          assert.equal(losses[term] === 0, none, `${target}, ${scheme}: ${term} loss is ${losses[term]}`);
        }
      }
    }
  });
}

test("molecules of one atom are denoised when the policy says so, as in the reference", async () => {
  const official = policy("blend", { denoiseLoneAtoms: true });
  const draws = draw([methane, methane, methane], {}, 3);
  const { losses } = await step(
    batchOf([methane, methane, methane], { policy: official, draws }),
    "distance",
    "strong",
  );
  assert.notEqual(losses.noise, 0);
});

test("every policy, with and without coordinates", async () => {
  for (const name of POLICY_NAMES) {
    for (const examples of [[ethanol, chain(6)], [flatEthanol], [flatEthanol, ethanol]]) {
      for (const target of TARGETS)
        await step(batchOf(examples, { target, policy: policy(name) }), target, "moleblend");
    }
  }
});

test("no noise at all: its direction counts as unknown", async () => {
  const draws = draw([ethanol], { noise: 0 });
  const { losses } = await step(batchOf([ethanol], { draws }), "distance", "strong");
  assert.equal(losses.noise, 1);
});

test("weights: the total is the weighted sum of its terms", async () => {
  const { losses } = await step(batchOf([ethanol, aceticAcid]), "distance", "strong");
  const expected = LOSS_TERMS.filter((term) => term !== "total").reduce(
    (sum, term) => sum + REFERENCE_LOSS_WEIGHTS[term] * losses[term],
    0,
  );
  assert.ok(Math.abs(losses.total - expected) < 1e-5, `expected ${expected}, got ${losses.total}`);
});

test("every parameter gets a gradient that is not all zero", async () => {
  const examples = [ethanol, aceticAcid, chain(7)];
  const { outputs } = await step(batchOf(examples, { target: "displacement" }), "displacement", "strong");
  for (const name of Object.keys(parametersOf(tiny("displacement"), "strong"))) {
    const { data } = outputs[gradientName(name)];
    assert.ok(
      Array.from(data, Number).some((slope) => slope !== 0),
      `${name} has no gradient`,
    );
  }
});
