// Featurizes a batch of raw records, in this thread or a worker, keeping rejects and remarks apart from molecules.

import { type FeaturizedMolecule, featurize } from "../chem/featurize.js";
import type { Molecule, RawRecord, Reject } from "../chem/molecule.js";
import type { Rdkit } from "../chem/rdkit.js";
import { connectivityKey } from "../chem/structure-key.js";
import { type PackedMolecules, packMolecules, unpackMolecules } from "../data/packed-molecules.js";
import type { ReadItem } from "../data/readers/index.js";
import { DatasetError, formatLocation, MoleculeError } from "../errors.js";
import type { ConformerOptions, ConformerSource } from "./conformer-source.js";

export interface FeaturizeSettings {
  readonly hydrogens: boolean;
  readonly maxAtoms: number;
  readonly labels: readonly string[];
  /** Guess the bonds of XYZ records that give none. */
  readonly perceiveBonds?: boolean;
  /** Generate geometries for records that have none. */
  readonly conformers?: ConformerOptions;
  /** Keys of structures to leave out (see `connectivityKey`). */
  readonly excluded?: ReadonlySet<string>;
}

/** Outcome of a batch. Molecules and rejects are each in input order. */
export interface BatchResult<Molecules = readonly Molecule[]> {
  readonly molecules: Molecules;
  readonly rejects: readonly Reject[];
  /** Remarks on molecules that were kept, by kind. */
  readonly notes: Readonly<Record<string, number>>;
}

/** The same with the molecules packed for a message between threads. */
export type PackedBatchResult = BatchResult<PackedMolecules>;

export function packResult(result: BatchResult, { labels }: FeaturizeSettings): PackedBatchResult {
  return { ...result, molecules: packMolecules(result.molecules, labels) };
}

export function unpackResult(result: PackedBatchResult): BatchResult {
  return { ...result, molecules: unpackMolecules(result.molecules) };
}

function isRecord(item: ReadItem): item is RawRecord {
  return "text" in item;
}

/**
 * @param source geometries for records that have none; they stay without where it is null
 * @throws DatasetError, saying at which record, when featurizing fails for another reason than the molecule
 */
export function featurizeBatch(
  rdkit: Rdkit,
  items: readonly ReadItem[],
  settings: FeaturizeSettings,
  source: ConformerSource | null = null,
): BatchResult {
  const { hydrogens, maxAtoms, perceiveBonds = false } = settings;
  const molecules: Molecule[] = [];
  const rejects: Reject[] = [];
  const notes: Record<string, number> = {};
  const note = (kind: string) => {
    notes[kind] = (notes[kind] ?? 0) + 1;
  };
  for (const item of items) {
    if (!isRecord(item)) {
      rejects.push(item);
      continue;
    }
    try {
      const featurized = featurize(rdkit, item, { hydrogens, maxAtoms, perceiveBonds, skeletons: source !== null });
      // A note reads "kind: details"; the kind is what can be counted.
      for (const text of featurized.notes) note(text.split(":", 1)[0]);
      refuseExcluded(featurized.molecule, settings.excluded);
      const labels = readLabels(item, settings.labels, note);
      for (const molecule of withGeometry(featurized, source, note)) molecules.push({ ...molecule, labels });
    } catch (error) {
      if (!(error instanceof MoleculeError)) {
        throw new DatasetError(`${formatLocation(item)}: could not be featurized: ${String(error)}`, { cause: error });
      }
      const { file, line, record, name } = item;
      rejects.push({ file, line, record, name, code: error.code, reason: error.reason });
    }
  }
  return { molecules, rejects, notes };
}

/** @throws MoleculeError for a structure that is to be left out */
function refuseExcluded(molecule: Molecule, excluded: ReadonlySet<string> | undefined): void {
  if (!excluded) return;
  const { atomFeatures, bonds, bondFeatures } = molecule;
  if (!excluded.has(connectivityKey(atomFeatures, bonds, bondFeatures))) return;
  throw new MoleculeError("excluded", "its structure, stereochemistry aside, is in a file of structures to leave out");
}

/** The molecule as it was read, or one for each geometry that was generated for it, all with the same `structureKey`. */
function withGeometry(
  { molecule, skeleton }: FeaturizedMolecule,
  source: ConformerSource | null,
  note: (kind: string) => void,
): readonly Molecule[] {
  if (!source || !skeleton) return [molecule];
  const { positions, notes } = source.conformersOf(skeleton);
  for (const kind of notes) note(kind);
  return positions.length === 0 ? [molecule] : positions.map((geometry) => ({ ...molecule, positions: geometry }));
}

/** What stands for a missing number in the tables of the field. */
const MISSING = new Set(["", "nan", "na", "n/a", "null", "none"]);

function readLabels(
  record: RawRecord,
  names: readonly string[],
  note: (kind: string) => void,
): Readonly<Record<string, number>> {
  const labels: Record<string, number> = {};
  for (const name of names) {
    const text = (record.properties[name] ?? "").trim();
    const value = Number(text);
    if (MISSING.has(text.toLowerCase())) {
      labels[name] = Number.NaN;
      note("missing-label");
    } else if (Number.isFinite(value)) {
      labels[name] = value;
    } else {
      labels[name] = Number.NaN;
      note("unparsable-label");
    }
  }
  return labels;
}
