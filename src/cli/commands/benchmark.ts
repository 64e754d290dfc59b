// moleblend benchmark moleculenet: sets × methods × seeds → a table, cell by cell.
import { type Command, InvalidArgumentError, Option } from "commander";
import { SPLIT_METHODS, type SplitMethod } from "../../data/task-split.js";
import { PRESETS } from "../../model/config.js";
import { type BenchmarkSummary, benchmarkMoleculenet, MOLECULENET_SETS } from "../../tasks/benchmark.js";
import { BENCHMARK_METHODS, type BenchmarkMethod } from "../../tasks/benchmark-table.js";
import type { FinetuneOverrides } from "../../train/task-settings.js";
import { nameList, positiveInteger, positiveNumber, seedList, shareBelowOne } from "../arguments.js";
import { commandLine, printJson, printLines, printRemark } from "../output.js";
import { listenForStop } from "../stop-request.js";

interface BenchmarkFlags extends FinetuneOverrides {
  readonly data: string;
  readonly sets?: readonly string[];
  readonly methods?: readonly BenchmarkMethod[];
  readonly seeds?: readonly number[];
  readonly split: SplitMethod;
  readonly from?: string;
  readonly preset?: string;
  readonly out: string;
  readonly threads?: number;
  readonly quiet?: true;
  readonly json?: true;
}

function methodList(text: string): readonly BenchmarkMethod[] {
  const names = nameList(text);
  const unknown = names.find((name) => !(BENCHMARK_METHODS as readonly string[]).includes(name));
  if (unknown === undefined) return names as readonly BenchmarkMethod[];
  throw new InvalidArgumentError(`Expected some of ${BENCHMARK_METHODS.join(", ")} between commas.`);
}

export function addBenchmarkCommand(program: Command): void {
  const benchmark = program.command("benchmark").summary("compare methods on public data sets");
  benchmark
    .command("moleculenet")
    .description(
      "Fine-tunes a pretrained model and the same model from scratch, and trains simple methods, on sets of MoleculeNet; writes moleculenet.md and moleculenet.json. A command that was stopped goes on where it was.",
    )
    .requiredOption("--data <folder>", "folder with the CSV files of the sets")
    .option("--sets <names>", `some of ${MOLECULENET_SETS.join(", ")} (default: all)`, (text: string) => nameList(text))
    .option("--methods <names>", `some of ${BENCHMARK_METHODS.join(", ")}`, methodList)
    .option("--seeds <integers>", "one result each (default: 1,2,3)", seedList)
    .addOption(
      new Option("--split <method>", "how each set is split")
        .choices(SPLIT_METHODS.filter((method) => method !== "given"))
        .default("scaffold"),
    )
    .option("--from <run>", "pretrained model: a run or one of its checkpoints")
    .addOption(new Option("--preset <name>", "sizes of the model").choices(Object.keys(PRESETS)).default("mini"))
    .option("--epochs <count>", "most epochs", positiveInteger)
    .option(
      "--patience <epochs>",
      "epochs without a better validation value after which training ends",
      positiveInteger,
    )
    .option("--batch-size <count>", "molecules a batch", positiveInteger)
    .option("--learning-rate <rate>", "highest learning rate", positiveNumber)
    .option("--layer-decay <factor>", "learning rate of each layer over that of the one above it", positiveNumber)
    .option("--dropout <probability>", "of attention and activations", shareBelowOne)
    .option("--out <folder>", "where results are kept", "results")
    .option("--threads <count>", "threads of the runtime (default: one a core)", positiveInteger)
    .option("-q, --quiet", "no progress")
    .option("--json", "print one JSON document on stdout")
    .addHelpText(
      "after",
      "\nExample:\n  moleblend benchmark moleculenet --data moleculenet --sets esol,bbbp --from runs/pretrain-mini",
    )
    .action(runBenchmark);
}

async function runBenchmark(flags: BenchmarkFlags): Promise<void> {
  const stop = listenForStop("ending; finished results are kept");
  const { epochs, patience, batchSize, learningRate, layerDecay, dropout } = flags;
  const training = Object.fromEntries(
    Object.entries({ epochs, patience, batchSize, learningRate, layerDecay, dropout }).filter(
      ([, value]) => value !== undefined,
    ),
  ) as FinetuneOverrides;
  let summary: BenchmarkSummary;
  try {
    summary = await benchmarkMoleculenet({
      dataDir: flags.data,
      sets: flags.sets ?? MOLECULENET_SETS,
      methods: flags.methods ?? (flags.from ? BENCHMARK_METHODS : BENCHMARK_METHODS.slice(1)),
      seeds: flags.seeds ?? [1, 2, 3],
      split: flags.split,
      from: flags.from ?? null,
      ...(flags.preset === undefined ? {} : { preset: flags.preset }),
      training,
      outDir: flags.out,
      ...(flags.threads === undefined ? {} : { threads: flags.threads }),
      command: commandLine(),
      shouldStop: stop.requested,
      onCell: ({ set, method, seed, metric, test, seconds }, done, total) => {
        if (flags.quiet) return;
        printRemark(
          `${done}/${total} ${set}, ${method}, seed ${seed}: ${metric} ${test.toFixed(4)}, ${seconds.toFixed(0)} s`,
        );
      },
    });
  } finally {
    stop.dispose();
  }
  if (flags.json) printJson(summary);
  else printLines([`table: ${summary.markdown}`, `results: ${summary.json}`]);
  if (!summary.finished) process.exitCode = stop.exitCode();
}
