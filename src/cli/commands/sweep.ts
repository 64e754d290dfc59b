// moleblend sweep: labelled molecules → the settings of fine-tuning that validate best, and the model trained with them.
import { type Command, Option } from "commander";
import { SPLIT_METHODS, type SplitMethod } from "../../data/task-split.js";
import { PRESETS } from "../../model/config.js";
import { TASK_MODES, type TaskMode } from "../../model/task-graphs.js";
import { type SweepSummary, sweep } from "../../tasks/sweep.js";
import { METRICS } from "../../train/metrics.js";
import { integer, nameList, positiveInteger, seedList } from "../arguments.js";
import { UsageError } from "../failure.js";
import { alignColumns, commandLine, printJson, printLines, printRemark } from "../output.js";
import { packageVersion } from "../package-root.js";
import { addReadingOptions, type ReadingFlags, readingOptions } from "../reading-options.js";
import { listenForStop } from "../stop-request.js";

interface SweepFlags extends ReadingFlags {
  readonly out: string;
  readonly from?: string;
  readonly scratch?: true;
  readonly preset?: string;
  readonly targets?: readonly string[];
  readonly mode: TaskMode;
  readonly split: SplitMethod;
  readonly splitSeed: number;
  readonly method: "random" | "halving";
  readonly trials: number;
  readonly epochs: number;
  readonly trialSeeds: readonly number[];
  readonly seeds: readonly number[];
  readonly seed: number;
  readonly threads?: number;
  readonly quiet?: true;
  readonly json?: true;
}

export function addSweepCommand(program: Command): void {
  const command = program
    .command("sweep")
    .summary("search the settings of fine-tuning")
    .description(
      "Tries learning rates, batch sizes, dropout and layer decay, chooses by validation, and trains the final model with the best; only that one's test part is scored for keeps. A command that was stopped goes on where it was.",
    )
    .argument("<inputs...>", "a corpus with labels, or files of molecules")
    .requiredOption("-o, --out <folder>", "where the trials and the final model are kept")
    .option("--from <run>", "pretrained model: a run or one of its checkpoints")
    .option("--scratch", "no pretrained model")
    .addOption(new Option("--preset <name>", "sizes of a model from scratch").choices(Object.keys(PRESETS)))
    .option("--targets <names>", "columns to predict, between commas", nameList)
    .addOption(
      new Option("--mode <mode>", "what the model sees: the graph, the coordinates, or both")
        .choices(TASK_MODES)
        .default("2d"),
    )
    .addOption(
      new Option("--split <method>", "how the molecules are split")
        .choices(SPLIT_METHODS.filter((method) => method !== "given"))
        .default("scaffold"),
    )
    .option("--split-seed <integer>", "seed of the split", integer, 1)
    .addOption(
      new Option("--method <name>", "all epochs for every trial, or more for the better third")
        .choices(["random", "halving"])
        .default("halving"),
    )
    .option("--trials <count>", "settings to try", positiveInteger, 9)
    .option("--epochs <count>", "epochs of a whole training", positiveInteger, 30)
    .option("--trial-seeds <integers>", "seeds of each trial", seedList, [1])
    .option("--seeds <integers>", "seeds of the final model", seedList, [1, 2, 3])
    .option("--seed <integer>", "draws the settings", integer, 1)
    .option("--threads <count>", "threads of the runtime (default: one a core)", positiveInteger)
    .option("-q, --quiet", "no progress")
    .option("--json", "print one JSON document on stdout");
  addReadingOptions(command)
    .addHelpText(
      "after",
      "\nExample:\n  moleblend sweep bbbp.csv --dataset bbbp --from runs/pretrain-mini --out sweeps/bbbp --trials 9",
    )
    .action(runSweep);
}

async function runSweep(inputs: readonly string[], flags: SweepFlags): Promise<void> {
  if ((flags.from === undefined) === (flags.scratch === undefined))
    throw new UsageError("expected a pretrained model (--from) or --scratch, one of them");
  const stop = listenForStop("ending; finished trials are kept");
  const { targets, preset, threads, mode, method, trials, epochs, trialSeeds, seeds, seed, out } = flags;
  let summary: SweepSummary;
  try {
    summary = await sweep({
      ...{ method, trials, epochs, trialSeeds, seed, outDir: out },
      job: {
        ...{ inputs, mode, seeds, from: flags.from ?? null },
        split: { method: flags.split, seed: flags.splitSeed },
        prepare: readingOptions(flags),
        ...(targets === undefined ? {} : { targets }),
        ...(preset === undefined ? {} : { preset }),
        ...(threads === undefined ? {} : { threads }),
        ...(flags.quiet ? { progress: "silent" } : {}),
        shouldStop: stop.requested,
        command: commandLine(),
        versions: { moleblend: packageVersion() },
      },
      onTrial: ({ trial, epochs: given, metric, validation, settings }, done, total) => {
        if (flags.quiet) return;
        const { title } = METRICS[metric];
        printRemark(
          `${done}/${total} trial ${trial}, ${given} epochs: validation ${title} ${validation.toFixed(4)} ${JSON.stringify(settings)}`,
        );
      },
    });
  } finally {
    stop.dispose();
  }
  if (flags.json) printJson(summary);
  else printLines(describe(summary));
  if (!summary.finished) process.exitCode = stop.exitCode();
}

function describe({ best, final }: SweepSummary): string[] {
  const { title } = METRICS[best.metric];
  return alignColumns([
    ["best settings", JSON.stringify(best.settings)],
    [`validation ${title}`, best.validation.toFixed(4)],
    ...(final
      ? [
          [`test ${title} of the final model`, final.parts.test.metrics[best.metric].toFixed(4)],
          ["run", final.run],
          ["report", final.report],
        ]
      : [["final model", "not trained yet; the same command goes on"]]),
  ]);
}
