// Many molecules in few buffers: what crosses a thread boundary without being copied piece by piece, and what a shard takes in whole.

import { ATOM_FEATURES, BOND_FEATURES, type Molecule } from "../chem/molecule.js";
import { ShapeError } from "../errors.js";

/** Bytes of a structure key as text. */
export const KEY_BYTES = 16;

const ATOM_WIDTH = ATOM_FEATURES.length;
const BOND_WIDTH = BOND_FEATURES.length;
const KEY_PATTERN = /^[0-9a-f]{16}$/;

type Bytes = Uint8Array<ArrayBuffer>;
type Starts = Int32Array<ArrayBuffer>;

/** Molecules one after another. Molecule i has the values from `starts[i]` up to `starts[i + 1]` of what the starts belong to. */
export interface PackedMolecules {
  readonly labelNames: readonly string[];
  /** In bytes of `names`, as are all other starts in atoms or bonds or coordinates. [count + 1] */
  readonly nameStarts: Starts;
  /** UTF-8 */
  readonly names: Bytes;
  /** Hex digits. [count, 16] */
  readonly structureKeys: Bytes;
  /** [count + 1] */
  readonly atomStarts: Starts;
  /** [atoms, 9] */
  readonly atomFeatures: Bytes;
  /** [count + 1] */
  readonly bondStarts: Starts;
  /** [bonds, 2] */
  readonly bondAtoms: Uint16Array<ArrayBuffer>;
  /** [bonds, 3] */
  readonly bondFeatures: Bytes;
  /** Three coordinates an atom, or none. [count + 1] */
  readonly positionStarts: Starts;
  readonly positions: Float32Array<ArrayBuffer>;
  /** [count, labels], NaN where missing */
  readonly labels: Float64Array<ArrayBuffer>;
}

export function packedCount(packed: PackedMolecules): number {
  return packed.atomStarts.length - 1;
}

/**
 * Copies molecules into one packet; labels other than `labelNames` are left out.
 * @throws ShapeError for a molecule whose arrays do not fit each other
 */
export function packMolecules(molecules: readonly Molecule[], labelNames: readonly string[]): PackedMolecules {
  for (const molecule of molecules) checkMolecule(molecule);
  const starts = (size: (molecule: Molecule) => number): Starts => {
    const ends = new Int32Array(molecules.length + 1);
    for (let i = 0; i < molecules.length; i++) ends[i + 1] = ends[i] + size(molecules[i]);
    return ends;
  };
  const atomStarts = starts(({ atomFeatures }) => atomFeatures.length / ATOM_WIDTH);
  const bondStarts = starts(({ bonds }) => bonds.length / 2);
  const positionStarts = starts(({ positions }) => positions?.length ?? 0);
  const last = molecules.length;
  const packed: PackedMolecules = {
    labelNames,
    ...packNames(molecules),
    structureKeys: new TextEncoder().encode(molecules.map(({ structureKey }) => structureKey).join("")),
    atomStarts,
    atomFeatures: new Uint8Array(atomStarts[last] * ATOM_WIDTH),
    bondStarts,
    bondAtoms: new Uint16Array(bondStarts[last] * 2),
    bondFeatures: new Uint8Array(bondStarts[last] * BOND_WIDTH),
    positionStarts,
    positions: new Float32Array(positionStarts[last]),
    labels: new Float64Array(molecules.length * labelNames.length),
  };
  for (const [i, { atomFeatures, bonds, bondFeatures, positions, labels }] of molecules.entries()) {
    packed.atomFeatures.set(atomFeatures, atomStarts[i] * ATOM_WIDTH);
    packed.bondAtoms.set(bonds, bondStarts[i] * 2);
    packed.bondFeatures.set(bondFeatures, bondStarts[i] * BOND_WIDTH);
    if (positions) packed.positions.set(positions, positionStarts[i]);
    for (let k = 0; k < labelNames.length; k++) {
      packed.labels[i * labelNames.length + k] = labels[labelNames[k]] ?? Number.NaN;
    }
  }
  return packed;
}

function packNames(molecules: readonly Molecule[]): Pick<PackedMolecules, "nameStarts" | "names"> {
  const encoder = new TextEncoder();
  const text = molecules.map(({ name }) => name).join("");
  const names = encoder.encode(text);
  const plain = names.length === text.length;
  const nameStarts = new Int32Array(molecules.length + 1);
  for (const [i, { name }] of molecules.entries()) {
    nameStarts[i + 1] = nameStarts[i] + (plain ? name.length : encoder.encode(name).length);
  }
  return { nameStarts, names };
}

function checkMolecule(molecule: Molecule): void {
  const { name, atomFeatures, bonds, bondFeatures, positions, structureKey } = molecule;
  const atoms = atomFeatures.length / ATOM_WIDTH;
  const refuse = (what: string, expected: string, got: unknown) => {
    throw new ShapeError(`molecule ${JSON.stringify(name)}: ${what}: expected ${expected}, got ${got}`);
  };
  if (!Number.isInteger(atoms) || atoms < 1 || atoms > 0xffff) refuse("atoms", "1 to 65535", atoms);
  if (bonds.length * BOND_WIDTH !== bondFeatures.length * 2) refuse("bond features", "3 a bond", bondFeatures.length);
  if (positions && positions.length !== atoms * 3) refuse("coordinates", `${atoms * 3}`, positions.length);
  if (!KEY_PATTERN.test(structureKey)) refuse("structure key", "16 hex digits", JSON.stringify(structureKey));
}

/** The buffers of a packet, for the transfer list of a message. */
export function packedBuffers(packed: PackedMolecules): ArrayBuffer[] {
  return Object.values(packed).flatMap((value) => (ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : []));
}

/** The molecules of a packet; their arrays are views of its buffers. */
export function unpackMolecules(packed: PackedMolecules): Molecule[] {
  const { labelNames, atomStarts, bondStarts, positionStarts } = packed;
  const names = splitText(packed.names, packed.nameStarts);
  const keys = new TextDecoder().decode(packed.structureKeys);
  return names.map((name, i) => ({
    name,
    structureKey: keys.slice(i * KEY_BYTES, (i + 1) * KEY_BYTES),
    atomFeatures: packed.atomFeatures.subarray(atomStarts[i] * ATOM_WIDTH, atomStarts[i + 1] * ATOM_WIDTH),
    bonds: packed.bondAtoms.subarray(bondStarts[i] * 2, bondStarts[i + 1] * 2),
    bondFeatures: packed.bondFeatures.subarray(bondStarts[i] * BOND_WIDTH, bondStarts[i + 1] * BOND_WIDTH),
    positions:
      positionStarts[i] < positionStarts[i + 1]
        ? packed.positions.subarray(positionStarts[i], positionStarts[i + 1])
        : null,
    labels: Object.fromEntries(labelNames.map((label, k) => [label, packed.labels[i * labelNames.length + k]])),
  }));
}

function splitText(bytes: Bytes, starts: Starts): string[] {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const text = decoder.decode(bytes);
  const plain = text.length === bytes.length;
  return Array.from({ length: starts.length - 1 }, (_, i) =>
    plain ? text.slice(starts[i], starts[i + 1]) : decoder.decode(bytes.subarray(starts[i], starts[i + 1])),
  );
}
