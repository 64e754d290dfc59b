// The options of commands that send molecules through a model.
import { type Command, Option } from "commander";
import { FILE_FORMATS, type FileFormat, type ReaderOptions } from "../data/readers/index.js";
import { createProgress, type ProgressMode } from "../train/progress.js";
import { printRemark } from "./output.js";

export interface InputFlags {
  readonly smilesColumn?: string;
  readonly inputFormat?: FileFormat;
}

export function addInputOptions(command: Command): Command {
  return command
    .optionsGroup("Reading molecules:")
    .option("--smiles-column <name>", "column of a table that holds the SMILES (default: found by its name)")
    .addOption(
      new Option("--input-format <format>", "read the files as this, whatever their names say").choices(FILE_FORMATS),
    );
}

/** Undefined where nothing was given. */
export function readerOf({ smilesColumn, inputFormat }: InputFlags): ReaderOptions | undefined {
  if (smilesColumn === undefined && inputFormat === undefined) return undefined;
  return { ...(smilesColumn ? { smilesColumn } : {}), ...(inputFormat ? { format: inputFormat } : {}) };
}

/** A line of progress for a job whose end is not known. */
export function countingProgress(label: string, mode: ProgressMode | undefined) {
  const progress = createProgress({
    label,
    total: 0,
    stepUnit: "molecules",
    stream: process.stderr,
    ...(mode ? { mode } : {}),
  });
  let done = 0;
  return {
    onProgress(molecules: number, rejects: number) {
      progress.update(molecules, { rejects }, molecules - done);
      done = molecules;
    },
    finish: () => progress.finish(),
  };
}

interface InferenceSummary {
  readonly molecules: number;
  readonly rejects: Readonly<Record<string, number>>;
  readonly rejectsPath: string | null;
  readonly firstReject: string | null;
  readonly moleculesPerSecond: number;
  readonly seconds: number;
}

/** What is said on stderr at the end of a job, whose table may have gone to stdout. */
export function remarkOnInference(summary: InferenceSummary, details: readonly string[]): void {
  const rejected = Object.values(summary.rejects).reduce((sum, count) => sum + count, 0);
  const speed = `${Math.round(summary.moleculesPerSecond)} molecules/s, ${summary.seconds.toFixed(1)} s`;
  printRemark(`${summary.molecules} molecules, ${rejected} rejected; ${speed}`);
  if (rejected > 0) {
    const kinds = Object.entries(summary.rejects).map(([code, count]) => `${count} ${code}`);
    const where = summary.rejectsPath === null ? `first: ${summary.firstReject}` : `listed in ${summary.rejectsPath}`;
    printRemark(`rejected: ${kinds.join(", ")}; ${where}`);
  }
  for (const line of details) printRemark(line);
}
