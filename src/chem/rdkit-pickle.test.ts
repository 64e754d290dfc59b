// The pickle reader against RDKit's JSON, which is made by other code, and against damaged bytes.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MoleblendError } from "../errors.js";
import { loadRdkit, RdkitFailure } from "./rdkit.js";
import { PICKLE_OPTIONS, PickleError, readPickle } from "./rdkit-pickle.js";

const rdkit = await loadRdkit();

function pickleOf(text: string): Uint8Array {
  const molecule = rdkit.parse(text, '{"removeHs":false}');
  try {
    return molecule.get_as_uint8array(PICKLE_OPTIONS);
  } finally {
    molecule.delete();
  }
}

interface JsonAtom {
  readonly z?: number;
  readonly chg?: number;
  readonly impHs?: number;
  readonly nRad?: number;
  readonly isotope?: number;
}

interface JsonMolecule {
  readonly atoms: readonly JsonAtom[];
  readonly bonds?: readonly { readonly atoms: readonly [number, number] }[];
  readonly extensions: readonly {
    readonly name: string;
    readonly aromaticAtoms?: readonly number[];
    readonly atomRings?: readonly number[][];
  }[];
  readonly conformers?: readonly { readonly coords: readonly number[][] }[];
}

const TEXTS = [
  "CC(=O)Oc1ccccc1C(=O)O",
  "[NH3+][C@@H](C)C(=O)[O-]",
  "[13CH3:500][CH2].[Fe+3]",
  "[H]C([H])([H])O",
  "C~C*",
  "C[C@H](F)Cl |o1:1|",
  "C[C@@H](F)Cl |&1:1,SgD:1,0:field:value::::|",
  `${"C".repeat(150)}C1CC1${"N".repeat(120)}`,
  "CO |(0.125,0,0.5;1.5,0.25,-3)|",
  `${"C".repeat(300)} |&1:1,SgD:1,0:field:value::::|`,
];

for (const text of TEXTS) {
  test(`atoms, bonds, rings and coordinates of ${text.slice(0, 50)}`, () => {
    const held = rdkit.parse(text, '{"removeHs":false}');
    const json = (JSON.parse(held.get_json()) as { molecules: readonly JsonMolecule[] }).molecules[0];
    held.delete();
    const got = readPickle(pickleOf(text));
    const column = (values: ArrayLike<number>) => Array.from(values);
    assert.deepEqual(
      column(got.atomicNumber),
      json.atoms.map((atom) => atom.z ?? 6),
    );
    assert.deepEqual(
      column(got.charge),
      json.atoms.map((atom) => atom.chg ?? 0),
    );
    assert.deepEqual(
      column(got.hydrogens),
      json.atoms.map((atom) => atom.impHs ?? 0),
    );
    assert.deepEqual(
      column(got.radicalElectrons),
      json.atoms.map((atom) => atom.nRad ?? 0),
    );
    assert.deepEqual(
      column(got.isotope),
      json.atoms.map((atom) => atom.isotope ?? 0),
    );
    assert.deepEqual(
      column(got.bondAtoms),
      (json.bonds ?? []).flatMap((bond) => [...bond.atoms]),
    );
    const extension = json.extensions.find((each) => each.name === "rdkitRepresentation");
    const marks = (atoms: readonly number[]) => json.atoms.map((_, i) => (atoms.includes(i) ? 1 : 0));
    assert.deepEqual(column(got.aromatic), marks(extension?.aromaticAtoms ?? []));
    assert.deepEqual(column(got.inRing), marks((extension?.atomRings ?? []).flat()));
    const coordinates = json.conformers?.[0]?.coords.flatMap(([x, y, z]) => [x, y, z ?? 0]) ?? null;
    assert.deepEqual(got.conformer && column(got.conformer.positions), coordinates);
  });
}

test("another version is refused, with both versions named", () => {
  const bytes = pickleOf("CCO").slice();
  bytes[8] = 17;
  assert.throws(() => readPickle(bytes), {
    name: "MoleblendError",
    message: "RDKit pickle: expected version 16.4 (@rdkit/rdkit 2026.9.1), got 17.4",
  });
});

test("cut off or altered bytes give a molecule or a typed error", () => {
  const whole = pickleOf("C~C[C@H](F)c1ccccc1");
  for (let end = 0; end < whole.length; end++) assert.throws(() => readPickle(whole.subarray(0, end)), PickleError);
  const edits = fc.array(fc.tuple(fc.integer({ min: 20, max: whole.length - 1 }), fc.nat(255)), {
    minLength: 1,
    maxLength: 3,
  });
  const survives = (changes: [number, number][]) => {
    const bytes = whole.slice();
    for (const [at, value] of changes) bytes[at] = value;
    try {
      readPickle(bytes);
    } catch (error) {
      assert.ok(error instanceof MoleblendError, String(error));
    }
  };
  fc.assert(fc.property(edits, survives), { numRuns: 1000 });
});

test("RDKit is loaded once, and says why it refuses a text", async () => {
  assert.equal(await loadRdkit(), rdkit);
  assert.throws(() => rdkit.parse("C1CC"), new RdkitFailure("SMILES Parse Error: unclosed ring for input: 'C1CC'"));
});

test("RDKit recovers from a crash", () => {
  assert.throws(() => rdkit.parse("C".repeat(20_000)), /RDKit crashed on it/);
  assert.equal(readPickle(pickleOf("CCO")).atoms, 3);
});
