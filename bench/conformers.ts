// Generated geometries against reference ones: success, stereo, heavy-atom RMSD and speed, ours beside OpenChemLib on the same molecules.
//
// node dist/bench/conformers.js [FOLDER of data sets] [molecules a set] [of them with OpenChemLib] [sets]
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import * as openchemlib from "openchemlib";
import { generateConformers } from "../src/chem/conformers.js";
import { readStructure } from "../src/chem/embed/structure.js";
import { writeStructureBlock } from "../src/chem/embed/structure-block.js";
import { featurize } from "../src/chem/featurize.js";
import { ATOM_FEATURES, type Molecule, type RawRecord } from "../src/chem/molecule.js";
import { loadOpenChemLib } from "../src/chem/openchemlib.js";
import { loadRdkit, RdkitFailure } from "../src/chem/rdkit.js";
import { isReject, readRecords } from "../src/data/readers/index.js";
import { report } from "./measure.js";
import { leastRmsd, matchings, type Shape } from "./shape-match.js";

const [folder = "../shared/data", most = "1000", compared = "100", ...sets] = process.argv.slice(2);
const BEST_OF = [1, 8];
const TIMEOUT = 60;
const rdkit = await loadRdkit();
const library = await loadOpenChemLib();

interface Reference {
  readonly smiles: string;
  readonly shape: Shape;
  readonly positions: Float32Array;
  /** Whether its SMILES has configured centres or double bonds. */
  readonly configured: boolean;
  readonly name: string;
}

/** A geometry as a generator gives it: heavy atoms, and the SMILES that RDKit reads from it. */
interface Geometry {
  readonly shape: Shape;
  readonly positions: ArrayLike<number>;
  readonly smiles: string;
}

interface Outcome {
  readonly reference: Reference;
  /** Å, least of all geometries; NaN without any. */
  readonly rmsd: number;
  readonly failed: boolean;
  readonly rightStereo: boolean;
  /** Of this process's CPU. */
  readonly seconds: number;
}

function shapeOf({ atomFeatures, bonds }: Molecule): Shape {
  const width = ATOM_FEATURES.length;
  return { elements: atomFeatures.filter((_, i) => i % width === 0), bonds };
}

const record = (text: string, format: RawRecord["format"]): RawRecord => ({
  ...{ format, text, name: "", file: "", line: 1, record: 1, properties: {} },
});
const featurized = (text: string, format: RawRecord["format"]): Molecule =>
  featurize(rdkit, record(text, format), { hydrogens: false, maxAtoms: 250 }).molecule;

/** Canonical SMILES with the stereo of the geometry; hydrogens folded. */
function smilesOf(text: string): string {
  const molecule = rdkit.parse(text, '{"removeHs":true}');
  try {
    return molecule.get_smiles();
  } finally {
    molecule.delete();
  }
}

/**
 * Whether a geometry has the configuration that a SMILES asks for: centres and double bonds by themselves, and neither where
 * the SMILES names none. What it leaves open may come out either way.
 */
function keepsConfiguration(wanted: string, got: string): boolean {
  const without = (smiles: string, marks: RegExp) => smilesOf(smiles.replaceAll(marks, ""));
  return [/[/\\]/g, /@+/g].every((others) => {
    const [left, right] = [without(wanted, others), without(got, others)];
    return left === right || !/[@/\\]/.test(left);
  });
}

/** Null for several parts, single atoms and what RDKit refuses. */
function referenceOf({ text, name }: RawRecord): Reference | null {
  try {
    // Written once more from its SMILES: some geometries hold stereo that SMILES has no sign for.
    const smiles = smilesOf(smilesOf(text));
    const molecule = featurized(text, "mol");
    const shape = shapeOf(molecule);
    if (smiles.includes(".") || shape.elements.length < 2 || !molecule.positions) return null;
    return { smiles, shape, positions: molecule.positions, configured: /[@/\\]/.test(smiles), name };
  } catch (error) {
    if (error instanceof RdkitFailure) return null;
    throw error;
  }
}

function generateOurs(smiles: string, count: number): Geometry[] {
  const { positions } = generateConformers(rdkit, library, smiles, { count, seed: 1, timeout: TIMEOUT });
  if (positions.length === 0) return [];
  const molecule = rdkit.parse(smiles);
  try {
    const structure = readStructure(molecule.get_json());
    const shape = shapeOf(featurized(smiles, "smiles"));
    return positions.map((x) => {
      return { shape, positions: x, smiles: smilesOf(writeStructureBlock(structure, Float64Array.from(x))) };
    });
  } finally {
    molecule.delete();
  }
}

function generateTheirs(smiles: string, count: number): Geometry[] {
  const generator = new openchemlib.ConformerGenerator(1);
  const molecule = openchemlib.Molecule.fromSmiles(smiles);
  const found: openchemlib.Molecule[] = [];
  if (count === 1) {
    const one = generator.getOneConformerAsMolecule(molecule);
    if (one) found.push(one);
  } else if (generator.initializeConformers(molecule)) {
    for (let next = generator.getNextConformerAsMolecule(); next; next = generator.getNextConformerAsMolecule()) {
      if (found.push(next) === count) break;
    }
  }
  return found.flatMap((conformer) => {
    try {
      new openchemlib.ForceFieldMMFF94(conformer, openchemlib.ForceFieldMMFF94.MMFF94).minimise();
    } catch {
      // What MMFF94 does not cover stays as the generator left it, as with ours.
    }
    const block = conformer.toMolfileV3();
    const { positions, ...own } = featurized(block, "mol");
    return positions ? [{ shape: shapeOf({ ...own, positions }), positions, smiles: smilesOf(block) }] : [];
  });
}

function measure(
  reference: Reference,
  generate: (smiles: string, count: number) => Geometry[],
  count: number,
): Outcome {
  const before = process.cpuUsage();
  let geometries: readonly Geometry[] = [];
  try {
    geometries = generate(reference.smiles, count);
  } catch {
    // Counted as a failure.
  }
  const { user, system } = process.cpuUsage(before);
  const distances = geometries.map(({ shape, positions }) =>
    leastRmsd(reference.positions, positions, matchings(reference.shape, shape)),
  );
  const rmsd = distances.length > 0 ? Math.min(...distances) : Number.NaN;
  return {
    ...{ reference, rmsd, seconds: (user + system) / 1e6, failed: !Number.isFinite(rmsd) },
    rightStereo:
      geometries.length > 0 && geometries.every(({ smiles }) => keepsConfiguration(reference.smiles, smiles)),
  };
}

const rounded = (value: number) => Number(value.toPrecision(3));

function summarise(outcomes: readonly Outcome[]) {
  const sound = outcomes.filter(({ failed }) => !failed).map(({ rmsd }) => rmsd);
  const sorted = Float64Array.from(sound).sort();
  const quantile = (share: number) => rounded(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]);
  const configured = outcomes.filter(({ reference, failed }) => reference.configured && !failed);
  const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  return {
    molecules: outcomes.length,
    failures: outcomes.length - sound.length,
    configured: configured.length,
    rightStereo: configured.filter(({ rightStereo }) => rightStereo).length,
    rmsdMean: rounded(sorted.reduce((sum, value) => sum + value, 0) / sorted.length),
    rmsdQuantiles: {
      q10: quantile(0.1),
      q25: quantile(0.25),
      median: quantile(0.5),
      q75: quantile(0.75),
      q90: quantile(0.9),
    },
    below1: rounded(sound.filter((value) => value < 1).length / sound.length),
    moleculesPerSecondCore: seconds > 0 ? rounded(outcomes.length / seconds) : null,
  };
}

/** Single-component references, one a structure, evenly over the files. */
async function referencesOf(paths: readonly string[], wanted: number): Promise<Reference[]> {
  const all: RawRecord[] = [];
  for (const path of paths) {
    let previous = "";
    for await (const item of readRecords(path)) {
      // Conformers of a molecule stand one after another: the first of each is taken.
      const own = isReject(item) ? "" : (item.properties["SMILES QCArchive"] ?? item.text);
      if (!isReject(item) && own !== previous) all.push(item);
      previous = own;
    }
  }
  const found: Reference[] = [];
  const seen = new Set<string>();
  // An order that depends on the records alone, not on how many are wanted: smaller runs are parts of larger ones.
  const key = ({ text }: RawRecord) => createHash("sha256").update(text).digest("hex");
  const shuffled = all.map((item) => [key(item), item] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [, item] of shuffled) {
    if (found.length >= wanted) break;
    const reference = referenceOf(item);
    if (!reference || seen.has(reference.smiles)) continue;
    seen.add(reference.smiles);
    found.push(reference);
  }
  return found;
}

/** How far the MMFF geometries that the set brings along lie from its DFT geometries: what the force field costs by itself. */
async function yardstick(path: string, references: readonly Reference[]): Promise<Outcome[]> {
  const byName = new Map(references.map((reference) => [reference.name, reference]));
  const outcomes: Outcome[] = [];
  for await (const item of readRecords(path)) {
    const reference = isReject(item) ? undefined : byName.get(item.name);
    if (isReject(item) || !reference) continue;
    const molecule = featurized(item.text, "mol");
    const ways = matchings(reference.shape, shapeOf(molecule));
    const rmsd = molecule.positions ? leastRmsd(reference.positions, molecule.positions, ways) : Number.NaN;
    const rightStereo = keepsConfiguration(reference.smiles, smilesOf(item.text));
    outcomes.push({ reference, rmsd, failed: !Number.isFinite(rmsd), rightStereo, seconds: 0 });
  }
  return outcomes;
}

const openff = join(folder, "openff-industry");
const share = (wanted: string, part: number) => Math.round(Number(wanted) * part);
const SETS = [
  { name: "cascade", paths: [join(folder, "cascade", "DFT8K__DFT.sdf.gz")], part: 1 },
  { name: "nci-xtb", paths: ["data/nci-xtb/nci-xtb.sdf.gz"], part: 1 },
  {
    name: "openff",
    paths: existsSync(openff)
      ? readdirSync(openff)
          .sort()
          .filter((file) => file.endsWith(".sdf.gz"))
          .map((file) => join(openff, file))
          .slice(0, 2)
      : [],
    part: 0.3,
  },
];

for (const { name: set, paths, part } of SETS.filter(({ name }) => sets.length === 0 || sets.includes(name))) {
  const present = paths.filter((path) => existsSync(path));
  if (present.length === 0) {
    console.error(`${set}: skipped, ${folder} has no such files`);
    continue;
  }
  const references = await referencesOf(present, share(most, part));
  const pairs = references.slice(0, share(compared, part));
  const forceField = join(folder, "cascade", "DFT8K__FF.sdf.gz");
  if (set === "cascade" && existsSync(forceField)) {
    report("conformers", {
      set,
      method: "MMFF geometries of the set",
      ...summarise(await yardstick(forceField, references)),
    });
  }
  for (const bestOf of BEST_OF) {
    const ours = references.map((reference) => measure(reference, generateOurs, bestOf));
    report("conformers", { set, method: "ours", bestOf, ...summarise(ours) });
    if (pairs.length === 0) continue;
    const theirs = pairs.map((reference) => measure(reference, generateTheirs, bestOf));
    const own = ours.slice(0, pairs.length);
    const nearer = own.filter(({ rmsd }, i) => rmsd < theirs[i].rmsd).length;
    report("conformers", { set, method: "ours, the compared ones", bestOf, ...summarise(own) });
    report("conformers", { set, method: "OpenChemLib", bestOf, ...summarise(theirs), oursNearer: nearer });
  }
}
