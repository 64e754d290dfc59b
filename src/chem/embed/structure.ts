// What the embedder knows of a molecule: atoms with all hydrogens, Kekulé bonds, rings and configured stereo, one connected part at a time.
import { MoleblendError } from "../../errors.js";

/** A tetrahedral centre whose hand is given. */
export interface StereoCentre {
  readonly atom: number;
  /** Three or four neighbours in bond order. */
  readonly neighbours: readonly number[];
  /** As RDKit's tags: seen from the first neighbour, the others go round this way. */
  readonly clockwise: boolean;
}

/** A double bond whose configuration is given, between `left` and `right` with one substituent of each. */
export interface StereoBond {
  readonly left: number;
  readonly right: number;
  readonly leftSubstituent: number;
  readonly rightSubstituent: number;
  readonly cis: boolean;
}

/** One molecule, or one connected part of it, with every hydrogen an atom. */
export interface Structure {
  readonly atoms: number;
  /** [atoms]; 0 for dummies */
  readonly atomicNumber: Uint8Array;
  /** [atoms] */
  readonly charge: Int8Array;
  /** [atoms] */
  readonly radicals: Uint8Array;
  /** Mass number where one was given, else 0. [atoms] */
  readonly isotope: Uint16Array;
  /** Begin and end atom. [bonds, 2] */
  readonly bonds: Uint16Array;
  /** Kekulé order; 0 for dative and other bonds without one. [bonds] */
  readonly bondOrder: Uint8Array;
  /** 0 or 1. [bonds] */
  readonly aromaticBond: Uint8Array;
  /** Neighbours of each atom in bond order. */
  readonly neighbours: readonly (readonly number[])[];
  /** Smallest set of smallest rings, as atoms in order round the ring. */
  readonly rings: readonly (readonly number[])[];
  readonly centres: readonly StereoCentre[];
  readonly stereoBonds: readonly StereoBond[];
}

interface JsonAtom {
  readonly z?: number;
  readonly chg?: number;
  readonly nRad?: number;
  readonly isotope?: number;
  readonly stereo?: string;
}

interface JsonBond {
  readonly bo?: number;
  readonly atoms: readonly [number, number];
  readonly stereo?: string;
  readonly stereoAtoms?: readonly [number, number];
}

interface JsonMolecule {
  readonly atoms: readonly JsonAtom[];
  readonly bonds: readonly JsonBond[];
  readonly extensions?: readonly {
    readonly name: string;
    readonly atomRings?: readonly (readonly number[])[];
    readonly aromaticBonds?: readonly number[];
  }[];
}

/**
 * Reads RDKit's JSON of a molecule after `add_hs_in_place`.
 *
 * @throws MoleblendError if the JSON is not RDKit's
 */
export function readStructure(json: string): Structure {
  const document = JSON.parse(json) as { readonly defaults?: { readonly atom?: JsonAtom; readonly bond?: JsonBond } };
  const [molecule] = (document as { molecules?: readonly JsonMolecule[] }).molecules ?? [];
  if (!molecule) throw new MoleblendError("RDKit's JSON: expected one molecule, got none");
  const { atoms, bonds } = molecule;
  const atomDefault = document.defaults?.atom ?? {};
  const extension = molecule.extensions?.find(({ name }) => name === "rdkitRepresentation");
  const neighbours: number[][] = atoms.map(() => []);
  for (const { atoms: ends } of bonds) {
    neighbours[ends[0]].push(ends[1]);
    neighbours[ends[1]].push(ends[0]);
  }
  const aromaticBond = new Uint8Array(bonds.length);
  for (const bond of extension?.aromaticBonds ?? []) aromaticBond[bond] = 1;
  return {
    atoms: atoms.length,
    atomicNumber: Uint8Array.from(atoms, (atom) => atom.z ?? atomDefault.z ?? 6),
    charge: Int8Array.from(atoms, (atom) => atom.chg ?? 0),
    radicals: Uint8Array.from(atoms, (atom) => atom.nRad ?? 0),
    isotope: Uint16Array.from(atoms, (atom) => atom.isotope ?? 0),
    bonds: Uint16Array.from(bonds.flatMap((bond) => bond.atoms)),
    bondOrder: Uint8Array.from(bonds, (bond) => bond.bo ?? document.defaults?.bond?.bo ?? 1),
    aromaticBond,
    neighbours,
    rings: extension?.atomRings ?? [],
    centres: readCentres(atoms, neighbours),
    stereoBonds: readStereoBonds(bonds),
  };
}

function readCentres(atoms: readonly JsonAtom[], neighbours: readonly (readonly number[])[]): StereoCentre[] {
  const centres: StereoCentre[] = [];
  atoms.forEach(({ stereo }, atom) => {
    if (stereo !== "cw" && stereo !== "ccw") return;
    if (neighbours[atom].length < 3 || neighbours[atom].length > 4) return;
    centres.push({ atom, neighbours: neighbours[atom], clockwise: stereo === "cw" });
  });
  return centres;
}

function readStereoBonds(bonds: readonly JsonBond[]): StereoBond[] {
  const configured: StereoBond[] = [];
  for (const { atoms, stereo, stereoAtoms } of bonds) {
    if (!stereoAtoms || (stereo !== "cis" && stereo !== "trans")) continue;
    const [left, right] = atoms;
    const [leftSubstituent, rightSubstituent] = stereoAtoms;
    configured.push({ left, right, leftSubstituent, rightSubstituent, cis: stereo === "cis" });
  }
  return configured;
}

/** A connected part and the atom of the whole that each of its atoms is. */
export interface StructurePart {
  readonly structure: Structure;
  readonly atomOfWhole: readonly number[];
}

/** The connected parts, by their first atom. */
export function splitStructure(whole: Structure): StructurePart[] {
  const partOf = new Int32Array(whole.atoms).fill(-1);
  const members: number[][] = [];
  for (let seed = 0; seed < whole.atoms; seed++) {
    if (partOf[seed] >= 0) continue;
    const stack = [seed];
    partOf[seed] = members.length;
    for (let atom = stack.pop(); atom !== undefined; atom = stack.pop()) {
      for (const next of whole.neighbours[atom]) {
        if (partOf[next] >= 0) continue;
        partOf[next] = members.length;
        stack.push(next);
      }
    }
    members.push([]);
  }
  if (members.length === 1)
    return [{ structure: whole, atomOfWhole: Array.from({ length: whole.atoms }, (_, i) => i) }];
  for (let atom = 0; atom < whole.atoms; atom++) members[partOf[atom]].push(atom);
  return members.map((atomOfWhole) => ({ structure: extractPart(whole, atomOfWhole), atomOfWhole }));
}

function extractPart(whole: Structure, atomOfWhole: readonly number[]): Structure {
  const local = new Int32Array(whole.atoms).fill(-1);
  atomOfWhole.forEach((atom, index) => {
    local[atom] = index;
  });
  const bonds: number[] = [];
  for (let bond = 0; bond < whole.bondOrder.length; bond++) if (local[whole.bonds[2 * bond]] >= 0) bonds.push(bond);
  const pick = (atoms: readonly number[]) => atoms.map((atom) => local[atom]);
  const inside = (atom: number) => local[atom] >= 0;
  return {
    atoms: atomOfWhole.length,
    atomicNumber: Uint8Array.from(atomOfWhole, (atom) => whole.atomicNumber[atom]),
    charge: Int8Array.from(atomOfWhole, (atom) => whole.charge[atom]),
    radicals: Uint8Array.from(atomOfWhole, (atom) => whole.radicals[atom]),
    isotope: Uint16Array.from(atomOfWhole, (atom) => whole.isotope[atom]),
    bonds: Uint16Array.from(bonds.flatMap((bond) => [local[whole.bonds[2 * bond]], local[whole.bonds[2 * bond + 1]]])),
    bondOrder: Uint8Array.from(bonds, (bond) => whole.bondOrder[bond]),
    aromaticBond: Uint8Array.from(bonds, (bond) => whole.aromaticBond[bond]),
    neighbours: atomOfWhole.map((atom) => pick(whole.neighbours[atom])),
    rings: whole.rings.filter((ring) => inside(ring[0])).map(pick),
    centres: whole.centres
      .filter(({ atom }) => inside(atom))
      .map((centre) => ({ ...centre, atom: local[centre.atom], neighbours: pick(centre.neighbours) })),
    stereoBonds: whole.stereoBonds
      .filter(({ left }) => inside(left))
      .map((bond) => ({
        left: local[bond.left],
        right: local[bond.right],
        leftSubstituent: local[bond.leftSubstituent],
        rightSubstituent: local[bond.rightSubstituent],
        cis: bond.cis,
      })),
  };
}

/** Shortest paths in bonds between all atoms of a connected structure, up to 255. [atoms, atoms] */
export function topologicalDistances({ atoms, neighbours }: Structure): Uint8Array {
  const distance = new Uint8Array(atoms * atoms).fill(255);
  const queue = new Int32Array(atoms);
  for (let origin = 0; origin < atoms; origin++) {
    const row = origin * atoms;
    distance[row + origin] = 0;
    queue[0] = origin;
    for (let head = 0, tail = 1; head < tail; head++) {
      const atom = queue[head];
      for (const next of neighbours[atom]) {
        if (next === origin || distance[row + next] !== 255) continue;
        distance[row + next] = Math.min(254, distance[row + atom] + 1);
        queue[tail++] = next;
      }
    }
  }
  return distance;
}
