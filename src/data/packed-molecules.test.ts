// Packing molecules for a message between threads loses nothing.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Molecule } from "../chem/molecule.js";
import { packedBuffers, packMolecules, unpackMolecules } from "./packed-molecules.js";

const water: Molecule = {
  name: "water",
  atomFeatures: Uint8Array.from({ length: 27 }, (_, at) => at),
  bonds: Uint16Array.of(0, 1, 0, 2),
  bondFeatures: Uint8Array.of(0, 0, 0, 1, 2, 1),
  positions: Float32Array.from({ length: 9 }, (_, at) => at / 3),
  structureKey: "0123456789abcdef",
  labels: { gap: 1.5, mass: Number.NaN },
};
const ion: Molecule = {
  name: "Na⁺",
  atomFeatures: new Uint8Array(9).fill(11),
  bonds: new Uint16Array(0),
  bondFeatures: new Uint8Array(0),
  positions: null,
  structureKey: "fedcba9876543210",
  labels: { gap: Number.NaN, mass: 23 },
};

describe("packMolecules", () => {
  it("survives the way through a message, molecules without geometry included", () => {
    const molecules = [ion, water, ion, water, water];
    const packed = packMolecules(molecules, ["gap", "mass"]);
    const arrived = structuredClone(packed, { transfer: packedBuffers(packed) });
    assert.equal(packed.positions.length, 0);
    assert.deepEqual(unpackMolecules(arrived), molecules);
  });

  it("keeps names in any script apart, and a mark of byte order at the beginning of one", () => {
    const names = ["", "C", "\ufeffbenzène", "水", "\u{1f9ea}", ""];
    const packed = packMolecules(
      names.map((name) => ({ ...ion, name })),
      [],
    );
    assert.deepEqual(
      unpackMolecules(packed).map(({ name }) => name),
      names,
    );
  });

  it("leaves out labels that were not asked for and marks missing ones", () => {
    const [molecule] = unpackMolecules(packMolecules([water], ["gap", "charge"]));
    assert.deepEqual(molecule.labels, { gap: 1.5, charge: Number.NaN });
    assert.deepEqual(unpackMolecules(packMolecules([], [])), []);
  });
});
