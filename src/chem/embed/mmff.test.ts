// MMFF94: the gradient belongs to the energy, and the energy is OpenChemLib's.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { Random } from "../../random.js";
import { type MmffTerms, mmffEnergy } from "./mmff.js";
import { type Libraries, loadLibraries, structureOf } from "./shapes.test.support.js";

describe("MMFF94", () => {
  let libraries: Libraries;
  before(async () => {
    libraries = await loadLibraries();
  });

  /** OpenChemLib's energy is compared whenever terms are read: they are refused where it differs. */
  function termsOf(smiles: string): MmffTerms {
    const terms = libraries.openChemLib.mmffTerms(structureOf(libraries.rdkit, smiles));
    assert.ok(!("reason" in terms), `${smiles}: ${"reason" in terms ? terms.reason : ""}`);
    return terms;
  }

  it("reads terms that give OpenChemLib's energy for every kind of atom", () => {
    for (const smiles of [
      "CC(=O)Nc1ccncc1",
      "CS(=O)(=O)NCC#N",
      "C[N+](C)(C)CC(=O)[O-]",
      "C1CC1C=C=C",
      "COP(=O)(O)OC",
    ]) {
      termsOf(smiles);
    }
    for (const smiles of ["[Na+]", "[Cl-]", "[NH4+]", "O", "C[Si](C)(C)C", "BrCCI", "[O-][n+]1ccsc1"]) termsOf(smiles);
  });

  it("says what it does not cover", () => {
    for (const smiles of ["OB(O)c1ccccc1", "[H][H]", "C[Hg]C"]) {
      const terms = libraries.openChemLib.mmffTerms(structureOf(libraries.rdkit, smiles));
      assert.ok("reason" in terms && /MMFF94 does not cover it/.test(terms.reason), smiles);
    }
  });

  it("has the gradient of its energy", () => {
    const random = Random.fromSeed(5);
    for (const smiles of ["CC(=O)NC", "C#CCS(C)(=O)=O", "c1ccsc1C(F)=CO", "[O-][N+](=O)CC1CC1"]) {
      const terms = termsOf(smiles);
      const x = Float64Array.from({ length: 3 * terms.atoms }, () => 5 * random.uniform());
      const gradient = new Float64Array(x.length);
      const scratch = new Float64Array(x.length);
      mmffEnergy(terms, x, gradient);
      for (let i = 0; i < x.length; i++) {
        const at = x[i];
        x[i] = at + 1e-5;
        const above = mmffEnergy(terms, x, scratch);
        x[i] = at - 1e-5;
        const below = mmffEnergy(terms, x, scratch);
        x[i] = at;
        const slope = (above - below) / 2e-5;
        assert.ok(
          Math.abs(slope - gradient[i]) < 1e-4 * (1 + Math.abs(slope)),
          `${smiles} ${i}: ${slope} ${gradient[i]}`,
        );
      }
    }
  });

  it("pulls on no molecule as a whole", () => {
    const terms = termsOf("CC(=O)NCC=C");
    const random = Random.fromSeed(6);
    const x = Float64Array.from({ length: 3 * terms.atoms }, () => 5 * random.uniform());
    const gradient = new Float64Array(x.length);
    mmffEnergy(terms, x, gradient);
    for (let axis = 0; axis < 3; axis++) {
      const total = gradient.reduce((sum, value, i) => (i % 3 === axis ? sum + value : sum), 0);
      assert.ok(Math.abs(total) < 1e-6 * Math.hypot(...gradient));
    }
  });
});
