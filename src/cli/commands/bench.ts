// moleblend bench: the speed of training steps and of everything before them.
import type { Command } from "commander";
import { bench, formatBench } from "../../tasks/bench.js";
import { positiveInteger, positiveNumber, presetList } from "../arguments.js";
import { printJson, printLines, printRemark } from "../output.js";
import { embeddedMolecules } from "../package-root.js";

interface BenchFlags {
  readonly presets: readonly string[];
  readonly cache: string;
  readonly batchSize?: number;
  readonly steps?: number;
  readonly budget?: number;
  readonly threads?: number;
  readonly replicas?: number;
  readonly profile?: true;
  readonly yardstick?: true;
  readonly meanAtoms?: number;
  readonly json?: true;
}

export function addBenchCommand(program: Command): void {
  program
    .command("bench")
    .summary("measure training speed")
    .description("Measures training steps by preset, each in a process of its own, and the speed of making batches.")
    .argument("[input]", "a corpus folder or a file of molecules (default: the molecules that come with moleblend)")
    .option("--presets <names>", "presets to measure, between commas", presetList, ["mini", "base", "paper"])
    .option("--batch-size <count>", "molecules a batch (default: 32)", positiveInteger)
    .option("--steps <count>", "steps to count (default: 20)", positiveInteger)
    .option("--budget <seconds>", "most time for the steps of a preset (default: 60)", positiveNumber)
    .option("--threads <count>", "threads of the runtime (default: one a core)", positiveInteger)
    .option(
      "--replicas <count>",
      "replicas of the model that share each batch (default: as in training)",
      positiveInteger,
    )
    .option("--profile", "add the time of each operator and part of the model")
    .option("--yardstick", "measure the matrix products of a step alone, in the same process")
    .option("--mean-atoms <count>", "leave out the largest molecules down to this mean (default: 11.7)", positiveNumber)
    .option("--cache <folder>", "where a file of molecules is prepared to", "runs/corpora")
    .option("--json", "print one JSON document on stdout")
    .addHelpText("after", "\nExample:\n  moleblend bench --presets base,paper --yardstick --profile")
    .action(runBench);
}

async function runBench(input: string | undefined, { cache, json, ...flags }: BenchFlags): Promise<void> {
  const report = await bench({
    ...flags,
    input: input ?? embeddedMolecules(),
    cacheDir: cache,
    onProgress: (what) => printRemark(`measuring ${what}`),
  });
  if (json) printJson(report);
  else printLines([formatBench(report)]);
}
