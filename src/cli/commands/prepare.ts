// moleblend prepare: files of molecules → a corpus folder.
import type { Command } from "commander";
import { type PrepareSummary, prepare } from "../../tasks/prepare.js";
import { positiveInteger, wholeNumber } from "../arguments.js";
import { alignColumns, printJson, printLines, printRemark, thousands } from "../output.js";
import { addReadingOptions, type ReadingFlags, readingOptions, readingProgress } from "../reading-options.js";
import { listenForStop } from "../stop-request.js";

/** The corpus is there, but not all of the inputs could be read. */
const DONE_IN_PART = 3;

interface PrepareFlags extends ReadingFlags {
  readonly out: string;
  readonly workers?: number;
  readonly shardSize?: number;
  readonly quiet?: true;
  readonly json?: true;
}

export function addPrepareCommand(program: Command): void {
  const command = program
    .command("prepare")
    .summary("turn files of molecules into a corpus")
    .description(
      "Turns files of molecules (SMILES, CSV, TSV, JSON lines, SDF, XYZ, Parquet, Arrow, LMDB; also .gz, .bz2 and .tar) or the folders of PCQM4Mv2 and QM9 into a corpus folder. Records that cannot be used are listed in rejects.jsonl; the others go on.",
    )
    .argument("<inputs...>", "files of molecules, or folders of a known layout")
    .requiredOption("-o, --out <folder>", "corpus folder to write");
  addReadingOptions(command)
    .optionsGroup("Job:")
    .option("--workers <count>", "threads that featurize; 0 works in the main one (default: one a core)", wholeNumber)
    .option("--shard-size <count>", "molecules a shard", positiveInteger)
    .option("-q, --quiet", "no progress")
    .option("--json", "print one JSON document on stdout")
    .addHelpText(
      "after",
      "\nExample:\n  moleblend prepare molecules.csv --smiles-column smiles --labels gap --out corpus",
    )
    .action(runPrepare);
}

async function runPrepare(inputs: readonly string[], flags: PrepareFlags): Promise<void> {
  const stop = listenForStop("ending; nothing is left behind");
  const progress = readingProgress(flags.quiet ? "silent" : undefined);
  let summary: PrepareSummary;
  try {
    summary = await prepare(inputs, flags.out, {
      ...readingOptions(flags),
      ...(flags.workers === undefined ? {} : { workers: flags.workers }),
      ...(flags.shardSize === undefined ? {} : { shardSize: flags.shardSize }),
      onProgress: progress.onProgress,
      signal: stop.signal,
    });
  } catch (error) {
    if (!stop.requested()) throw error;
    process.exitCode = stop.exitCode();
    return;
  } finally {
    progress.finish();
    stop.dispose();
  }
  for (const { reason } of summary.damaged) printRemark(`damaged input, read up to the damage: ${reason}`);
  if (summary.damaged.length > 0) process.exitCode = DONE_IN_PART;
  if (flags.json) printJson(summary);
  else printLines(describe(summary));
}

function describe(summary: PrepareSummary): string[] {
  const rejected = Object.values(summary.rejects).reduce((sum, count) => sum + count, 0);
  const counts = (kinds: Readonly<Record<string, number>>) =>
    Object.entries(kinds)
      .sort(([, a], [, b]) => b - a)
      .map(([kind, count]) => [`  ${kind}`, thousands(count)]);
  const table = alignColumns([
    ["records", thousands(summary.records)],
    ["molecules", thousands(summary.molecules)],
    ["  with 3D geometry", thousands(summary.with3d)],
    ["  distinct structures", thousands(summary.structures)],
    ["  atoms", thousands(summary.atoms)],
    ["rejected", thousands(rejected)],
    ...counts(summary.rejects),
    ...(Object.keys(summary.notes).length > 0 ? [["remarks on molecules kept", ""], ...counts(summary.notes)] : []),
  ]);
  const speed = `${thousands(Math.round(summary.moleculesPerSecond))} molecules/s`;
  return [
    ...table,
    `${summary.seconds.toFixed(1)} s, ${speed}`,
    `corpus: ${summary.outDir}`,
    ...(rejected > 0 ? [`rejected records, with the reason of each: ${summary.rejectsPath}`] : []),
  ];
}
