// What a molecule is to everything downstream: categorical features of atoms and bonds in RDKit's order, and coordinates.

/** The nine OGB atom features, in order, with the number of values of each (the last one is "misc" where OGB has it). */
export const ATOM_FEATURES = [
  { name: "atomicNumber", size: 119 },
  { name: "chirality", size: 5 },
  { name: "degree", size: 12 },
  { name: "formalCharge", size: 12 },
  { name: "hydrogens", size: 10 },
  { name: "radicalElectrons", size: 6 },
  { name: "hybridization", size: 6 },
  { name: "aromatic", size: 2 },
  { name: "inRing", size: 2 },
] as const;

/** The three OGB bond features, in order. */
export const BOND_FEATURES = [
  { name: "type", size: 5 },
  { name: "stereo", size: 6 },
  { name: "conjugated", size: 2 },
] as const;

/** One molecule, one geometry. Conformers of the same structure are separate molecules with the same `structureKey`. */
export interface Molecule {
  /** Title of the record, else its SMILES. */
  readonly name: string;
  /** Feature values as OGB numbers them, from 0. [atoms, 9] */
  readonly atomFeatures: Uint8Array;
  /** Begin and end atom of each bond. [bonds, 2] */
  readonly bonds: Uint16Array;
  /** Feature values as OGB numbers them, from 0. [bonds, 3] */
  readonly bondFeatures: Uint8Array;
  /** Coordinates in Å, or null where there is no geometry. [atoms, 3] */
  readonly positions: Float32Array | null;
  /** Identity of the labelled graph, whatever the atom order: equal for all conformers of a structure. 16 hex digits. */
  readonly structureKey: string;
  /** Numbers attached to the record (columns or property tags that were asked for); NaN where missing. */
  readonly labels: Readonly<Record<string, number>>;
}

export function atomCount(molecule: Pick<Molecule, "atomFeatures">): number {
  return molecule.atomFeatures.length / ATOM_FEATURES.length;
}

/** A molecule as text, before any chemistry: what a file reader yields and what travels to a featurizing thread. */
export interface RawRecord {
  readonly format: "smiles" | "mol" | "xyz";
  readonly text: string;
  readonly name: string;
  readonly file: string;
  /** Line of the file where the record begins, from 1. */
  readonly line: number;
  /** Number of the record in its file, from 1. */
  readonly record: number;
  /** The other columns of its row, or the property tags of its SDF record. */
  readonly properties: Readonly<Record<string, string>>;
}

/** A record that could not be used, as the rejects file lists it. */
export interface Reject {
  readonly file: string;
  readonly line: number;
  readonly record: number;
  readonly name: string;
  readonly code: string;
  readonly reason: string;
}
