// Many molecules in few buffers, so that a list of them crosses a thread boundary without being copied piece by piece.

import { ATOM_FEATURES, type Molecule } from "../chem/molecule.js";

/** Molecules one after another; `atoms` and `bonds` say how much of each array belongs to which. */
export interface PackedMolecules {
  readonly names: readonly string[];
  readonly structureKeys: readonly string[];
  readonly labelNames: readonly string[];
  /** Atoms of each molecule. [count] */
  readonly atoms: Uint16Array<ArrayBuffer>;
  /** Bonds of each molecule. [count] */
  readonly bonds: Uint16Array<ArrayBuffer>;
  readonly atomFeatures: Uint8Array<ArrayBuffer>;
  readonly bondAtoms: Uint16Array<ArrayBuffer>;
  readonly bondFeatures: Uint8Array<ArrayBuffer>;
  /** 1 where a molecule has coordinates; only those have values in `positions`. [count] */
  readonly has3d: Uint8Array<ArrayBuffer>;
  readonly positions: Float32Array<ArrayBuffer>;
  /** [count, labels], NaN where missing */
  readonly labels: Float64Array<ArrayBuffer>;
}

/** Copies molecules into one packet; labels other than `labelNames` are left out. */
export function packMolecules(molecules: readonly Molecule[], labelNames: readonly string[]): PackedMolecules {
  const total = (size: (molecule: Molecule) => number) => molecules.reduce((sum, molecule) => sum + size(molecule), 0);
  const packed: PackedMolecules = {
    names: molecules.map((molecule) => molecule.name),
    structureKeys: molecules.map((molecule) => molecule.structureKey),
    labelNames,
    atoms: Uint16Array.from(molecules, (molecule) => molecule.atomFeatures.length / ATOM_FEATURES.length),
    bonds: Uint16Array.from(molecules, (molecule) => molecule.bonds.length / 2),
    atomFeatures: new Uint8Array(total((molecule) => molecule.atomFeatures.length)),
    bondAtoms: new Uint16Array(total((molecule) => molecule.bonds.length)),
    bondFeatures: new Uint8Array(total((molecule) => molecule.bondFeatures.length)),
    has3d: Uint8Array.from(molecules, (molecule) => (molecule.positions ? 1 : 0)),
    positions: new Float32Array(total((molecule) => molecule.positions?.length ?? 0)),
    labels: Float64Array.from(
      molecules.flatMap((molecule) => labelNames.map((name) => molecule.labels[name] ?? Number.NaN)),
    ),
  };
  let atom = 0;
  let bond = 0;
  let position = 0;
  for (const molecule of molecules) {
    packed.atomFeatures.set(molecule.atomFeatures, atom * ATOM_FEATURES.length);
    packed.bondAtoms.set(molecule.bonds, bond * 2);
    packed.bondFeatures.set(molecule.bondFeatures, bond * 3);
    if (molecule.positions) {
      packed.positions.set(molecule.positions, position);
      position += molecule.positions.length;
    }
    atom += molecule.atomFeatures.length / ATOM_FEATURES.length;
    bond += molecule.bonds.length / 2;
  }
  return packed;
}

/** The buffers of a packet, for the transfer list of a message. */
export function packedBuffers(packed: PackedMolecules): ArrayBuffer[] {
  const { atoms, bonds, atomFeatures, bondAtoms, bondFeatures, has3d, positions, labels } = packed;
  return [atoms, bonds, atomFeatures, bondAtoms, bondFeatures, has3d, positions, labels].map((array) => array.buffer);
}

/** The molecules of a packet; their arrays are views of its buffers. */
export function unpackMolecules(packed: PackedMolecules): Molecule[] {
  const { labelNames } = packed;
  let atom = 0;
  let bond = 0;
  let position = 0;
  return packed.names.map((name, at) => {
    const [firstAtom, firstBond, firstPosition] = [atom, bond, position];
    atom += packed.atoms[at];
    bond += packed.bonds[at];
    if (packed.has3d[at]) position += packed.atoms[at] * 3;
    const labels = labelNames.map((label, column) => [label, packed.labels[at * labelNames.length + column]] as const);
    return {
      name,
      structureKey: packed.structureKeys[at],
      atomFeatures: packed.atomFeatures.subarray(firstAtom * ATOM_FEATURES.length, atom * ATOM_FEATURES.length),
      bonds: packed.bondAtoms.subarray(firstBond * 2, bond * 2),
      bondFeatures: packed.bondFeatures.subarray(firstBond * 3, bond * 3),
      positions: packed.has3d[at] ? packed.positions.subarray(firstPosition, position) : null,
      labels: Object.fromEntries(labels),
    };
  });
}
