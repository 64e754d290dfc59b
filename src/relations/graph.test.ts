// Relations of molecules against the reference's fixtures, a literal Floyd-Warshall, and hand-worked graphs.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { ShapeError } from "../errors.js";
import { Random } from "../random.js";
import { bondCode, bondOfCode, graphRelations } from "./graph.js";
import { referenceEdgeInput, referenceLayout } from "./reference-layout.js";
import { MAX_HOPS, UNREACHABLE } from "./relations.js";
import { adjacency, shortestPaths } from "./shortest-paths.js";

interface GoldenMolecule {
  readonly smiles: string;
  readonly n: number;
  readonly atoms: readonly number[][];
  readonly bonds: readonly number[][];
  readonly in_degree: readonly number[];
  readonly max_dist: number;
  readonly sha: Readonly<Record<string, string>>;
  readonly x?: readonly number[][];
  readonly spd?: readonly number[];
  readonly path?: readonly number[];
  readonly edge_input5_triples?: readonly number[][];
  readonly edge_input5_idx?: readonly number[];
}

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

function goldenMolecules(): GoldenMolecule[] {
  const file = join(repositoryRoot(), "test/golden/featurize/molecules.jsonl");
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as GoldenMolecule);
}

function arraysOf({ atoms, bonds }: GoldenMolecule) {
  return [
    Uint8Array.from(atoms.flat()),
    Uint16Array.from(bonds.flatMap((bond) => bond.slice(0, 2))),
    Uint8Array.from(bonds.flatMap((bond) => bond.slice(2))),
  ] as const;
}

const sha256 = (array: Int32Array) =>
  createHash("sha256")
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest("hex");

/** The reference's loops as they stand, O(n³). */
function floydWarshall(atoms: number, bonds: Uint16Array): { distance: number[]; path: number[] } {
  const distance = new Array<number>(atoms * atoms).fill(UNREACHABLE);
  const path = new Array<number>(atoms * atoms).fill(0);
  for (let i = 0; i < atoms; i++) distance[i * atoms + i] = 0;
  for (let e = 0; e < bonds.length; e++) {
    distance[bonds[e] * atoms + bonds[e ^ 1]] = 1;
    path[bonds[e] * atoms + bonds[e ^ 1]] = -1;
  }
  for (let k = 0; k < atoms; k++) {
    for (let i = 0; i < atoms; i++) {
      for (let j = 0; j < atoms; j++) {
        const through = distance[i * atoms + k] + distance[k * atoms + j];
        if (distance[i * atoms + j] > through) {
          distance[i * atoms + j] = through;
          path[i * atoms + j] = k;
        }
      }
    }
  }
  for (let p = 0; p < path.length; p++) if (distance[p] >= UNREACHABLE) path[p] = UNREACHABLE;
  return { distance, path };
}

/** A graph without loops and double bonds, with random features, from a seed. */
function randomGraph(atoms: number, wanted: number, seed: number) {
  const random = Random.fromSeed(seed);
  const pairs = new Map<number, readonly [number, number]>();
  for (let e = 0; e < wanted && atoms > 1; e++) {
    const i = random.below(atoms);
    const j = random.below(atoms);
    if (i !== j) pairs.set(Math.min(i, j) * atoms + Math.max(i, j), [i, j]);
  }
  const bonds = Uint16Array.from([...pairs.values()].flat());
  const sizes = [5, 6, 2];
  const bondFeatures = Uint8Array.from({ length: pairs.size * 3 }, (_, at) => random.below(sizes[at % 3]));
  return [new Uint8Array(atoms * 9), bonds, bondFeatures] as const;
}

/** The chain 0-1-2-…, all single bonds. */
function chain(atoms: number) {
  const bonds = Uint16Array.from({ length: (atoms - 1) * 2 }, (_, at) => (at >> 1) + (at & 1));
  return [new Uint8Array(atoms * 9), bonds, new Uint8Array((atoms - 1) * 3)] as const;
}

/** Edge codes of the first hops, read off the reference's own arrays. */
function edgeCodesOf(edgeInput: Int32Array, pairs: number, depth: number): Uint8Array {
  const codes = new Uint8Array(pairs * MAX_HOPS);
  for (let pair = 0; pair < pairs; pair++) {
    for (let hop = 0; hop < Math.min(depth, MAX_HOPS); hop++) {
      const at = (pair * depth + hop) * 3;
      if (edgeInput[at] < 0) continue;
      codes[pair * MAX_HOPS + hop] = bondCode(edgeInput[at] - 2, edgeInput[at + 1] - 514, edgeInput[at + 2] - 1026);
    }
  }
  return codes;
}

describe("relations of the reference's 431 molecules", () => {
  const molecules = goldenMolecules();

  it("have the checksums of all eight arrays", () => {
    assert.equal(molecules.length, 431);
    for (const molecule of molecules) {
      const layout = referenceLayout(...arraysOf(molecule));
      assert.equal(layout.maxDistance, molecule.max_dist, molecule.smiles);
      const computed = {
        x: sha256(layout.x),
        edge_index: sha256(layout.edgeIndex),
        edge_feat: sha256(layout.edgeFeatures),
        attn_edge_type: sha256(layout.attentionEdgeType),
        spd: sha256(layout.spd),
        path: sha256(layout.path),
        edge_input: sha256(referenceEdgeInput(layout)),
        edge_input5: sha256(referenceEdgeInput(layout, MAX_HOPS)),
      };
      assert.deepEqual(computed, molecule.sha, molecule.smiles);
    }
  });

  it("have the listed values, distances, paths and degrees", () => {
    for (const molecule of molecules) {
      const relations = graphRelations(...arraysOf(molecule));
      assert.deepEqual([...relations.degree], molecule.in_degree, molecule.smiles);
      if (molecule.spd === undefined) continue;
      const layout = referenceLayout(...arraysOf(molecule));
      assert.deepEqual([...layout.x], molecule.x?.flat(), molecule.smiles);
      assert.deepEqual([...relations.distance], molecule.spd, molecule.smiles);
      assert.deepEqual([...layout.path], molecule.path, molecule.smiles);
      const triples = molecule.edge_input5_idx?.flatMap((at) => molecule.edge_input5_triples?.[at] ?? []);
      assert.deepEqual([...referenceEdgeInput(layout, MAX_HOPS)], triples, molecule.smiles);
    }
  });

  it("have the same bonds along their first hops as the reference's edge_input", () => {
    for (const molecule of molecules) {
      const relations = graphRelations(...arraysOf(molecule));
      const layout = referenceLayout(...arraysOf(molecule));
      const depth = Math.min(MAX_HOPS, layout.maxDistance);
      const expected = edgeCodesOf(referenceEdgeInput(layout, MAX_HOPS), molecule.n ** 2, depth);
      assert.deepEqual(relations.edgePath, expected, molecule.smiles);
    }
  });
});

describe("shortest paths of arbitrary graphs", () => {
  const graphs = fc.tuple(fc.integer({ min: 1, max: 24 }), fc.integer({ min: 0, max: 60 }), fc.integer());

  it("equal the reference's loops in distance and in every tie", () => {
    fc.assert(
      fc.property(graphs, ([atoms, wanted, seed]) => {
        const graph = randomGraph(atoms, wanted, seed);
        const expected = floydWarshall(atoms, graph[1]);
        const layout = referenceLayout(...graph);
        assert.deepEqual([...layout.spd], expected.distance);
        assert.deepEqual([...layout.path], expected.path);
      }),
      { numRuns: 300 },
    );
  });

  it("read off the first hops as the recursion of the reference does", () => {
    fc.assert(
      fc.property(graphs, ([atoms, wanted, seed]) => {
        const graph = randomGraph(atoms, wanted, seed);
        const layout = referenceLayout(...graph);
        const depth = Math.min(MAX_HOPS, layout.maxDistance);
        const expected = edgeCodesOf(referenceEdgeInput(layout, MAX_HOPS), atoms ** 2, depth);
        assert.deepEqual(graphRelations(...graph).edgePath, expected);
      }),
      { numRuns: 300 },
    );
  });

  it("equal the reference's loops at and beyond its infinity of 510 bonds", () => {
    const atoms = 515;
    const [, bonds] = chain(atoms);
    const expected = floydWarshall(atoms, bonds);
    const paths = shortestPaths(atoms, adjacency(atoms, bonds));
    assert.deepEqual(Array.from(paths.distance), expected.distance);
    assert.equal(paths.next[509], 1);
    assert.equal(graphRelations(...chain(atoms)).distance[510], UNREACHABLE);
  });
});

describe("graphRelations", () => {
  it("handles a single atom and two fragments", () => {
    const one = graphRelations(new Uint8Array(9), new Uint16Array(0), new Uint8Array(0));
    assert.deepEqual([one.atoms, one.distance[0], one.degree[0]], [1, 0, 0]);
    const two = graphRelations(new Uint8Array(18), new Uint16Array(0), new Uint8Array(0));
    assert.deepEqual([...two.distance], [0, UNREACHABLE, UNREACHABLE, 0]);
    assert.ok(two.edgePath.every((code) => code === 0));
  });

  it("cuts the path of a seven-atom chain after MAX_HOPS bonds", () => {
    const [features, bonds] = chain(7);
    const bondFeatures = Uint8Array.from([0, 1, 2, 3, 0, 1].flatMap((type) => [type, 0, 0]));
    const { edgePath, distance } = graphRelations(features, bonds, bondFeatures);
    assert.equal(distance[6], 6);
    assert.deepEqual(
      [...edgePath.slice(6 * MAX_HOPS, 7 * MAX_HOPS)],
      [0, 1, 2, 3, 0].map((type) => bondCode(type, 0, 0)),
    );
  });

  it("numbers every combination of bond features once", () => {
    for (let code = 1; code <= 60; code++) {
      const { type, stereo, conjugated } = bondOfCode(code);
      assert.equal(bondCode(type, stereo, conjugated), code);
    }
  });

  it("refuses arrays that are no graph", () => {
    assert.throws(() => graphRelations(new Uint8Array(10), new Uint16Array(0), new Uint8Array(0)), ShapeError);
    assert.throws(() => graphRelations(new Uint8Array(18), new Uint16Array(2), new Uint8Array(2)), ShapeError);
    assert.throws(() => graphRelations(new Uint8Array(18), Uint16Array.of(0, 2), new Uint8Array(3)), /atoms below 2/);
  });
});
