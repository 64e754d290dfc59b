// One molecule as text → `Molecule`, with the atom and bond features of OGB as the reference computes them.
import { MoleculeError, type RejectCode, type SourceLocation } from "../errors.js";
import { hasReadableCoordinates, molAtomCount, withoutCoordinates } from "./mol-block.js";
import { ATOM_FEATURES, BOND_FEATURES, type Molecule, type RawRecord } from "./molecule.js";
import { type Rdkit, RdkitFailure, type RdkitMolecule } from "./rdkit.js";
import { PICKLE_OPTIONS, type PickledMolecule, PickleError, readPickle } from "./rdkit-pickle.js";
import { countConfigured, type Skeleton } from "./skeleton.js";
import { structureKey } from "./structure-key.js";
import { xyzToMolBlock } from "./xyz.js";

export interface FeaturizeOptions {
  /** Keep hydrogens that the text names as atoms; else they are folded into their heavy atoms (RDKit's `removeHs`). */
  readonly hydrogens: boolean;
  /** Larger molecules are refused. Counted after hydrogens are folded. */
  readonly maxAtoms: number;
  /** Guess the bonds of XYZ records that give none; such records are refused otherwise. */
  readonly perceiveBonds?: boolean;
  /** Names of columns or property tags that become `labels`; NaN where missing or not a number. */
  readonly labels?: readonly string[];
  /**
   * Give records without a geometry a `skeleton`, from which one can be generated; with `hydrogens` all hydrogens of
   * such a record become atoms, named or not.
   */
  readonly skeletons?: boolean;
}

export interface FeaturizedMolecule {
  readonly molecule: Molecule;
  /** What was left out or assumed, each `code: explanation`; codes: `no-3d`, `implicit-hydrogens`, `perceived-bonds`. */
  readonly notes: readonly string[];
  /** Null unless it was asked for and there is no geometry. */
  readonly skeleton: Skeleton | null;
}

/** A pickle and what was read beside it. */
interface ReadMolecule extends PickledMolecule {
  readonly skeleton: Skeleton | null;
}

/** RDKit recurses along chains and the host's stack ends near 4,400 atoms in a row: longer texts are refused before it tries. */
const LONGEST_CHAIN = 4000;

/** Marks of stereochemistry in SMILES. */
const STEREO_MARK = /[@/\\]/;
/** What may be a hydrogen atom, an extension or a reaction: there RDKit has to look for hydrogens to fold. */
const UNUSUAL_SMILES = /\[\d*[HDT#]|[\s|>$]/;
/** Where `removeHs` changes what is left of stereochemistry: centres other than carbon, double bonds. */
const DELICATE_STEREO = /[^C@]@|[/\\]/;

/** OGB's index of each value of RDKit's enums; anything beyond is "misc" (ogb `utils/features.py`). */
const HYBRIDIZATIONS = new Map([2, 3, 4, 6, 7].map((value, index) => [value, index])); // SP, SP2, SP3, SP3D, SP3D2
const HYBRIDIZATION_INDEX = Uint8Array.from({ length: 256 }, (_, value) => HYBRIDIZATIONS.get(value) ?? 5);
const BOND_TYPES = new Map([1, 2, 3, 12].map((value, index) => [value, index])); // single, double, triple, aromatic
const BOND_TYPE_INDEX = Uint8Array.from({ length: 256 }, (_, value) => BOND_TYPES.get(value) ?? 4);
/**
 * none, any, Z, E, cis, trans as RDKit numbers them → OGB's none, Z, E, cis, trans, any. RDKit's newer atropisomers count as
 * none: OGB has no value for them and the reference's RDKit does not perceive them.
 */
const BOND_STEREO_INDEX = Uint8Array.from({ length: 256 }, (_, value) => [0, 5, 1, 2, 3, 4][value] ?? 0);
const MISC_CHIRALITY = 4;

/**
 * Featurizes one record.
 *
 * Coordinates (Å) are those of the record. A record whose coordinates are all zero, not finite, or flat and flagged as
 * 2D is kept without geometry, and a note says so.
 *
 * @throws MoleculeError, with the place of the record, if it cannot be read, is empty or too large.
 */
export function featurize(rdkit: Rdkit, record: RawRecord, options: FeaturizeOptions): FeaturizedMolecule {
  const notes: string[] = [];
  const pickled = readText(rdkit, record, options, notes);
  if (pickled.atoms === 0) throw new MoleculeError("no-atoms", "the molecule has no atoms", locationOf(record));
  refuseTooLarge(pickled.atoms, options.maxAtoms, record);
  const atomFeatures = ogbAtomFeatures(pickled);
  const bondFeatures = ogbBondFeatures(pickled);
  const positions = readPositions(pickled, notes);
  const molecule = {
    name: record.name || record.text.split("\n", 1)[0],
    atomFeatures,
    bonds: pickled.bondAtoms,
    bondFeatures,
    positions,
    structureKey: structureKey(atomFeatures, pickled.bondAtoms, bondFeatures),
    labels: readLabels(record, options.labels ?? []),
  };
  return { molecule, notes, skeleton: positions ? null : pickled.skeleton };
}

function locationOf({ file, line, record, name }: RawRecord): SourceLocation {
  return { ...(file && { file }), line, record, ...(name && { name }) };
}

function refuseTooLarge(atoms: number, maxAtoms: number, record: RawRecord): void {
  if (atoms > maxAtoms)
    throw new MoleculeError("too-many-atoms", `${atoms} atoms, at most ${maxAtoms} are allowed`, locationOf(record));
}

function readText(rdkit: Rdkit, record: RawRecord, options: FeaturizeOptions, notes: string[]): ReadMolecule {
  if (record.format === "smiles") {
    const smiles = record.text.trim();
    if (smiles === "") throw new MoleculeError("empty-line", "the line is empty", locationOf(record));
    if (smiles.length > LONGEST_CHAIN) refuseTooLarge(estimateSmilesAtoms(smiles), LONGEST_CHAIN, record);
    return readWithRdkit(rdkit, smiles, options, smilesDetails(smiles, options), "unparsable-smiles", record);
  }
  let molBlock = record.text;
  if (record.format === "xyz") {
    const conversion = xyzToMolBlock(record.text, locationOf(record), options.perceiveBonds);
    molBlock = conversion.molBlock;
    notes.push(...conversion.notes);
  }
  refuseTooLarge(molAtomCount(molBlock), LONGEST_CHAIN, record);
  try {
    return readWithRdkit(rdkit, molBlock, options, blockDetails(options), "unparsable-record", record);
  } catch (error) {
    // RDKit refuses a block for coordinates that are not numbers; the graph in it may still be good.
    if (!(error instanceof MoleculeError) || hasReadableCoordinates(molBlock)) throw error;
    const pickled = readWithRdkit(
      rdkit,
      withoutCoordinates(molBlock),
      options,
      blockDetails(options),
      "unparsable-record",
      record,
    );
    notes.push("no-3d: coordinates that are not finite numbers");
    return { ...pickled, conformer: null };
  }
}

const blockDetails = ({ hydrogens }: FeaturizeOptions) => (hydrogens ? '{"removeHs":false}' : '{"removeHs":true}');

/**
 * RDKit's options with which it does no work that leaves no trace. With `removeHs` it perceives the stereochemistry of
 * SMILES once more before it sanitizes them, a third of its time, though few have a hydrogen to fold; without any mark of
 * stereochemistry the whole perception finds nothing. Skeletons want RDKit's canonical order, which that perception takes part in.
 */
function smilesDetails(smiles: string, options: FeaturizeOptions): string {
  if (options.skeletons || UNUSUAL_SMILES.test(smiles)) return blockDetails(options);
  if (!STEREO_MARK.test(smiles)) return '{"removeHs":false,"assignStereo":false}';
  return DELICATE_STEREO.test(smiles) ? blockDetails(options) : '{"removeHs":false}';
}

function readWithRdkit(
  rdkit: Rdkit,
  text: string,
  { hydrogens, skeletons }: FeaturizeOptions,
  details: string,
  code: RejectCode,
  record: RawRecord,
): ReadMolecule {
  try {
    const molecule = rdkit.parse(text, details);
    try {
      const pickled = readPickle(molecule.get_as_uint8array(PICKLE_OPTIONS));
      if (!skeletons || pickled.atoms === 0 || readPositions(pickled, [])) return { ...pickled, skeleton: null };
      return withSkeleton(molecule, pickled, hydrogens);
    } finally {
      molecule.delete();
    }
  } catch (error) {
    if (!(error instanceof RdkitFailure || error instanceof PickleError)) throw error;
    throw new MoleculeError(code, error.message, locationOf(record), { cause: error });
  }
}

function withSkeleton(molecule: RdkitMolecule, read: PickledMolecule, hydrogens: boolean): ReadMolecule {
  let pickled = read;
  if (hydrogens) {
    molecule.add_hs_in_place();
    pickled = readPickle(molecule.get_as_uint8array(PICKLE_OPTIONS));
  }
  const skeleton = {
    smiles: molecule.get_smiles(),
    order: JSON.parse(molecule.get_prop("_smilesAtomOutputOrder")) as number[],
    elements: pickled.atomicNumber,
    configured: countConfigured(pickled.chirality, pickled.bondStereo),
  };
  return { ...pickled, skeleton };
}

/** Atoms that a SMILES names, hydrogens aside; close enough to refuse what RDKit could not take. */
function estimateSmilesAtoms(smiles: string): number {
  const structure = smiles.split(/\s/, 1)[0];
  return structure.match(/\[(?!\d*H[+-]?\d*\])[^\]]*\]|Br|Cl|[BCNOSPFIbcnosp*]/g)?.length ?? 0;
}

/** [atoms, 9] */
function ogbAtomFeatures(pickled: PickledMolecule): Uint8Array {
  const width = ATOM_FEATURES.length;
  const features = new Uint8Array(pickled.atoms * width);
  const degree = 2;
  for (const atom of pickled.bondAtoms) features[atom * width + degree]++;
  for (let atom = 0, at = 0; atom < pickled.atoms; atom++, at += width) {
    const atomicNumber = pickled.atomicNumber[atom];
    const hydrogens = pickled.hydrogens[atom];
    const charge = pickled.charge[atom];
    features[at] = atomicNumber >= 1 && atomicNumber <= 118 ? atomicNumber - 1 : 118;
    features[at + 1] = Math.min(pickled.chirality[atom], MISC_CHIRALITY);
    features[at + degree] = Math.min(features[at + degree] + hydrogens, 11);
    features[at + 3] = charge >= -5 && charge <= 5 ? charge + 5 : 11;
    features[at + 4] = Math.min(hydrogens, 9);
    features[at + 5] = Math.min(radicalElectrons(pickled, atom), 5);
    features[at + 6] = HYBRIDIZATION_INDEX[pickled.hybridization[atom]];
    features[at + 7] = pickled.aromatic[atom];
    features[at + 8] = pickled.inRing[atom];
  }
  return features;
}

/**
 * Elements without a usual valence (the d and f blocks) have no radicals in RDKit since 2023, while the reference's RDKit
 * 2022.09 gives those in brackets one for an odd number of valence electrons. The model's features follow the reference.
 */
function radicalElectrons(pickled: PickledMolecule, atom: number): number {
  const z = pickled.atomicNumber[atom];
  const withoutValence = (z >= 21 && z <= 30) || (z >= 39 && z <= 48) || (z >= 57 && z <= 80) || z >= 89;
  if (!withoutValence || !pickled.noImplicit[atom]) return pickled.radicalElectrons[atom];
  // Beyond rutherfordium that RDKit counts two outer electrons for every element; up to it, the parity is that of the number.
  return ((z <= 104 ? z : 2) - pickled.charge[atom]) & 1;
}

/** [bonds, 3] */
function ogbBondFeatures(pickled: PickledMolecule): Uint8Array {
  const width = BOND_FEATURES.length;
  const features = new Uint8Array(pickled.bonds * width);
  for (let bond = 0, at = 0; bond < pickled.bonds; bond++, at += width) {
    features[at] = BOND_TYPE_INDEX[pickled.bondType[bond]];
    features[at + 1] = BOND_STEREO_INDEX[pickled.bondStereo[bond]];
    features[at + 2] = pickled.conjugated[bond];
  }
  return features;
}

/** [atoms, 3] in Å, or null with a note where there is no usable geometry. */
function readPositions({ atoms, conformer }: PickledMolecule, notes: string[]): Float32Array | null {
  if (!conformer) return null;
  const positions = Float32Array.from(conformer.positions);
  let reason = "";
  if (!positions.every(Number.isFinite)) reason = "coordinates that are not finite numbers";
  // One heavy atom may well lie at the origin of its hydrogens.
  else if (atoms > 1 && positions.every((value) => value === 0)) reason = "all coordinates are zero";
  else if (!conformer.is3D) reason = "a 2D depiction";
  if (reason) {
    notes.push(`no-3d: ${reason}`);
    return null;
  }
  return positions;
}

function readLabels(record: RawRecord, names: readonly string[]): Record<string, number> {
  const labels: Record<string, number> = {};
  for (const name of names) {
    const text = record.properties[name]?.trim();
    const value = text ? Number(text) : Number.NaN;
    labels[name] = Number.isFinite(value) ? value : Number.NaN;
  }
  return labels;
}
