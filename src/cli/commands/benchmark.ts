// moleblend benchmark: tasks × methods × seeds → a table, cell by cell.
import { type Command, InvalidArgumentError, Option } from "commander";
import { SPLIT_METHODS, type SplitMethod } from "../../data/task-split.js";
import { PRESETS } from "../../model/config.js";
import { type BenchmarkTask, runBenchmark } from "../../tasks/benchmark.js";
import { BENCHMARK_METHODS, type BenchmarkMethod } from "../../tasks/benchmark-table.js";
import { labelTasks, MOLECULENET_SETS, moleculenetTasks } from "../../tasks/benchmark-tasks.js";
import { METRICS } from "../../train/metrics.js";
import type { FinetuneOverrides } from "../../train/task-settings.js";
import { given, nameList, positiveInteger, positiveNumber, seedList, shareBelowOne } from "../arguments.js";
import { commandLine, printJson, printLines, printRemark } from "../output.js";
import { addReadingOptions, type ReadingFlags, readingOptions } from "../reading-options.js";
import { listenForStop } from "../stop-request.js";

interface BenchmarkFlags extends FinetuneOverrides {
  readonly methods?: readonly BenchmarkMethod[];
  readonly seeds?: readonly number[];
  readonly split: SplitMethod;
  readonly from?: string;
  readonly preset: string;
  readonly out: string;
  readonly threads?: number;
  readonly quiet?: true;
  readonly json?: true;
}

interface MoleculenetFlags extends BenchmarkFlags {
  readonly data: string;
  readonly sets?: readonly string[];
}

interface MoleculesFlags extends Omit<BenchmarkFlags, "metric" | "conformers">, ReadingFlags {
  readonly targets: readonly string[];
  readonly metric: string;
  readonly name: string;
}

function methodList(text: string): readonly BenchmarkMethod[] {
  const names = nameList(text);
  const unknown = names.find((name) => !(BENCHMARK_METHODS as readonly string[]).includes(name));
  if (unknown === undefined) return names as readonly BenchmarkMethod[];
  throw new InvalidArgumentError(`Expected some of ${BENCHMARK_METHODS.join(", ")} between commas.`);
}

function addMethodOptions(command: Command, split: SplitMethod): Command {
  return command
    .optionsGroup("Methods:")
    .option("--methods <names>", `some of ${BENCHMARK_METHODS.join(", ")}`, methodList)
    .option("--seeds <integers>", "one result each (default: 1,2,3)", seedList)
    .addOption(
      new Option("--split <method>", "how molecules are divided")
        .choices(SPLIT_METHODS.filter((method) => method !== "given"))
        .default(split),
    )
    .option("--from <run>", "pretrained model: a run or one of its checkpoints")
    .addOption(new Option("--preset <name>", "sizes of the model").choices(Object.keys(PRESETS)).default("mini"))
    .optionsGroup("Training:")
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
    .optionsGroup("Job:")
    .option("--out <folder>", "where results are kept", "results")
    .option("--threads <count>", "threads of the runtime (default: one a core)", positiveInteger)
    .option("-q, --quiet", "no progress")
    .option("--json", "print one JSON document on stdout");
}

export function addBenchmarkCommand(program: Command): void {
  const benchmark = program.command("benchmark").summary("compare methods on labelled molecules");
  const moleculenet = benchmark
    .command("moleculenet")
    .summary("compare methods on sets of MoleculeNet")
    .description(
      "Fine-tunes a pretrained model and the same model from scratch, and trains simple methods, on sets of MoleculeNet; writes moleculenet.md and moleculenet.json. A command that was stopped goes on where it was.",
    )
    .requiredOption("--data <folder>", "folder with the CSV files of the sets")
    .option("--sets <names>", `some of ${MOLECULENET_SETS.join(", ")} (default: all)`, (text: string) =>
      nameList(text),
    );
  addMethodOptions(moleculenet, "scaffold")
    .addHelpText(
      "after",
      "\nExample:\n  moleblend benchmark moleculenet --data moleculenet --sets esol,bbbp --from runs/pretrain-mini",
    )
    .action((flags: MoleculenetFlags) =>
      compare(flags, {
        ...{ title: "MoleculeNet", name: "moleculenet" },
        tasks: moleculenetTasks(flags.data, flags.sets ?? MOLECULENET_SETS),
      }),
    );
  const molecules = benchmark
    .command("molecules")
    .summary("compare methods on files of your own")
    .description(
      "The same on files of labelled molecules, each label being a task of its own; with 3D geometry also what a model gains that sees the graph (2d), the distances (3d) or both. Writes NAME.md and NAME.json.",
    )
    .argument("<inputs...>", "files of molecules with labels")
    .requiredOption("--targets <names>", "columns or property tags, between commas", nameList)
    .addOption(
      new Option("--metric <name>", "chooses the epoch and is reported").choices(Object.keys(METRICS)).default("mae"),
    )
    .option("--name <name>", "name of the table", "molecules");
  addReadingOptions(addMethodOptions(molecules, "random"))
    .addHelpText(
      "after",
      '\nExample:\n  moleblend benchmark molecules molecules.sdf --targets gap --from runs/pretrain-mini --methods "pretrained 2d,pretrained both,scratch both,random forest"',
    )
    .action((inputs: readonly string[], flags: MoleculesFlags) =>
      compare(flags, {
        ...{ title: flags.name, name: flags.name },
        tasks: labelTasks(inputs, flags.targets, flags.metric, readingOptions(flags)),
      }),
    );
}

interface Table {
  readonly title: string;
  readonly name: string;
  readonly tasks: readonly BenchmarkTask[];
}

async function compare(flags: Omit<BenchmarkFlags, "metric" | "conformers">, table: Table): Promise<void> {
  const stop = listenForStop("ending; finished results are kept");
  const { epochs, patience, batchSize, learningRate, layerDecay, dropout } = flags;
  const training: FinetuneOverrides = given({ epochs, patience, batchSize, learningRate, layerDecay, dropout });
  const simple = ["scratch", "random forest", "gradient boosting"] as const;
  try {
    const summary = await runBenchmark({
      ...table,
      methods: flags.methods ?? (flags.from ? ["pretrained", ...simple] : simple),
      seeds: flags.seeds ?? [1, 2, 3],
      split: flags.split,
      from: flags.from ?? null,
      preset: flags.preset,
      training,
      outDir: flags.out,
      ...(flags.threads === undefined ? {} : { threads: flags.threads }),
      command: commandLine(),
      shouldStop: stop.requested,
      onCell: ({ task, method, seed, metric, test, seconds }, done, total) => {
        if (flags.quiet) return;
        printRemark(
          `${done}/${total} ${task}, ${method}, seed ${seed}: ${metric} ${test.toFixed(4)}, ${seconds.toFixed(0)} s`,
        );
      },
    });
    if (flags.json) printJson(summary);
    else printLines([`table: ${summary.markdown}`, `results: ${summary.json}`]);
    if (!summary.finished) process.exitCode = stop.exitCode();
  } finally {
    stop.dispose();
  }
}
