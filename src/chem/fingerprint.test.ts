// SMILES written from features and fingerprints of them: the same as those of the text that was read.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { featurize } from "./featurize.js";
import { FINGERPRINT_BYTES, FingerprintIndex, morganFingerprint } from "./fingerprint.js";
import type { Molecule } from "./molecule.js";
import { loadRdkit } from "./rdkit.js";
import { writeSmiles } from "./write-smiles.js";

const rdkit = await loadRdkit();

function molecule(text: string): Molecule {
  const record = { format: "smiles", text, name: "", file: "", line: 1, record: 1, properties: {} } as const;
  return featurize(rdkit, record, { hydrogens: false, maxAtoms: 300 }).molecule;
}

function canonical(text: string): string {
  const parsed = rdkit.parse(text);
  try {
    return parsed.get_smiles();
  } finally {
    parsed.delete();
  }
}

const examples = [
  "C",
  "c1cc[nH]c1",
  "[NH3+]CC([O-])=O.Cl",
  "C1CC2CCC1CC2",
  "c1ccc2c(c1)oc1ccccc12",
  "C#CC=C=C",
  "[CH3]",
  "O=S(=O)(O)c1ccccc1N=[N+]=[N-]",
  "[Na+].[Cl-]",
  "C12C3C4C1C5C2C3C45",
  "[se]1cccc1",
  "C".repeat(250),
];

describe("writeSmiles", () => {
  it("is read back as the same structure", () => {
    for (const text of examples) assert.equal(canonical(writeSmiles(molecule(text))), canonical(text));
  });

  it("numbers rings beyond nine and ninety-nine", () => {
    const text = Array.from({ length: 60 }, () => "C1CC1").join("");
    assert.equal(canonical(writeSmiles(molecule(text))), canonical(text));
  });
});

describe("FingerprintIndex", () => {
  it("finds the likest, as comparing with all does", () => {
    const fingerprints = examples.map((text) => morganFingerprint(rdkit, molecule(text)));
    const index = new FingerprintIndex(Uint8Array.from(fingerprints.flatMap((bits) => [...bits])));
    const queries = ["CCO", "c1ccccc1", "Clc1ccco1", "[Xe]", ...examples];
    for (const text of queries) {
      const query = morganFingerprint(rdkit, molecule(text));
      const similarities = fingerprints.map((other) => {
        let common = 0;
        let union = 0;
        for (let bit = 0; bit < 8 * FINGERPRINT_BYTES; bit++) {
          const [a, b] = [query, other].map((bytes) => (bytes[bit >> 3] >> (bit & 7)) & 1);
          common += a & b;
          union += a | b;
        }
        return union === 0 ? 1 : common / union;
      });
      assert.equal(index.nearest(query), Math.max(...similarities), text);
    }
    assert.equal(new FingerprintIndex(new Uint8Array(0)).nearest(fingerprints[0]), 0);
  });

  it("refuses rows of another length", () => {
    assert.throws(() => new FingerprintIndex(new Uint8Array(5)), { name: "MoleblendError" });
  });
});
