// What each mode of a fine-tuned model shows: the graph, the coordinates, or both; the atoms' own features always.
import assert from "node:assert/strict";
import { test } from "node:test";
import { chain, type Example, ethanol, flatEthanol } from "../blend/molecules.test.support.js";
import type { BatchTensors } from "../blend/tensors.js";
import type { Molecule } from "../chem/molecule.js";
import { PAIR_ROWS, TOKEN_COLUMNS } from "../data/fields.js";
import { packMolecules } from "../data/packed-molecules.js";
import { TASK_MODES, type TaskMode } from "../model/task-graphs.js";
import { Random } from "../random.js";
import { makeTaskBatch } from "./task-batch.js";
import { taskBatchPool } from "./task-batch-pool.js";

function moleculeOf({ graph, atoms, positions }: Example): Molecule {
  const bonds = Array.from({ length: atoms - 1 }, (_, i) => [i, i + 1]).flat();
  const bondFeatures = new Uint8Array(3 * (atoms - 1));
  return {
    ...{ name: "m", structureKey: "0123456789abcdef", labels: {}, atomFeatures: graph.atomFeatures },
    ...{ bonds: Uint16Array.from(bonds), bondFeatures, positions },
  };
}

const molecules = [ethanol, chain(5)].map(moleculeOf);

function batch(mode: TaskMode, members = molecules): BatchTensors {
  return makeTaskBatch(members, { mode, readout: "mean", dropout: [] }, Random.fromSeed(1));
}

/** How many pairs show something in each of the rows of `pair_features` that come from the graph. */
function graphRelationsShown({ pair_features: { data, shape } }: BatchTensors): number {
  const [count, rows, tokens] = shape;
  const plane = tokens * tokens;
  let shown = 0;
  for (let b = 0; b < count; b++)
    for (let row = 0; row < rows; row++) {
      if (row === PAIR_ROWS.virtualDistance || row === PAIR_ROWS.padding) continue;
      for (let p = 0; p < plane; p++) shown += data[(b * rows + row) * plane + p] === 0 ? 0 : 1;
    }
  return shown;
}

function tokenColumns({ token_features: { data, shape } }: BatchTensors, from: number, to: number): number[] {
  const columns = shape[2];
  return Array.from(data as Uint8Array).filter((_, i) => i % columns >= from && i % columns < to);
}

const GEOMETRY = ["distance", "direction", "geometry_shown", "geometry_gathered"];

test("3d shows distances and nothing of the graph; both shows what 2d and 3d show", () => {
  const [graph, geometry, both] = TASK_MODES.map((mode) => batch(mode));
  assert.equal(graphRelationsShown(geometry), 0);
  assert.ok(graphRelationsShown(graph) > 0);
  assert.deepEqual(both["pair_features"], graph["pair_features"]);
  assert.deepEqual(both["spd_selection"], graph["spd_selection"]);
  for (const name of GEOMETRY) {
    assert.ok(!(name in graph), name);
    assert.deepEqual(geometry[name], both[name], name);
  }
});

test("the features of the atoms stay in every mode; the degree is one of the graph, the gathered distances are of the coordinates", () => {
  const [graph, geometry, both] = TASK_MODES.map((mode) => batch(mode));
  const own = (tensors: BatchTensors) => tokenColumns(tensors, 0, TOKEN_COLUMNS.degree);
  assert.deepEqual(own(geometry), own(graph));
  assert.deepEqual(own(both), own(graph));
  const degrees = (tensors: BatchTensors) =>
    tokenColumns(tensors, TOKEN_COLUMNS.degree, TOKEN_COLUMNS.graphToken).filter(Boolean).length;
  assert.deepEqual([degrees(graph), degrees(geometry), degrees(both)], [8, 0, 8]);
});

test("without coordinates, both shows the graph and 3d refuses the molecule by name", () => {
  const flat = [moleculeOf(flatEthanol)];
  assert.deepEqual(batch("both", flat)["pair_features"], batch("2d", flat)["pair_features"]);
  assert.throws(() => batch("3d", flat), {
    name: "DatasetError",
    message: /molecule "m": 3d mode expects coordinates/,
  });
});

test("a pool that is closed has answered what it was asked", async () => {
  const recipe = { mode: "2d", readout: "mean", dropout: [] } as const;
  const pool = taskBatchPool({ corpusDir: null, recipe, seed: 1 }, 2);
  const packed = packMolecules(molecules, []);
  let answered = 0;
  for (let i = 0; i < 7; i++) {
    pool.make({ molecules: packed, labels: [i] }).then((tensors) => {
      assert.equal(tensors["token_features"].shape[0], molecules.length);
      answered++;
    });
  }
  await pool.close();
  assert.equal(answered, 7);
});
