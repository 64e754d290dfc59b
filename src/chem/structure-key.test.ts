// The structure key: blind to atom order, awake to everything else.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Random } from "../random.js";
import { featurize } from "./featurize.js";
import type { Molecule } from "./molecule.js";
import { loadRdkit } from "./rdkit.js";
import { structureKey } from "./structure-key.js";

const rdkit = await loadRdkit();

function molecule(smiles: string): Molecule {
  const record = { format: "smiles", text: smiles, name: "", file: "", line: 1, record: 1, properties: {} } as const;
  return featurize(rdkit, record, { hydrogens: false, maxAtoms: 1000 }).molecule;
}

function goldenSmiles(): string[] {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  const lines = readFileSync(join(root, "test/golden/featurize/molecules.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => (JSON.parse(line) as { smiles: string }).smiles);
}

/** Neighbours of an atom in bond order. */
function neighbours(bonds: Uint16Array, atom: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < bonds.length; i++) if (bonds[i] === atom) found.push(bonds[i ^ 1]);
  return found;
}

function isEven(order: readonly number[]): boolean {
  let even = true;
  for (let a = 0; a < order.length; a++)
    for (let b = a + 1; b < order.length; b++) if (order[a] > order[b]) even = !even;
  return even;
}

/** The key of the same molecule with atoms and bonds in random order; chirality tags follow the new bond order. */
function shuffledKey({ atomFeatures, bonds, bondFeatures }: Molecule, random: Random): string {
  const atoms = atomFeatures.length / 9;
  const to = random.shuffle(Array.from({ length: atoms }, (_, i) => i));
  const bondOrder = random.shuffle(Array.from({ length: bonds.length / 2 }, (_, i) => i));
  const newAtoms = new Uint8Array(atomFeatures.length);
  const newBonds = new Uint16Array(bonds.length);
  const newBondFeatures = new Uint8Array(bondFeatures.length);
  bondOrder.forEach((from, i) => {
    const flip = random.below(2);
    newBonds[2 * i] = to[bonds[2 * from + flip]];
    newBonds[2 * i + 1] = to[bonds[2 * from + 1 - flip]];
    newBondFeatures.set(bondFeatures.subarray(3 * from, 3 * from + 3), 3 * i);
  });
  for (let atom = 0; atom < atoms; atom++) {
    newAtoms.set(atomFeatures.subarray(9 * atom, 9 * atom + 9), 9 * to[atom]);
    const tag = atomFeatures[9 * atom + 1];
    if (tag !== 1 && tag !== 2) continue;
    const now = neighbours(newBonds, to[atom]);
    const rank = neighbours(bonds, atom).map((other) => now.indexOf(to[other]));
    if (!isEven(rank)) newAtoms[9 * to[atom] + 1] = 3 - tag;
  }
  return structureKey(newAtoms, newBonds, newBondFeatures);
}

test("any order of atoms and bonds gives the same key", () => {
  const random = Random.fromSeed(1);
  const symmetric = ["C[C@H]1CC[C@@H](C)CC1", "O[C@H]1[C@H](O)[C@@H](O)[C@H](O)[C@H](O)[C@@H]1O", "C1CC2CCC1CC2"];
  for (const smiles of [...goldenSmiles(), ...symmetric]) {
    let got: Molecule;
    try {
      got = molecule(smiles);
    } catch {
      continue; // two molecules that this RDKit refuses, see featurize.test.ts
    }
    assert.match(got.structureKey, /^[0-9a-f]{16}$/);
    for (let i = 0; i < 3; i++) assert.equal(shuffledKey(got, random), got.structureKey, smiles);
  }
});

test("different writings of one structure share a key", () => {
  const groups = [
    ["N[C@@H](C)C(=O)O", "C[C@H](N)C(=O)O", "OC(=O)[C@H](C)N"],
    ["F/C=C/F", "F\\C=C\\F"],
    ["C[C@@H]1CC[C@H](C)CC1", "C[C@H]1CC[C@@H](C)CC1"],
    ["c1ccccc1O", "C1=CC=CC=C1O"],
    ["[2H]C([2H])O", "[13CH3]O"],
  ];
  for (const group of groups) {
    const keys = new Set(group.map((smiles) => molecule(smiles).structureKey));
    assert.equal(keys.size, group[0].startsWith("[2H]") ? 2 : 1, group.join(" "));
  }
  assert.equal(molecule("[13CH3]O").structureKey, molecule("CO").structureKey, "isotopes are no feature");
});

test("different structures have different keys", () => {
  const pairs = [
    ["N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"],
    ["N[C@@H](C)C(=O)O", "NC(C)C(=O)O"],
    ["F/C=C/F", "F/C=C\\F"],
    ["C[C@H]1CC[C@H](C)CC1", "C[C@H]1CC[C@@H](C)CC1"],
    ["C[C@H](O)[C@H](O)C", "C[C@H](O)[C@@H](O)C"],
    ["O[C@H]1[C@H](O)[C@@H](O)[C@H](O)[C@H](O)[C@@H]1O", "O[C@H]1[C@H](O)[C@@H](O)[C@@H](O)[C@H](O)[C@@H]1O"],
    ["C1CCCCC1.C1CCCCC1", "C1CCCCCCCCCCC1"],
    ["C1CCC2CCCCC2C1", "C1CCC(C1)C1CCCC1"],
    ["C[NH3+]", "CN"],
  ];
  for (const [a, b] of pairs) assert.notEqual(molecule(a).structureKey, molecule(b).structureKey, `${a} ${b}`);
});

test("keys of the golden molecules are as many as their canonical SMILES", () => {
  const keys = new Map<string, string>();
  for (const smiles of goldenSmiles()) {
    let held: ReturnType<typeof rdkit.parse>;
    try {
      held = rdkit.parse(smiles);
    } catch {
      continue;
    }
    const canonical = held
      .get_smiles()
      .replace(/\[\d+/g, "[")
      .replace(/:\d+\]/g, "]");
    held.delete();
    const key = molecule(smiles).structureKey;
    const other = keys.get(key);
    if (other !== undefined && other !== canonical) {
      // Only what the features do not hold may differ: isotopes, atom maps, kinds of exotic bonds.
      assert.equal(molecule(other).structureKey, key, `${other} ${canonical}`);
    }
    keys.set(key, canonical);
  }
  assert.ok(keys.size > 380, `${keys.size}`);
});
