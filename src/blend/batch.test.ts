// Batches against hand-worked molecules: classes, weights, what is shown and hidden, padding, shapes of the registry.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ATOM_ROWS,
  BOND_ROWS,
  EDGE_CLASSES,
  FIELDS,
  type FieldName,
  PAIR_ROWS,
  SPD_CLASSES,
  SPD_ROWS,
  TOKEN_COLUMNS,
} from "../data/fields.js";
import { MAX_HOPS } from "../relations/relations.js";
import { EDGE_CLASS_OF_CODE, spdClass } from "./batch.js";
import { type Built, build, near, scalarOf, sum } from "./batch.test.support.js";
import {
  aceticAcid,
  chain,
  cisLabel,
  dative,
  type Example,
  ethanol,
  flatEthanol,
  methane,
  salt,
  sketch,
} from "./molecules.test.support.js";
import { MODALITIES, POLICY_NAMES, type Policy, policy } from "./policy.js";

/** The class of each pair of molecule b, -1 for none. */
function spdClasses({ batch, n }: Built, b = 0): number[][] {
  const { data } = batch["spd_target"];
  return Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (_, j) => {
      const at = ((b * n + i) * n + j) * SPD_CLASSES;
      return data.subarray(at, at + SPD_CLASSES).indexOf(1);
    }),
  );
}

/** The classes of the hops from i to j. */
function edgeClasses({ batch, n }: Built, i: number, j: number, b = 0): number[] {
  const { data } = batch["edge_target"];
  return Array.from({ length: MAX_HOPS }, (_, hop) => {
    const at = (((b * n + i) * n + j) * MAX_HOPS + hop) * EDGE_CLASSES;
    return data.subarray(at, at + EDGE_CLASSES).indexOf(1);
  });
}

test("ethanol: path lengths and bonds", () => {
  const built = build([ethanol]);
  assert.deepEqual(spdClasses(built), [
    [-1, 0, 1],
    [0, -1, 0],
    [1, 0, -1],
  ]);
  near(scalarOf(built, "spd_scale"), 1 / 6, "one over the pairs");
  assert.deepEqual(edgeClasses(built, 0, 2), [0, 0, -1, -1, -1]);
  assert.deepEqual(edgeClasses(built, 1, 0), [0, -1, -1, -1, -1]);
  // Four pairs of one bond and two of two.
  near(scalarOf(built, "edge_scale"), 1 / 8, "one over the hops");
});

test("acetic acid: conjugated double and single bonds, hop by hop in the direction of the pair", () => {
  const built = build([aceticAcid]);
  assert.deepEqual(spdClasses(built)[2], [1, 0, -1, 1]);
  assert.deepEqual(edgeClasses(built, 0, 2), [0, 7, -1, -1, -1]); // single, then conjugated double: 6·1 + 1
  assert.deepEqual(edgeClasses(built, 2, 0), [7, 0, -1, -1, -1]);
  assert.deepEqual(edgeClasses(built, 2, 3), [7, 1, -1, -1, -1]);
});

test("path lengths beyond 10 share the last class, however long", () => {
  const classes = spdClasses(build([chain(30)]))[0];
  assert.deepEqual(classes.slice(9, 13), [8, 9, 10, 10]);
  assert.equal(classes[29], 10);
  assert.deepEqual([0, 1, 10, 11, 19, 20, 509, 510].map(spdClass), [-1, 0, 9, 10, 10, 10, 10, -1]);
});

test("every bond code has its class, or none beyond the 24 of the reference", () => {
  assert.equal(EDGE_CLASS_OF_CODE[0], -1);
  for (let type = 0; type < 5; type++) {
    for (let stereo = 0; stereo < 6; stereo++) {
      for (const conjugated of [0, 1]) {
        const expected = type < 4 && stereo < 3 ? 6 * type + 2 * stereo + conjugated : -1;
        assert.equal(EDGE_CLASS_OF_CODE[1 + (type * 6 + stereo) * 2 + conjugated], expected);
      }
    }
  }
});

test("bonds outside the classes are shown but not asked for", () => {
  const custom: Policy = {
    ...policy("mask-2d"),
    pairs: [{ probability: 1, shows: ["edge"] }],
    recover: policy("blend").recover,
  };
  const built = build([dative], { custom });
  assert.deepEqual(edgeClasses(built, 1, 2), [12, -1, -1, -1, -1]); // triple, then the dative bond
  near(scalarOf(built, "edge_scale"), 1 / 4, "the triple bond in four paths");
  const row = PAIR_ROWS.edge + 4; // hop 0, type "misc"
  const tokens = built.n + 1;
  const { data } = built.batch["pair_features"];
  assert.equal(data[row * tokens * tokens + 1 * tokens + 3], 60, "atom 0 → 2 shows a bond of type misc");
  near(scalarOf(build([cisLabel], { custom }), "edge_scale"), 1 / 12, "of 20 hops, 8 are the labelled bond");
});

test("fragments and single atoms have no path and no bonds", () => {
  const built = build([salt, methane]);
  assert.deepEqual(spdClasses(built).flat().concat(spdClasses(built, 1).flat()), Array(8).fill(-1));
  assert.deepEqual(
    ["spd_scale", "edge_scale"].map((name) => scalarOf(built, name)),
    [0, 0],
  );
  near(sum(built.batch["distance_weight"].data), 1, "the salt has a distance all the same");
});

test("what is shown: path lengths by selection row, edges over the length of the path, unreachable as 511", () => {
  const custom: Policy = { ...policy("blend"), pairs: [{ probability: 1, shows: ["spd", "edge"] }] };
  const { batch, n } = build(
    [
      sketch(
        [6, 6, 6, 17],
        [
          [0, 1],
          [1, 2],
        ],
      ),
    ],
    { custom },
  );
  const tokens = n + 1;
  const { data, shape } = batch["pair_features"];
  const at = (row: number, i: number, j: number) => data[(row * tokens + i + 1) * tokens + j + 1];
  const selection = batch["spd_selection"];
  const embeddings = Array.from({ length: shape[1] - PAIR_ROWS.spd }, (_, row) =>
    selection.data.subarray(row * SPD_ROWS, (row + 1) * SPD_ROWS).indexOf(1),
  );
  assert.deepEqual(
    [...embeddings].sort((a, b) => a - b),
    [1, 2, 3, 511],
  );
  const shownAt = (i: number, j: number) => embeddings.filter((_, row) => at(PAIR_ROWS.spd + row, i, j) === 1);
  assert.deepEqual([shownAt(0, 0), shownAt(0, 2), shownAt(0, 3)], [[1], [3], [511]]);
  assert.equal(at(PAIR_ROWS.edge, 0, 1), 60);
  assert.equal(at(PAIR_ROWS.edge, 0, 2), 30, "two bonds: half each");
  assert.equal(at(PAIR_ROWS.edge + BOND_ROWS, 0, 2), 30, "and the second hop");
  for (let row = PAIR_ROWS.edge; row < PAIR_ROWS.spd; row++) assert.equal(at(row, 0, 3), 0, "none between fragments");
});

test("edges weigh one over the path length, which counts as five at most", () => {
  const custom: Policy = { ...policy("blend"), pairs: [{ probability: 1, shows: ["edge"] }] };
  const { batch, n } = build([chain(9)], { custom });
  const tokens = n + 1;
  const row = (PAIR_ROWS.edge * tokens + 1) * tokens + 1; // first hop, single bond, from atom 0
  assert.deepEqual([...batch["pair_features"].data.subarray(row, row + 9)], [0, 60, 30, 20, 15, 12, 12, 12, 12]);
});

test("token features: a row a real atom, the graph token, degree or geometry as drawn", () => {
  const { batch, draws, n } = build([ethanol, methane]);
  const columns = TOKEN_COLUMNS.count;
  const { data } = batch["token_features"];
  const set = (b: number, token: number) => {
    const row = (b * (n + 1) + token) * columns;
    return Array.from({ length: columns }, (_, c) => c).filter((c) => data[row + c] === 1);
  };
  assert.deepEqual(set(0, 0), [TOKEN_COLUMNS.graphToken]);
  draws[0].atoms.forEach((shown, i) => {
    const columnsSet = set(0, i + 1);
    assert.equal(columnsSet.filter((c) => c < ATOM_ROWS).length, 9);
    assert.equal(columnsSet[0], [5, 5, 7][i], "atomic number");
    assert.deepEqual(
      columnsSet.slice(9),
      shown === 1 ? [TOKEN_COLUMNS.degree + [1, 2, 1][i]] : [TOKEN_COLUMNS.geometry],
    );
  });
  assert.deepEqual([set(1, 2), set(1, 3)], [[], []], "padding");
});

test("masking asks only for what is hidden", () => {
  const { batch, draws, n } = build([aceticAcid], { name: "mask-2d" });
  const hidden = Array.from(draws[0].pairs, (bits) => bits === 0);
  const asked = spdClasses({ batch, draws, n })
    .flat()
    .map((cls) => cls >= 0);
  for (const [p, yes] of hidden.entries()) assert.equal(asked[p], yes && p % (n + 1) !== 0, `pair ${p}`);
  const located = build([aceticAcid], { name: "mask-3d" });
  located.draws[0].pairs.forEach((bits, p) => {
    const counts = located.batch["distance_weight"].data[p] > 0;
    assert.equal(counts, !(bits & MODALITIES.geometry) && p % (located.n + 1) !== 0, `pair ${p}`);
  });
});

/** Which losses have any target, by policy: of a molecule with coordinates and of one without. */
const TAKES_PART: Readonly<Record<string, readonly [string, string]>> = {
  blend: ["spd edge geometry noise", "spd edge"],
  "generate-3d": ["geometry", ""],
  "generate-2d": ["spd edge", ""],
  "mask-2d": ["spd edge", "spd edge"],
  "mask-3d": ["geometry noise", ""],
};

for (const name of POLICY_NAMES) {
  test(`${name}: losses with and without coordinates`, () => {
    const part = (example: Example) => {
      const { batch } = build([example], { name, target: "displacement" });
      const fields = { spd: "spd_target", edge: "edge_target", geometry: "displacement_target", noise: "noise_target" };
      return Object.entries(fields).flatMap(([loss, field]) => (batch[field].data.some((x) => x !== 0) ? [loss] : []));
    };
    assert.deepEqual([part(chain(8)).join(" "), part(chain(8, "none")).join(" ")], TAKES_PART[name]);
  });
}

test("every tensor has the registry's type and shape, and its padding beyond the atoms", () => {
  for (const target of ["distance", "displacement"] as const) {
    const { batch, n } = build([ethanol, chain(7), flatEthanol, methane], { target });
    const sizes = new Map<string, number>([
      ["batch", 4],
      ["atoms", n],
      ["tokens", n + 1],
    ]);
    for (const [name, { data, shape }] of Object.entries(batch)) {
      const field = FIELDS[name as FieldName];
      assert.ok(field, `${name} is not in the registry`);
      assert.equal(data.constructor, field.dtype === "uint8" ? Uint8Array : Float32Array, name);
      assert.equal(
        data.length,
        shape.reduce((a, b) => a * b, 1),
        name,
      );
      const expected = field.shape.map((dim, axis) => {
        if (typeof dim === "string" && !sizes.has(dim)) sizes.set(dim, shape[axis]);
        return typeof dim === "string" ? sizes.get(dim) : dim;
      });
      assert.deepEqual(shape, expected, name);
      if (field.shape[1] !== "atoms") continue;
      const lastMolecule = data.subarray((3 * data.length) / 4 + data.length / 4 / n);
      assert.ok(
        lastMolecule.every((value) => value === field.padding),
        `${name}: padding after the only atom`,
      );
    }
  }
});

test("an atom with more neighbours than the degree table is refused as a molecule", () => {
  const star = sketch(
    Array(70).fill(6),
    Array.from({ length: 69 }, (_, i) => [0, i + 1] as const),
  );
  assert.throws(() => build([star]), { name: "MoleculeError", message: /69 bonds, expected fewer than 64/ });
});
