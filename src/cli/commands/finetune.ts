// moleblend finetune: labelled molecules and a pretrained model → a model that predicts their labels.
import { type Command, InvalidArgumentError, Option } from "commander";
import { SPLIT_METHODS, type SplitMethod } from "../../data/task-split.js";
import { PRESETS } from "../../model/config.js";
import { type Readout, TASK_MODES, type TaskKind, type TaskMode } from "../../model/task-graphs.js";
import { METRIC_HEADER, metricRows } from "../../tasks/finetune/metric-rows.js";
import { type FinetuneJob, type FinetuneSummary, finetune, type PartScore } from "../../tasks/finetune.js";
import { BASELINES } from "../../train/baselines/baselines.js";
import { METRICS } from "../../train/metrics.js";
import type { FinetuneOverrides, Freeze } from "../../train/task-settings.js";
import {
  given,
  integer,
  nameList,
  nonNegativeNumber,
  positiveInteger,
  positiveNumber,
  shareBelowOne,
  wholeNumber,
} from "../arguments.js";
import { UsageError } from "../failure.js";
import { alignColumns, commandLine, printJson, printLines, thousands } from "../output.js";
import { packageVersion } from "../package-root.js";
import { addReadingOptions, type ReadingFlags, readingOptions, readingProgress } from "../reading-options.js";
import { afterPreparing, listenForStop } from "../stop-request.js";

interface FinetuneFlags extends ReadingFlags, Omit<FinetuneOverrides, "classWeights" | "conformers"> {
  readonly from?: string;
  readonly scratch?: true;
  readonly targets?: readonly string[];
  readonly preset?: string;
  readonly kind: TaskKind | "auto";
  readonly readout: Readout;
  readonly mode: TaskMode;
  readonly split?: SplitMethod;
  readonly splitSeed: number;
  readonly validation?: number;
  readonly test?: number;
  readonly splitColumn?: string;
  readonly validationFile?: readonly string[];
  readonly testFile?: readonly string[];
  readonly fold?: number;
  readonly folds?: number;
  readonly seeds: readonly number[];
  readonly balanced?: true;
  readonly baselines?: true;
  readonly validateOnly?: true;
  /** Conformers whose predictions are averaged. */
  readonly average?: number;
  readonly name?: string;
  readonly runs: string;
  readonly threads?: number;
  readonly replicas?: number;
  readonly workers?: number;
  readonly quiet?: true;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  moleblend finetune solubility.csv --targets logS --from runs/pretrain-mini
  moleblend finetune bbbp.csv --dataset bbbp --from runs/pretrain-base --split scaffold --seeds 1,2,3
  moleblend finetune properties.sdf --targets gap_eV --from runs/pretrain-mini --mode both
  moleblend finetune solubility.csv --targets logS --scratch`;

function seedList(text: string): readonly number[] {
  return nameList(text).map(integer);
}

function freezeOf(text: string): Freeze {
  if (text === "encoder") return text;
  const layers = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(layers)) return layers;
  throw new InvalidArgumentError('Expected "encoder" or a number of layers.');
}

export function addFinetuneCommand(program: Command): void {
  const command = program
    .command("finetune")
    .summary("fine-tune a pretrained model on labelled molecules")
    .description(
      "Fine-tunes a pretrained model (or trains one from scratch) on a corpus or files of molecules with labels. The epoch is chosen by the validation part; the test part is scored once, at the end. Writes models, predictions and a report to RUNS/NAME.",
    )
    .argument("<inputs...>", "files of molecules with labels, or a corpus that was prepared with --labels")
    .option("--from <run>", "pretraining run, one of its checkpoints, or an imported checkpoint")
    .addOption(new Option("--scratch", "train without pretraining").conflicts("from"))
    .option("--targets <names>", "columns or property tags to predict, between commas", nameList);
  addModelOptions(command);
  addSplitOptions(command);
  addTrainingOptions(command);
  command
    .optionsGroup("Run:")
    .option("--baselines", "set a random forest and gradient boosting on fingerprints beside it in the report")
    .option("--validate-only", "leave the test part alone: neither predict nor score it")
    .option("--name <name>", "name of the run (default: finetune-TARGET with a free number)")
    .option("--runs <folder>", "folder of all runs", "runs")
    .option("--threads <count>", "threads of the runtime (default: one a core)", positiveInteger)
    .option(
      "--replicas <count>",
      "replicas of the model that share each batch (default: by threads and width)",
      positiveInteger,
    )
    .option("--workers <count>", "threads that make batches (default: 1)", positiveInteger)
    .option("-q, --quiet", "no progress")
    .option("--json", "print one JSON document on stdout");
  addReadingOptions(command).addHelpText("after", EXAMPLES).action(runFinetune);
}

function addModelOptions(command: Command): void {
  command
    .optionsGroup("Task and model:")
    .addOption(
      new Option("--kind <kind>", "auto takes zeros and ones for binary, all else for regression")
        .choices(["auto", "binary", "regression", "classes"])
        .default("auto"),
    )
    .addOption(
      new Option("--readout <name>", "what the head reads: graph token, mean or sum of the atoms")
        .choices(["cls", "mean", "sum"])
        .default("mean"),
    )
    .addOption(
      new Option("--mode <mode>", "what the model sees: the graph, the coordinates, or both")
        .choices(TASK_MODES)
        .default("2d"),
    )
    .addOption(
      new Option("--preset <name>", "sizes of a model from scratch (default: mini)").choices(Object.keys(PRESETS)),
    )
    .option("--dropout <probability>", "dropout of attention and activations (default: 0.1)", shareBelowOne);
}

function addSplitOptions(command: Command): void {
  command
    .optionsGroup("Split:")
    .addOption(
      new Option(
        "--split <method>",
        "how molecules are divided (default: scaffold; given with a column or files)",
      ).choices(SPLIT_METHODS),
    )
    .option("--split-seed <integer>", "seed of the split", integer, 1)
    .option("--validation <share>", "share for choosing the epoch (default: 0.1)", shareBelowOne)
    .option("--test <share>", "share for the final score (default: 0.1)", shareBelowOne)
    .option("--split-column <name>", "column that says train, validation or test")
    .option("--validation-file <files>", "files that are the validation part, between commas", nameList)
    .option("--test-file <files>", "files that are the test part, between commas", nameList)
    .option("--fold <number>", "the fold of k-fold that tests, from 0 (default: 0)", wholeNumber)
    .option("--folds <count>", "folds of k-fold (default: 5)", positiveInteger);
}

function addTrainingOptions(command: Command): void {
  command
    .optionsGroup("Training:")
    .option("--seeds <list>", "one model a seed, between commas; their mean is scored", seedList, [1])
    .option("--epochs <count>", "most epochs (default: 60)", positiveInteger)
    .option(
      "--patience <count>",
      "epochs without a better validation metric until the end (default: 20)",
      positiveInteger,
    )
    .addOption(new Option("--metric <name>", "chooses the epoch (default: by kind)").choices(Object.keys(METRICS)))
    .option("--batch-size <count>", "molecules a batch (default: 32)", positiveInteger)
    .option("--learning-rate <rate>", "highest learning rate (default: 0.0005)", positiveNumber)
    .option("--warmup <share>", "share of the updates until it is reached (default: 0.06)", shareBelowOne)
    .option("--layer-decay <factor>", "rate of each layer over that of the one above (default: 1)", positiveNumber)
    .option("--freeze <what>", "encoder, or embeddings and this many layers: left as they were pretrained", freezeOf)
    .option("--weight-decay <rate>", "decoupled weight decay (default: 0)", nonNegativeNumber)
    .option("--balanced", "give every class the same weight")
    .option(
      "--average <count>",
      "conformers whose predictions are averaged, 3d and both (default: 8)",
      positiveInteger,
    );
}

function splitOf(flags: FinetuneFlags): FinetuneJob["split"] {
  const { splitColumn: column, validationFile, testFile, validation, test, fold, folds } = flags;
  const files = validationFile || testFile ? { validation: validationFile ?? [], test: testFile ?? [] } : undefined;
  const isGiven = column !== undefined || files !== undefined;
  const method = flags.split ?? (isGiven ? "given" : "scaffold");
  if (isGiven && method !== "given") {
    throw new UsageError(`--split ${method} and a split that is given by a column or files contradict each other`);
  }
  return { method, seed: flags.splitSeed, ...given({ column, files, validation, test, fold, folds }) };
}

function jobOf(inputs: readonly string[], flags: FinetuneFlags): FinetuneJob {
  if (flags.from === undefined && !flags.scratch) {
    throw new UsageError("say what to start from: --from RUN for a pretrained model, or --scratch");
  }
  const { learningRate, warmup, layerDecay, freeze, epochs, patience, batchSize, metric, dropout, weightDecay } = flags;
  const { average: conformers, targets, labels, preset, name, threads, replicas, workers } = flags;
  const parts = [...(flags.validationFile ?? []), ...(flags.testFile ?? [])];
  return {
    inputs: [...inputs, ...parts],
    from: flags.from ?? null,
    kind: flags.kind,
    readout: flags.readout,
    mode: flags.mode,
    split: splitOf(flags),
    seeds: flags.seeds,
    training: {
      ...given({ learningRate, warmup, layerDecay, freeze, epochs, patience, batchSize, metric, dropout, weightDecay }),
      ...given({ conformers }),
      classWeights: flags.balanced ? "balanced" : "none",
    },
    ...(flags.baselines ? { baselines: BASELINES } : {}),
    scoreTest: !flags.validateOnly,
    runsDir: flags.runs,
    ...given({ targets: targets ?? labels, preset, name, threads, replicas, workers }),
    ...(flags.quiet ? { progress: "silent" } : {}),
    command: commandLine(),
    versions: { moleblend: packageVersion() },
  };
}

async function runFinetune(inputs: readonly string[], flags: FinetuneFlags): Promise<void> {
  const job = jobOf(inputs, flags);
  const stop = listenForStop("finishing this epoch, then scoring the best one");
  const reading = readingProgress(job.progress);
  const { labels: _, ...options } = readingOptions(flags);
  const prepare = { ...options, onProgress: reading.onProgress, signal: stop.signal };
  const summary = await afterPreparing(stop, () =>
    finetune({ ...job, prepare, onPrepared: reading.finish, shouldStop: stop.requested }),
  );
  if (!summary) return;
  if (flags.json) printJson(summary);
  else printLines(describe(summary));
  if (!summary.finished) process.exitCode = stop.exitCode();
}

function describe(summary: FinetuneSummary<PartScore | null>): string[] {
  const { data, parts } = summary;
  const seeds = summary.seeds
    .map(({ seed, bestEpoch, epochs }) => `${seed} (epoch ${bestEpoch} of ${epochs})`)
    .join(", ");
  return [
    ...alignColumns([[...METRIC_HEADER], ...metricRows(summary)], 1),
    "",
    ...alignColumns([
      ["task", `${summary.kind} of ${data.targets.slice(0, 6).join(", ")}${data.targets.length > 6 ? ", ..." : ""}`],
      [
        "molecules",
        `${thousands(data.train)} trained on, ${data.validation} validation, ${data.test} test (${data.split})`,
      ],
      [
        "model",
        `${thousands(summary.parameters)} parameters, ${thousands(summary.trained)} trained; ${summary.pretrained ?? "from scratch"}`,
      ],
      ["seeds", seeds],
      ["speed", `${Math.round(summary.moleculesPerSecond)} molecules/s, ${summary.seconds.toFixed(0)} s`],
      ...summary.remarks.map((remark) => ["remark", remark]),
      ["predictions", (parts.test ?? parts.validation).predictions],
      ...(parts.test ? [] : [["test part", "left alone: neither predicted nor scored"]]),
      ["report", summary.html],
    ]),
  ];
}
