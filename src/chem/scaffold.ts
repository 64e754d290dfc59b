// Bemis-Murcko scaffolds: the rings of a molecule, what links them, and atoms doubly bound to either.
import { MoleblendError } from "../errors.js";
import type { Rdkit, RdkitMolecule } from "./rdkit.js";

/** What is read of RDKit's JSON (the CommonChem format); everything else is passed on. */
interface JsonAtom {
  readonly impHs?: number;
  readonly stereo?: string;
}

interface JsonBond {
  readonly atoms: readonly [number, number];
  readonly bo?: number;
  readonly stereo?: string;
  readonly stereoAtoms?: readonly number[];
}

interface JsonExtension {
  readonly name: string;
  readonly toolkitVersion?: string;
  readonly aromaticAtoms?: readonly number[];
  readonly aromaticBonds?: readonly number[];
  readonly atomRings?: readonly (readonly number[])[];
}

interface JsonMolecule {
  readonly atoms: readonly JsonAtom[];
  readonly bonds?: readonly JsonBond[];
  readonly extensions?: readonly JsonExtension[];
}

interface JsonDocument {
  readonly defaults: { readonly atom?: { readonly impHs?: number }; readonly bond?: { readonly bo?: number } };
  readonly molecules: readonly JsonMolecule[];
}

export interface ScaffoldOptions {
  /** Whether scaffolds that differ in stereo alone count as two (Hu et al.) or one (DeepChem, the default). */
  readonly chirality?: boolean;
}

/**
 * The canonical SMILES of the Bemis-Murcko scaffold as RDKit's MurckoScaffold gives it; "" for a molecule without rings.
 *
 * @param text SMILES or a MOL block
 * @throws RdkitFailure when the text cannot be read
 */
export function murckoScaffold(rdkit: Rdkit, text: string, options: ScaffoldOptions = {}): string {
  const document = withMolecule(rdkit.parse(text), (molecule) => JSON.parse(molecule.get_json()) as JsonDocument);
  const scaffold = scaffoldDocument(document, options.chirality ?? false);
  if (!scaffold) return "";
  // The legacy perception drops E/Z of double bonds that are read back from JSON.
  const legacy = rdkit.useLegacyStereo(false);
  try {
    return withMolecule(rdkit.parse(JSON.stringify(scaffold)), (molecule) => molecule.get_smiles());
  } finally {
    rdkit.useLegacyStereo(legacy);
  }
}

function withMolecule<T>(molecule: RdkitMolecule, use: (molecule: RdkitMolecule) => T): T {
  try {
    return use(molecule);
  } finally {
    molecule.delete();
  }
}

/** The scaffold's part of the document, or null where nothing is left. */
function scaffoldDocument(document: JsonDocument, chirality: boolean): JsonDocument | null {
  const [whole] = document.molecules;
  const bonds = whole.bonds ?? [];
  const extension = whole.extensions?.find(({ name }) => name === "rdkitRepresentation");
  if (!extension) throw new MoleblendError("RDKit's JSON: expected the extension rdkitRepresentation");
  const bondOrder = (bond: JsonBond) => bond.bo ?? document.defaults.bond?.bo ?? 1;
  const kept = scaffoldAtoms(whole, extension.atomRings ?? [], bondOrder);
  if (!kept.includes(true)) return null;

  const freed = freedValences(bonds, kept, bondOrder);
  const place = numbering(kept);
  const atoms = whole.atoms.flatMap((atom, i): JsonAtom[] => {
    if (!kept[i]) return [];
    const { stereo, ...plain } = atom;
    const hydrogens = (atom.impHs ?? document.defaults.atom?.impHs ?? 0) + freed[i];
    const keepsStereo = chirality && stereo !== undefined && freed[i] === 0;
    return [{ ...plain, impHs: hydrogens, ...(keepsStereo ? { stereo } : {}) }];
  });
  const keptBonds = bonds.map(({ atoms: [a, b] }) => kept[a] && kept[b]);
  const bondPlace = numbering(keptBonds);
  const only = (numbers: readonly number[] | undefined, where: readonly boolean[], to: Int32Array) =>
    (numbers ?? []).filter((i) => where[i]).map((i) => to[i]);
  const scaffold: JsonMolecule = {
    atoms,
    bonds: bonds.filter((_, i) => keptBonds[i]).map((bond) => scaffoldBond(bond, kept, place, chirality)),
    extensions: [
      {
        ...{ name: extension.name, formatVersion: 2, toolkitVersion: extension.toolkitVersion },
        aromaticAtoms: only(extension.aromaticAtoms, kept, place),
        aromaticBonds: only(extension.aromaticBonds, keptBonds, bondPlace),
      } as JsonExtension,
    ],
  };
  return { ...document, molecules: [scaffold] };
}

/** Rings and linkers by cutting chains back from their ends, then atoms bound to those by a double bond. [atoms] */
function scaffoldAtoms(
  { atoms, bonds = [] }: JsonMolecule,
  rings: readonly (readonly number[])[],
  bondOrder: (bond: JsonBond) => number,
): boolean[] {
  const inRing = new Set(rings.flat());
  const neighbours = atoms.map((): number[] => []);
  for (const {
    atoms: [a, b],
  } of bonds) {
    neighbours[a].push(b);
    neighbours[b].push(a);
  }
  const core = atoms.map(() => true);
  const left = neighbours.map((list) => list.length);
  const ends = atoms.map((_, i) => i).filter((i) => left[i] <= 1 && !inRing.has(i));
  for (let end = ends.pop(); end !== undefined; end = ends.pop()) {
    if (!core[end]) continue;
    core[end] = false;
    for (const next of neighbours[end]) if (core[next] && --left[next] <= 1 && !inRing.has(next)) ends.push(next);
  }
  const kept = [...core];
  for (const bond of bonds) {
    const [a, b] = bond.atoms;
    if (core[a] !== core[b] && bondOrder(bond) === 2) kept[core[a] ? b : a] = true;
  }
  return kept;
}

/** How many hydrogens each kept atom needs in place of what was cut off. [atoms] */
function freedValences(bonds: readonly JsonBond[], kept: readonly boolean[], bondOrder: (bond: JsonBond) => number) {
  const freed = new Int32Array(kept.length);
  for (const bond of bonds) {
    const [a, b] = bond.atoms;
    if (kept[a] && !kept[b]) freed[a] += bondOrder(bond);
    if (kept[b] && !kept[a]) freed[b] += bondOrder(bond);
  }
  return freed;
}

function numbering(kept: readonly boolean[]): Int32Array {
  let next = 0;
  return Int32Array.from(kept, (keep) => (keep ? next++ : -1));
}

function scaffoldBond(bond: JsonBond, kept: readonly boolean[], place: Int32Array, chirality: boolean): JsonBond {
  const { stereo, stereoAtoms, ...plain } = bond;
  const moved: JsonBond = { ...plain, atoms: [place[bond.atoms[0]], place[bond.atoms[1]]] };
  if (!chirality || stereo === undefined || !stereoAtoms?.every((atom) => kept[atom])) return moved;
  return { ...moved, stereo, stereoAtoms: stereoAtoms.map((atom) => place[atom]) };
}
