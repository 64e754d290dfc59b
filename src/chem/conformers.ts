// A SMILES → geometries of its atoms: embedded, minimised with MMFF94, ordered by energy, and with their stereo read back by RDKit.
import { Random } from "../random.js";
import { type EmbedOutcome, embedConformers } from "./embed/embed.js";
import { placeParts } from "./embed/place-parts.js";
import { readStructure, type Structure, splitStructure } from "./embed/structure.js";
import { writeStructureBlock } from "./embed/structure-block.js";
import type { OpenChemLib } from "./openchemlib.js";
import { type Rdkit, RdkitFailure, type RdkitMolecule } from "./rdkit.js";
import { PICKLE_OPTIONS, type PickledMolecule, PickleError, readPickle } from "./rdkit-pickle.js";
import { countConfigured, isHanded, type Skeleton } from "./skeleton.js";

/** Part of every cache key: geometries made by other rules must not be taken for these. */
export const CONFORMER_RULES = 1;

export interface ConformerSettings {
  /** Geometries wanted of each structure. */
  readonly count: number;
  /** The same seed gives the same geometries of a structure, in whatever file and order it comes. */
  readonly seed: number;
  /** Seconds after which a molecule must do with what has been found. */
  readonly timeout: number;
  /** Embeddings tried for a structure, at least; by its flexibility where it is not given. */
  readonly effort?: number;
}

/** What was found for one structure. */
export interface GeneratedConformers {
  /** Å, in the order of the atoms of the SMILES, by rising energy. [atoms, 3] each */
  readonly positions: readonly Float32Array[];
  /** kcal/mol, of MMFF94 and of each part by itself; NaN where MMFF94 does not cover the structure. */
  readonly energies: readonly number[];
  /** Why there is none, or null. */
  readonly failure: string | null;
  /** The time limit cut the search short: another run may find more. */
  readonly timedOut: boolean;
  /** Atomic numbers of the atoms of the SMILES. */
  readonly elements: Uint8Array;
  /** Configured centres and double bonds of the SMILES. */
  readonly configured: number;
}

/**
 * Geometries of a SMILES as it stands: configured centres and double bonds come out as written, the others either way.
 */
export function generateConformers(
  rdkit: Rdkit,
  openChemLib: OpenChemLib,
  smiles: string,
  settings: ConformerSettings,
): GeneratedConformers {
  const deadline = performance.now() + 1000 * settings.timeout;
  let read: ReturnType<typeof readSmiles>;
  try {
    read = readSmiles(rdkit, smiles);
  } catch (error) {
    if (!(error instanceof RdkitFailure || error instanceof PickleError)) throw error;
    const failure = `structure: ${error.message}`;
    return { positions: [], energies: [], failure, timedOut: false, elements: new Uint8Array(0), configured: 0 };
  }
  const { structure, pickled } = read;
  const random = Random.fromSeed(settings.seed).split("conformers", smiles);
  const parts = splitStructure(structure);
  const outcomes: EmbedOutcome[] = [];
  let covered = true;
  for (const [number, part] of parts.entries()) {
    const terms = openChemLib.mmffTerms(part.structure);
    covered &&= !("reason" in terms);
    const options = { count: settings.count, effort: settings.effort, deadline };
    const outcome = embedConformers(
      part.structure,
      "reason" in terms ? null : terms,
      random.split("part", number),
      options,
    );
    if (outcome.conformers.length === 0) return failed(pickled, describeFailure(outcome), outcome.timedOut);
    outcomes.push(outcome);
  }
  const timedOut = outcomes.some((outcome) => outcome.timedOut);
  const found = Math.max(...outcomes.map(({ conformers }) => conformers.length));
  const positions: Float32Array[] = [];
  const energies: number[] = [];
  for (let rank = 0; rank < found; rank++) {
    const chosen = outcomes.map(({ conformers }) => conformers[Math.min(rank, conformers.length - 1)]);
    const coordinates = chosen.map((conformer) => conformer.positions.slice());
    placeParts(coordinates);
    const x = new Float64Array(3 * structure.atoms);
    parts.forEach(({ atomOfWhole }, part) => {
      atomOfWhole.forEach((atom, local) => {
        x.set(coordinates[part].subarray(3 * local, 3 * local + 3), 3 * atom);
      });
    });
    if (!keepsStereo(rdkit, structure, pickled, x)) continue;
    positions.push(Float32Array.from(x.subarray(0, 3 * pickled.atoms)));
    energies.push(covered ? chosen.reduce((sum, { energy }) => sum + energy, 0) : Number.NaN);
  }
  if (positions.length === 0) {
    return failed(pickled, "stereo: RDKit reads another configuration from every geometry", timedOut);
  }
  return { ...failed(pickled, "", timedOut), positions, energies, failure: null };
}

function failed(pickled: PickledMolecule, failure: string, timedOut: boolean): GeneratedConformers {
  const { atomicNumber, chirality, bondStereo } = pickled;
  const configured = countConfigured(chirality, bondStereo);
  return { positions: [], energies: [], failure, timedOut, elements: atomicNumber.slice(), configured };
}

/**
 * The geometries over the atoms of a record, whose SMILES has them in another order.
 *
 * @param order the record's atom at each place of the SMILES
 * @returns [atoms, 3] each, or null where the atoms or the stereo of the two do not agree
 */
export function positionsInRecordOrder(
  { positions, elements, configured }: GeneratedConformers,
  record: Skeleton,
): Float32Array[] | null {
  const { order } = record;
  if (order.length !== elements.length || configured !== record.configured) return null;
  if (!order.every((atom, place) => record.elements[atom] === elements[place])) return null;
  return positions.map((found) => {
    const placed = new Float32Array(found.length);
    order.forEach((atom, place) => {
      placed.set(found.subarray(3 * place, 3 * place + 3), 3 * atom);
    });
    return placed;
  });
}

function describeFailure({ failures, timedOut }: EmbedOutcome): string {
  if (timedOut) return "timeout: no geometry within the time limit";
  const [reason, count] = Object.entries(failures).reduce((most, entry) => (entry[1] > most[1] ? entry : most));
  return `${reason}: ${count} embeddings failed`;
}

/** The SMILES with all hydrogens, those that it does not name behind its own atoms; and as RDKit reads it without them. */
function readSmiles(rdkit: Rdkit, smiles: string): { structure: Structure; pickled: PickledMolecule } {
  const molecule = rdkit.parse(smiles, '{"removeHs":false}');
  try {
    const pickled = readPickle(molecule.get_as_uint8array(PICKLE_OPTIONS));
    molecule.add_hs_in_place();
    return { structure: readStructure(molecule.get_json()), pickled };
  } finally {
    molecule.delete();
  }
}

/** Whether RDKit reads the configuration of the SMILES from the geometry, wherever the SMILES has one. */
function keepsStereo(rdkit: Rdkit, structure: Structure, expected: PickledMolecule, x: Float64Array): boolean {
  if (structure.centres.length === 0 && structure.stereoBonds.length === 0) return true;
  let molecule: RdkitMolecule;
  try {
    molecule = rdkit.parse(writeStructureBlock(structure, x), '{"removeHs":false}');
  } catch (error) {
    if (error instanceof RdkitFailure) return false;
    throw error;
  }
  try {
    const seen = readPickle(molecule.get_as_uint8array(PICKLE_OPTIONS));
    const atomsKept = expected.chirality.every((tag, atom) => !isHanded(tag) || seen.chirality[atom] === tag);
    return atomsKept && expected.bondStereo.every((stereo, bond) => stereo < 2 || seen.bondStereo[bond] === stereo);
  } finally {
    molecule.delete();
  }
}
