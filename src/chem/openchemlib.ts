// Loads OpenChemLib once and takes from it the MMFF94 terms of a molecule: its atom types, charges and parameters.
import { MoleblendError } from "../errors.js";
import { Random } from "../random.js";
import type { MmffTerms } from "./embed/mmff.js";
import { mmffEnergy } from "./embed/mmff.js";
import { type Structure, topologicalDistances } from "./embed/structure.js";

type Library = typeof import("openchemlib");

/** OpenChemLib, ready for use. One per thread. */
export interface OpenChemLib {
  readonly version: string;
  /**
   * The MMFF94 terms of a connected structure with all its hydrogens, or why MMFF94 does not cover it. Terms that do not
   * give the energy that OpenChemLib itself finds are never returned.
   */
  mmffTerms(structure: Structure): MmffTerms | MmffGap;
}

/** MMFF94 has no parameters for a molecule. */
export interface MmffGap {
  readonly reason: string;
}

/** The terms are read from objects whose field names change from build to build. */
const PINNED_VERSION = "9.25.0";

/**
 * The own fields of each kind of term, in the order in which OpenChemLib 9.25.0 sets them, and where in that order the
 * atoms and the numbers stand.
 */
const TERM_KINDS: Readonly<Record<string, { readonly kind: keyof RawTerms; readonly fields: readonly string[] }>> = {
  "f,a,b,c,d,g,e": { kind: "angles", fields: ["a", "b", "c", "g", "e", "d"] }, // atoms, rest, constant, linear
  "d,a,b,e,c": { kind: "bonds", fields: ["a", "b", "e", "c"] }, // atoms, rest, constant
  "e,a,b,f,d,c": { kind: "charges", fields: ["a", "b", "c"] }, // atoms, product
  "f,d,a,b,c,e": { kind: "planes", fields: ["d", "a", "b", "c", "e"] }, // centre, atoms, constant
  "f,a,b,c,j,g,i,d,e": { kind: "stretchBends", fields: ["a", "b", "c", "g", "i", "d", "e"] }, // atoms, rests, constants
  "a,b,c,d,e,f,g": { kind: "torsions", fields: ["a", "b", "c", "d", "e", "f", "g"] }, // atoms, V1, V2, V3
  "g,b,d,a,c,e,f,i,j": { kind: "contacts", fields: ["a", "c", "i", "j"] }, // atoms, R*, depth
};

interface RawTerms {
  readonly angles: number[][];
  readonly bonds: number[][];
  readonly charges: number[][];
  readonly planes: number[][];
  readonly stretchBends: number[][];
  readonly torsions: number[][];
  readonly contacts: number[][];
}

let loading: Promise<OpenChemLib> | undefined;

/**
 * OpenChemLib, loaded on the first call and shared by all later ones. In a browser its `resources.json` must lie beside
 * its module.
 *
 * @throws MoleblendError if it is of another version than this package was written for
 */
export function loadOpenChemLib(): Promise<OpenChemLib> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load(): Promise<OpenChemLib> {
  const library = await import("openchemlib");
  if (library.version !== PINNED_VERSION) {
    throw new MoleblendError(`OpenChemLib: expected version ${PINNED_VERSION}, got ${library.version}`);
  }
  const inNode = "process" in globalThis;
  if (inNode) library.Resources.registerFromNodejs();
  else await library.Resources.registerFromUrl();
  const openChemLib: OpenChemLib = {
    version: library.version,
    mmffTerms: (structure) => mmffTerms(library, structure),
  };
  const probe = openChemLib.mmffTerms(WATER);
  if ("reason" in probe) throw new MoleblendError(`OpenChemLib: expected the MMFF94 terms of water: ${probe.reason}`);
  return openChemLib;
}

/** Read at loading, to learn at once if no terms can be read. */
const WATER: Structure = {
  atoms: 3,
  atomicNumber: Uint8Array.of(8, 1, 1),
  charge: new Int8Array(3),
  radicals: new Uint8Array(3),
  isotope: new Uint16Array(3),
  bonds: Uint16Array.of(0, 1, 0, 2),
  bondOrder: Uint8Array.of(1, 1),
  aromaticBond: new Uint8Array(2),
  neighbours: [[1, 2], [0], [0]],
  rings: [],
  centres: [],
  stereoBonds: [],
};

function mmffTerms(library: Library, structure: Structure): MmffTerms | MmffGap {
  // OpenChemLib moves hydrogens behind all other atoms; in that order its atoms and ours can be matched.
  const heavyFirst = Array.from({ length: structure.atoms }, (_, atom) => atom).sort(
    (a, b) => Number(structure.atomicNumber[a] === 1) - Number(structure.atomicNumber[b] === 1) || a - b,
  );
  const molecule = buildMolecule(library, structure, heavyFirst);
  let forceField: InstanceType<Library["ForceFieldMMFF94"]>;
  try {
    forceField = new library.ForceFieldMMFF94(molecule, library.ForceFieldMMFF94.MMFF94);
  } catch (error) {
    return { reason: mmffRefusal(error) };
  }
  const terms = packTerms(structure, readTerms(forceField), heavyFirst);
  return givesEnergy(terms, forceField.getTotalEnergy(), heavyFirst)
    ? terms
    : { reason: "its MMFF94 terms are ambiguous" };
}

function mmffRefusal(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  return `MMFF94 does not cover it (${words.split("\n", 1)[0].slice(0, 100)})`;
}

/**
 * Where the n-th atom is put while the terms are read: near enough for every nonbonded term (Å), and no three in a line,
 * where torsions are not defined.
 */
function probePosition(index: number): readonly [number, number, number] {
  const random = Random.fromSeed(index);
  return [12 * random.uniform(), 12 * random.uniform(), 12 * random.uniform()];
}

function buildMolecule(library: Library, structure: Structure, order: readonly number[]) {
  const { atoms, bonds, bondOrder, charge, radicals, atomicNumber } = structure;
  const molecule = new library.Molecule(atoms, bondOrder.length);
  const placeOf = new Int32Array(atoms);
  order.forEach((atom, place) => {
    placeOf[atom] = place;
    molecule.addAtom(atomicNumber[atom]);
    if (charge[atom]) molecule.setAtomCharge(place, charge[atom]);
    if (radicals[atom] === 1) molecule.setAtomRadical(place, library.Molecule.cAtomRadicalStateD);
    const [px, py, pz] = probePosition(place);
    molecule.setAtomX(place, px);
    molecule.setAtomY(place, py);
    molecule.setAtomZ(place, pz);
  });
  for (let bond = 0; bond < bondOrder.length; bond++) {
    const added = molecule.addBond(placeOf[bonds[2 * bond]], placeOf[bonds[2 * bond + 1]]);
    molecule.setBondOrder(added, bondOrder[bond]);
  }
  molecule.ensureHelperArrays(library.Molecule.cHelperRings);
  return molecule;
}

/** Finds the list of terms in the force field and sorts them by kind. */
function readTerms(forceField: object): RawTerms {
  const list = (forceField as { a?: { a?: { a?: unknown } } }).a?.a?.a;
  if (!Array.isArray(list)) throw new MoleblendError(`OpenChemLib ${PINNED_VERSION}: found no MMFF94 terms`);
  const terms: RawTerms = {
    angles: [],
    bonds: [],
    charges: [],
    planes: [],
    stretchBends: [],
    torsions: [],
    contacts: [],
  };
  for (const term of list as Record<string, unknown>[]) {
    const known = TERM_KINDS[Object.keys(term).join()];
    if (!known) throw new MoleblendError(`OpenChemLib ${PINNED_VERSION}: unknown MMFF94 term (${Object.keys(term)})`);
    terms[known.kind].push(known.fields.map((field) => Number(term[field])));
  }
  return terms;
}

/** Terms over our atom order, angle bends merged with their stretch-bends, van der Waals with charges. */
function packTerms(structure: Structure, raw: RawTerms, atomAt: readonly number[]): MmffTerms {
  const n = structure.atoms;
  const atomsOf = (rows: readonly number[][], width: number) =>
    Uint16Array.from(rows.flatMap((row) => row.slice(0, width).map((place) => atomAt[place])));
  const valuesOf = (rows: readonly number[][], from: number) =>
    Float64Array.from(rows.flatMap((row) => row.slice(from)));
  const planes = raw.planes.filter((row) => row[4] !== 0);
  const pairKey = (row: readonly number[]) => Math.min(row[0], row[1]) * n + Math.max(row[0], row[1]);
  const product = new Map(raw.charges.map((row) => [pairKey(row), row[2]]));
  const distance = topologicalDistances(structure);
  const pairValues = raw.contacts.flatMap((row) => {
    const near = distance[atomAt[row[0]] * n + atomAt[row[1]]] === 3;
    return [row[2], row[3], (product.get(pairKey(row)) ?? 0) * (near ? 0.75 : 1)];
  });
  return {
    atoms: n,
    bondAtoms: atomsOf(raw.bonds, 2),
    bondValues: valuesOf(raw.bonds, 2),
    angleAtoms: atomsOf(raw.angles, 3),
    angleValues: Float64Array.from(mergeAngles(raw)),
    planeAtoms: atomsOf(planes, 4),
    planeValues: valuesOf(planes, 4),
    torsionAtoms: atomsOf(raw.torsions, 4),
    torsionValues: valuesOf(raw.torsions, 4),
    pairAtoms: atomsOf(raw.contacts, 2),
    pairValues: Float64Array.from(pairValues),
  };
}

/** Angle at rest, constant, linear; lengths at rest and stretch-bend constants of the first and second leg. */
function mergeAngles({ angles, bonds, stretchBends }: RawTerms): number[] {
  const lengths = new Map<string, number>();
  for (const [a, b, rest] of bonds) {
    lengths.set(`${a},${b}`, rest);
    lengths.set(`${b},${a}`, rest);
  }
  const constants = new Map<string, readonly [number, number]>();
  for (const [a, b, c, , , first, second] of stretchBends) {
    constants.set(`${a},${b},${c}`, [first, second]);
    constants.set(`${c},${b},${a}`, [second, first]);
  }
  return angles.flatMap(([a, b, c, rest, constant, linear]) => {
    const [first, second] = constants.get(`${a},${b},${c}`) ?? [0, 0];
    return [rest, constant, linear, lengths.get(`${b},${a}`) ?? 0, lengths.get(`${b},${c}`) ?? 0, first, second];
  });
}

/** The same energy as OpenChemLib's own evaluation at the probe positions shows that every term was read right. */
function givesEnergy(terms: MmffTerms, expected: number, atomAt: readonly number[]): boolean {
  const x = new Float64Array(3 * terms.atoms);
  atomAt.forEach((atom, place) => {
    x.set(probePosition(place), 3 * atom);
  });
  const energy = mmffEnergy(terms, x, new Float64Array(x.length));
  return Math.abs(energy - expected) <= 1e-6 * Math.max(1, Math.abs(expected));
}
