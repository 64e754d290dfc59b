// Generated geometries: bond lengths, rings, planes, configuration, salts, and the order of atoms, on molecules drawn up by hand.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { generateConformers, positionsInRecordOrder } from "./conformers.js";
import { angle, distance, type Libraries, loadLibraries, outOfPlane, torsion } from "./embed/shapes.test.support.js";
import { featurize } from "./featurize.js";
import type { RawRecord } from "./molecule.js";

const record = (text: string, format: RawRecord["format"] = "smiles"): RawRecord => ({
  format,
  text,
  name: "",
  file: "x",
  line: 1,
  record: 1,
  properties: {},
});

describe("generateConformers", () => {
  let libraries: Libraries;
  before(async () => {
    libraries = await loadLibraries();
  });

  function generate(smiles: string, count = 1, seed = 1) {
    const found = generateConformers(libraries.rdkit, libraries.openChemLib, smiles, { count, seed, timeout: 60 });
    assert.equal(found.failure, null, `${smiles}: ${found.failure}`);
    return found;
  }

  const geometry = (smiles: string, seed = 1) => generate(smiles, 1, seed).positions[0];
  const near = (value: number, expected: number, tolerance: number, what: string) =>
    assert.ok(Math.abs(value - expected) <= tolerance, `${what}: expected ${expected} ± ${tolerance}, got ${value}`);

  it("gives ethane, ethene, ethyne and benzene their lengths", () => {
    near(distance(geometry("CC"), 0, 1), 1.51, 0.03, "C-C");
    near(distance(geometry("C=C"), 0, 1), 1.335, 0.02, "C=C");
    near(distance(geometry("C#C"), 0, 1), 1.2, 0.02, "C#C");
    const benzene = geometry("c1ccccc1");
    for (let i = 0; i < 6; i++) {
      near(distance(benzene, i, (i + 1) % 6), 1.395, 0.02, "C:C");
      near(outOfPlane(benzene, [0, 1, 2], i), 0, 0.02, "plane of benzene");
    }
  });

  it("keeps amides, nitro groups and biphenylene flat, and sp atoms straight", () => {
    const amide = geometry("CC(=O)NC"); // trans: C-C-N-C
    near(torsion(amide, 0, 1, 3, 4), 180, 8, "amide");
    near(outOfPlane(amide, [0, 2, 3], 1), 0, 0.05, "carbonyl");
    const fused = geometry("c1ccc2c(c1)-c1ccccc1-2");
    for (let i = 3; i < 12; i++) near(outOfPlane(fused, [0, 1, 2], i), 0, 0.1, "biphenylene");
    near(angle(geometry("CC#CC"), 0, 1, 2), 180, 3, "alkyne");
    near(angle(geometry("C=C=C"), 0, 1, 2), 180, 3, "allene");
  });

  it("makes E and Z double bonds", () => {
    for (const seed of [1, 2, 3]) {
      near(torsion(geometry("C/C=C/C", seed), 0, 1, 2, 3), 180, 5, "E");
      near(torsion(geometry("C/C=C\\C", seed), 0, 1, 2, 3), 0, 5, "Z");
      near(torsion(geometry("F/C(Cl)=C(\\F)Cl", seed), 0, 1, 3, 4), 0, 5, "tetrasubstituted Z");
      near(torsion(geometry("C/C=N/O", seed), 0, 1, 2, 3), 180, 5, "oxime");
    }
    // A long polyene, where some bond nearly always comes out wrong at first.
    generate("CC(C)=CCC/C(C)=C/C=C\\C(C)=C\\C=C\\C(C)=C\\C=C/C=C(C)/C=C/C=C(C)/C=C\\C=C(/C)CCC=C(C)C");
    // In a ring of eight both are possible.
    near(torsion(geometry("C1CC/C=C\\CCC1"), 2, 3, 4, 5), 0, 15, "cis-cyclooctene");
    assert.ok(torsion(geometry("C1CC/C=C/CCC1"), 2, 3, 4, 5) > 110, "trans-cyclooctene");
  });

  it("makes the configuration that is written, of either hand", () => {
    for (const smiles of [
      "C[C@H](F)Cl",
      "N[C@@H](C)C(=O)O",
      "C[S@](=O)CC",
      "O[C@H]1CC[C@@H](O)CC1",
      "C[C@H]1CC[C@@H](C)CC1",
      "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
      "C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@]34C)[C@@H]1CC[C@@H]2O",
      "C1C[C@H]2CC[C@@H]1C2",
      "C[C@@H]1C[C@@H]1C",
    ]) {
      const mirrored = smiles.replaceAll("@@", "#").replaceAll("@", "@@").replaceAll("#", "@");
      // The failure of `generate` would tell: RDKit reads the configuration back from every geometry.
      for (const written of [smiles, mirrored]) for (const seed of [1, 2]) generate(written, 2, seed);
    }
  });

  it("builds cages, spiro and bridged rings, macrocycles", () => {
    const cubane = geometry("C12C3C4C1C5C2C3C45");
    near(angle(cubane, 0, 1, 2), 90, 2, "cubane");
    const adamantane = geometry("C1C2CC3CC1CC(C2)C3");
    near(angle(adamantane, 0, 1, 2), 109.5, 3, "adamantane");
    const spiro = geometry("C1CCC2(C1)CCCC2");
    near(angle(spiro, 2, 3, 4), 103, 5, "spiro");
    near(angle(geometry("C1CC2CCC1C2"), 2, 6, 5), 94, 4, "norbornane's bridge");
    for (const smiles of ["C1CCCCCCCCCCCCC1", "O=C1CCCCCCCCCCCCCCO1", "c1cc2ccc1CCc1ccc(cc1)CC2"]) generate(smiles);
  });

  it("sets the ions of a salt apart, each whole", () => {
    const x = geometry("CC(=O)[O-].[Na+]");
    near(distance(x, 0, 1), 1.52, 0.05, "C-C of the acetate");
    for (let atom = 0; atom < 4; atom++) assert.ok(distance(x, atom, 4) > 2.5, "sodium keeps its distance");
  });

  it("embeds what MMFF94 does not cover by its distances alone, and says so", () => {
    const found = generate("OB(O)c1ccccc1");
    assert.ok(Number.isNaN(found.energies[0]));
    near(distance(found.positions[0], 0, 1), 1.5, 0.1, "B-O");
    assert.deepEqual([...generate("[He]").positions[0]], [0, 0, 0]);
  });

  it("orders conformers by energy, all different, and the same for the same seed", () => {
    const found = generate("CCCCO", 4, 7);
    assert.equal(found.positions.length, 4);
    for (let i = 1; i < 4; i++) assert.ok(found.energies[i - 1] <= found.energies[i]);
    assert.deepEqual(generate("CCCCO", 4, 7), found);
    assert.notDeepEqual(generate("CCCCO", 4, 8).positions, found.positions);
    assert.equal(generate("c1ccccc1", 4).positions.length, 1, "benzene has one shape");
  });

  it("gives up at its time limit", () => {
    const settings = { count: 1, seed: 1, timeout: 1e-9 };
    const found = generateConformers(libraries.rdkit, libraries.openChemLib, "CCCC", settings);
    assert.match(found.failure ?? "", /^timeout/);
    assert.ok(found.timedOut);
  });

  it("says why an unreadable SMILES has none", () => {
    const settings = { count: 1, seed: 1, timeout: 1 };
    const found = generateConformers(libraries.rdkit, libraries.openChemLib, "C1C", settings);
    assert.match(found.failure ?? "", /^structure/);
  });

  it("gives each atom of a record its own place, whatever its order", () => {
    const options = { maxAtoms: 50, skeletons: true };
    for (const [text, hydrogens] of [
      ["O=C(O)[C@H](F)N", false],
      ["N[C@@H](F)C(O)=O", false],
      ["[H]OC(=O)[C@H](F)N", true],
    ] as const) {
      const { molecule, skeleton } = featurize(libraries.rdkit, record(text), { ...options, hydrogens });
      assert.ok(skeleton);
      const [x] = positionsInRecordOrder(generate(skeleton.smiles), skeleton) ?? [];
      assert.equal(x.length, (molecule.atomFeatures.length / 9) * 3);
      for (let bond = 0; 2 * bond < molecule.bonds.length; bond++) {
        const length = distance(x, molecule.bonds[2 * bond], molecule.bonds[2 * bond + 1]);
        assert.ok(length > 0.9 && length < 1.6, `${text}: bond of ${length} Å`);
      }
      assert.equal(molecule.atomFeatures.length / 9, hydrogens ? 10 : 6, "with hydrogens all of them are atoms");
    }
  });

  it("makes no skeleton of a record that has a geometry", () => {
    const options = { maxAtoms: 50, hydrogens: false, skeletons: true };
    const xyz = "3\n\nO 0 0 0\nH 0 0.76 0.59\nH 0 -0.76 0.59\n";
    const withGeometry = featurize(libraries.rdkit, record(xyz, "xyz"), { ...options, perceiveBonds: true });
    assert.equal(withGeometry.skeleton, null);
    assert.equal(featurize(libraries.rdkit, record("O"), { ...options, skeletons: false }).skeleton, null);
  });
});
