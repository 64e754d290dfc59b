// The policies: what each shows and recovers, as documented, and what is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkPolicy, POLICY_NAMES, type Policy, policy } from "./policy.js";

/** `probability:modalities` of each choice. */
function describe(part: Policy["pairs"] | Policy["atoms"]): string {
  return part.map(({ probability, shows }) => `${probability}:${shows.join("+") || "nothing"}`).join(" ");
}

const recovered = ({ recover }: Policy) =>
  [recover.spd, recover.edge, recover.geometry, recover.noise].map((recovery) => String(recovery)).join(" ");

/** Pairs, atoms, and what is recovered of path length, edges, geometry and noise. */
const DOCUMENTED: Readonly<Record<(typeof POLICY_NAMES)[number], readonly [string, string, string]>> = {
  blend: ["0.2:spd 0.2:edge 0.6:geometry", "0.4:degree 0.6:geometry", "all all all shown"],
  "generate-3d": ["1:spd+edge", "1:degree", "none none all none"],
  "generate-2d": ["1:geometry", "1:geometry", "all all none none"],
  "mask-2d": ["0.7:spd+edge 0.3:nothing", "1:degree", "hidden hidden none none"],
  "mask-3d": ["0.7:geometry 0.3:nothing", "1:geometry", "none none hidden all"],
};

for (const name of POLICY_NAMES) {
  test(`${name} shows and recovers what is documented`, () => {
    const made = policy(name);
    assert.equal(made.name, name);
    assert.deepEqual([describe(made.pairs), describe(made.atoms), recovered(made)], DOCUMENTED[name]);
    assert.equal(checkPolicy(made), made);
  });
}

test("probabilities and the hidden share are options", () => {
  const blended = policy("blend", { probabilities: { spd: 0.5, edge: 0.25, geometry: 0.25 } });
  assert.equal(describe(blended.pairs), "0.5:spd 0.25:edge 0.25:geometry");
  assert.equal(describe(blended.atoms), "0.75:degree 0.25:geometry");
  assert.equal(describe(policy("mask-2d", { hiddenShare: 0.5 }).pairs), "0.5:spd+edge 0.5:nothing");
});

test("what makes no sense is refused with what was expected", () => {
  const refused = (name: string, options: Parameters<typeof policy>[1], message: RegExp) =>
    assert.throws(() => policy(name, options), { name: "ConfigError", message });
  refused("blending", {}, /unknown policy "blending"; there are blend, generate-3d/);
  refused("blend", { probabilities: { spd: 0.5, edge: 0.5, geometry: 0.5 } }, /sum to 1, got 0.5, 0.5, 0.5/);
  refused("blend", { probabilities: { spd: -0.2, edge: 0.6, geometry: 0.6 } }, /at least 0/);
  refused("blend", { probabilities: { spd: Number.NaN, edge: 0.4, geometry: 0.6 } }, /at least 0/);
  for (const hiddenShare of [0, 1, -1, Number.NaN])
    refused("mask-3d", { hiddenShare }, /hidden share.*between 0 and 1/);
});
