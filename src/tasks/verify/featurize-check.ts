// Compares features and relations of every molecule of a fixture file with the reference's.
import { readFileSync } from "node:fs";
import { featurize } from "../../chem/featurize.js";
import { ATOM_FEATURES, type Molecule } from "../../chem/molecule.js";
import type { Rdkit } from "../../chem/rdkit.js";
import { sha256 } from "../../data/manifest.js";
import { MoleculeError } from "../../errors.js";
import { referenceEdgeInput, referenceLayout } from "../../relations/reference-layout.js";
import { MAX_HOPS } from "../../relations/relations.js";
import type { Comparison } from "./comparison.js";

interface GoldenMolecule {
  readonly smiles: string;
  readonly atoms: readonly (readonly number[])[];
  readonly bonds: readonly (readonly number[])[];
  readonly in_degree: readonly number[];
  readonly max_dist: number;
  readonly sha: Readonly<Record<string, string>>;
}

const ATOM_COLUMNS = ATOM_FEATURES.length;
const HYBRIDIZATION = ATOM_FEATURES.findIndex(({ name }) => name === "hybridization");
const CONJUGATED = 4;

/** Atomic numbers that are no metals (nor metalloids that bind datively), from 1; 118 is "misc". */
const NON_METALS = new Set([1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 52, 53, 54, 85, 86, 119]);

/** A SMILES as a record, for the featurizer. */
export function parseSmiles(rdkit: Rdkit, smiles: string): Molecule {
  const record = {
    format: "smiles",
    text: smiles,
    name: smiles,
    file: "",
    line: 1,
    record: 1,
    properties: {},
  } as const;
  return featurize(rdkit, record, { hydrogens: false, maxAtoms: 65535 }).molecule;
}

interface Verdict {
  readonly kind: "equal" | "rdkit-version" | "different";
  readonly note: string;
}

/**
 * The fixtures come from RDKit 2022.09. Two changes since are known and told apart from mistakes: a stricter valence
 * model, which refuses molecules, and how hybridization and conjugation are perceived next to metals.
 */
function compareFeatures(rdkit: Rdkit, golden: GoldenMolecule): Verdict {
  let molecule: Molecule;
  try {
    molecule = parseSmiles(rdkit, golden.smiles);
  } catch (error) {
    if (!(error instanceof MoleculeError)) throw error;
    const valence = /Explicit valence/.test(error.reason);
    return { kind: valence ? "rdkit-version" : "different", note: `refused: ${error.reason}` };
  }
  const atoms = golden.atoms.flat();
  const bonds = golden.bonds.flat();
  const ours = Array.from({ length: molecule.bonds.length / 2 }, (_, i) => [
    ...molecule.bonds.subarray(i * 2, i * 2 + 2),
    ...molecule.bondFeatures.subarray(i * 3, i * 3 + 3),
  ]).flat();
  if (molecule.atomFeatures.length !== atoms.length || ours.length !== bonds.length) {
    return { kind: "different", note: "another number of atoms or bonds" };
  }
  const columns = new Set([
    ...atoms.flatMap((value, i) => (value === molecule.atomFeatures[i] ? [] : [ATOM_FEATURES[i % ATOM_COLUMNS].name])),
    ...bonds.flatMap((value, i) => (value === ours[i] ? [] : [i % 5 === CONJUGATED ? "conjugated" : "bonds"])),
  ]);
  if (columns.size === 0) return { kind: "equal", note: "" };
  const perception = [...columns].every((name) => name === ATOM_FEATURES[HYBRIDIZATION].name || name === "conjugated");
  const metal = golden.atoms.some(([z]) => !NON_METALS.has(z + 1));
  const note = `${[...columns].join(", ")} differ${metal ? " in a molecule with a metal" : ""}`;
  return { kind: perception && metal ? "rdkit-version" : "different", note };
}

const sha = (values: Int32Array): string => sha256(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));

/** The relations follow from the fixture's own atoms and bonds, whatever RDKit says: every array must be equal. */
function relationMistakes(golden: GoldenMolecule): string[] {
  const bonds = Uint16Array.from(golden.bonds.flatMap((bond) => bond.slice(0, 2)));
  const bondFeatures = Uint8Array.from(golden.bonds.flatMap(([, , ...features]) => features));
  const layout = referenceLayout(Uint8Array.from(golden.atoms.flat()), bonds, bondFeatures);
  const arrays: Record<string, Int32Array> = {
    x: layout.x,
    edge_index: layout.edgeIndex,
    edge_feat: layout.edgeFeatures,
    attn_edge_type: layout.attentionEdgeType,
    spd: layout.spd,
    path: layout.path,
    edge_input: referenceEdgeInput(layout),
    edge_input5: referenceEdgeInput(layout, MAX_HOPS),
  };
  return Object.entries(arrays).flatMap(([name, values]) => (sha(values) === golden.sha[name] ? [] : [name]));
}

/** @param path a `molecules.jsonl` */
export function checkFeaturize(rdkit: Rdkit, path: string, label: string): Comparison[] {
  const lines = readFileSync(path, "utf8").trim().split("\n");
  let different = 0;
  let related = 0;
  const listed: Comparison[] = [];
  for (const line of lines) {
    const golden = JSON.parse(line) as GoldenMolecule;
    const { kind, note } = compareFeatures(rdkit, golden);
    if (kind === "different") different++;
    if (kind !== "equal") {
      const reason = kind === "rdkit-version" ? `lies in the RDKit version: ${note}` : note;
      const error = kind === "different" ? 1 : 0;
      listed.push({
        name: `${label} ${golden.smiles}`,
        error,
        tolerance: 0,
        kind: error ? "equal" : "skipped",
        note: reason,
      });
    }
    const mistakes = relationMistakes(golden);
    if (mistakes.length > 0) {
      related++;
      listed.push({
        name: `${label} ${golden.smiles}`,
        error: mistakes.length,
        tolerance: 0,
        kind: "equal",
        note: mistakes.join(", "),
      });
    }
  }
  const equal = lines.length - listed.filter(({ kind }) => kind === "skipped").length - different;
  const features = `${equal} of ${lines.length} molecules`;
  return [
    { name: `${label} atom and bond features`, error: different, tolerance: 0, kind: "equal", note: features },
    {
      name: `${label} relations`,
      error: related,
      tolerance: 0,
      kind: "equal",
      note: `${lines.length - related} of ${lines.length} molecules`,
    },
    ...listed,
  ];
}
