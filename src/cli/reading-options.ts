// The options that say how molecule files are read, shared by the commands that read them.
import { type Command, Option } from "commander";
import { LABELLED_SETS } from "../data/labelled-sets.js";
import { FILE_FORMATS, type FileFormat } from "../data/readers/index.js";
import { ConfigError } from "../errors.js";
import type { PrepareOptions, PrepareProgress } from "../tasks/prepare.js";
import { createProgress, type Progress, type ProgressMode } from "../train/progress.js";
import { given, integer, nameList, positiveInteger, positiveNumber } from "./arguments.js";

export interface ReadingFlags {
  readonly labels?: readonly string[];
  readonly hydrogens?: true;
  readonly maxAtoms?: number;
  readonly smilesColumn?: string;
  readonly format?: FileFormat;
  readonly propertiesTable?: string;
  readonly part?: string;
  readonly derive?: "qm9";
  readonly dataset?: string;
  readonly exclude?: string;
  readonly excludeStructures?: readonly string[];
  readonly perceiveBonds?: true;
  readonly conformers?: number;
  readonly conformerSeed?: number;
  readonly conformerTimeout?: number;
  readonly conformerCache?: string;
}

export function addReadingOptions(command: Command): Command {
  command
    .optionsGroup("Reading molecules:")
    .option("--labels <names>", "columns or property tags to keep as labels, between commas", nameList)
    .option("--hydrogens", "keep hydrogens as atoms")
    .option("--max-atoms <count>", "reject molecules with more atoms (default: 256)", positiveInteger)
    .option("--smiles-column <name>", "column of a table that holds the SMILES (default: found by its name)")
    .addOption(
      new Option("--format <format>", "read the files as this, whatever their names say").choices(FILE_FORMATS),
    )
    .option("--properties-table <file>", "table with one row for each record of the file, in the same order")
    .option("--part <name>", "part of a data set that comes with a split (train, valid, ...)")
    .addOption(
      new Option("--derive <set>", "add QM9's energies in eV and per free atoms to the properties").choices(["qm9"]),
    )
    .addOption(
      new Option("--dataset <name>", "a known data set, whose SMILES and label columns are found by name").choices(
        LABELLED_SETS.map((set) => set.name),
      ),
    )
    .option("--exclude <file>", "list of molecules to leave out, such as QM9's uncharacterized.txt")
    .option("--exclude-structures <files>", "leave out what is in these files, stereo aside; between commas", nameList)
    .option("--perceive-bonds", "guess the bonds of XYZ records that give none from the distances of their atoms");
  return command
    .optionsGroup("Geometries of molecules that come without:")
    .option("--conformers <count>", "generate this many for each, by rising energy (MMFF94)", positiveInteger)
    .option("--conformer-seed <seed>", "the same seed gives the same geometries (default: 0)", integer)
    .option("--conformer-timeout <seconds>", "time limit for each molecule (default: 10)", positiveNumber)
    .option("--conformer-cache <folder>", "keep geometries here for later runs");
}

export function readingOptions(flags: ReadingFlags): PrepareOptions {
  const { labels, hydrogens, maxAtoms, dataset, exclude, excludeStructures, perceiveBonds } = flags;
  const { smilesColumn, format, propertiesTable, part, derive } = flags;
  const reader = given({ smilesColumn, format, propertiesTable, part, derive });
  return {
    ...given({ labels, hydrogens, maxAtoms, dataset, exclude, excludeStructures, perceiveBonds }),
    ...(Object.keys(reader).length > 0 ? { reader } : {}),
    ...conformerOptions(flags),
  };
}

/** @throws ConfigError when details are given without `--conformers` */
function conformerOptions(flags: ReadingFlags): Pick<PrepareOptions, "conformers"> {
  const { conformers: count, conformerSeed, conformerTimeout, conformerCache } = flags;
  const details = given({ seed: conformerSeed, timeout: conformerTimeout, cacheDir: conformerCache });
  if (count !== undefined) return { conformers: { count, ...details } };
  if (Object.keys(details).length === 0) return {};
  throw new ConfigError("conformer options: expected --conformers <count> with them, got none");
}

/** Draws the progress of reading files by their bytes; it begins with the first report. */
export function readingProgress(mode: ProgressMode | undefined): {
  readonly onProgress: (report: PrepareProgress) => void;
  finish(): void;
} {
  const kilobytes = (bytes: number) => Math.ceil(bytes / 1000);
  let progress: Progress | null = null;
  let molecules = 0;
  return {
    onProgress(report) {
      progress ??= createProgress({
        label: "prepare",
        total: kilobytes(report.totalBytes),
        stepUnit: "kB",
        stream: process.stderr,
        ...(mode ? { mode } : {}),
      });
      const counts = { molecules: report.molecules, rejects: report.rejects };
      progress.update(kilobytes(report.bytes), counts, report.molecules - molecules);
      molecules = report.molecules;
    },
    finish: () => progress?.finish(),
  };
}
