// moleblend pretrain: molecules → a pretrained model, with checkpoints, logs and a report.
import { join, relative } from "node:path";
import { type Command, Option } from "commander";
import { POLICY_NAMES } from "../../blend/policy.js";
import { PRESETS } from "../../model/config.js";
import { isFreshImport, type PretrainJob, type PretrainSummary, pretrain } from "../../tasks/pretrain.js";
import { HELD_OUT_HEADER, heldOutRows } from "../../tasks/pretrain-report.js";
import { pretrainSettings, type ScheduleOverrides, type SettingOverrides } from "../../train/settings.js";
import {
  blendProbabilities,
  integer,
  nonNegativeNumber,
  positiveInteger,
  positiveNumber,
  properShare,
  shareBelowOne,
  wholeNumber,
} from "../arguments.js";
import { UsageError } from "../failure.js";
import { alignColumns, commandLine, printJson, printLines, printRemark, shellWord, thousands } from "../output.js";
import { embeddedMolecules } from "../package-root.js";
import { addReadingOptions, type ReadingFlags, readingOptions, readingProgress } from "../reading-options.js";
import { afterPreparing, listenForStop } from "../stop-request.js";

interface PretrainFlags extends SettingOverrides, ReadingFlags {
  readonly preset: string;
  readonly name?: string;
  readonly runs: string;
  /** True without a name of its own. */
  readonly resume?: true | string;
  readonly threads?: number;
  readonly workers?: number;
  readonly quiet?: true;
  readonly json?: true;
}

/** What a resumed run may be given; all else was settled when it began. */
const FREE_ON_RESUME = new Set(["preset", "name", "runs", "resume", "threads", "workers", "quiet", "json"]);

/** What an imported checkpoint has settled: the model, and what it learns. */
const FIXED_BY_IMPORT = new Set([
  ...[
    "policy",
    "probabilities",
    "hiddenShare",
    "target",
    "noise",
    "rotate",
    "maskPerBatch",
    "dropout",
    "official",
    "seed",
  ],
]);

/** What training further on an import chooses anew. */
const SCHEDULE = [
  ...["steps", "maxTokens", "batchSize", "accumulate", "replicas", "learningRate", "warmupSteps", "validation"],
  ...["logEvery", "evaluateEvery", "checkpointEvery", "keepCheckpoints"],
] as const satisfies readonly (keyof ScheduleOverrides)[];

const EXAMPLES = `
Examples:
  moleblend pretrain                                   the embedded molecules, preset mini
  moleblend pretrain molecules.sdf.gz --preset base --batch-size 64 --seed 7
  moleblend pretrain --resume pretrain-mini            go on with a run that was stopped
  moleblend pretrain corpus --resume official --steps 1010000      go on with an import`;

export function addPretrainCommand(program: Command): void {
  const command = program
    .command("pretrain")
    .summary("pretrain a model")
    .description(
      "Pretrains a model on a corpus folder or on files of molecules (default: the molecules that come with moleblend) and writes checkpoints, metrics and a report to RUNS/NAME.",
    )
    .argument("[inputs...]", "a corpus folder, or files of molecules");
  addModelOptions(command);
  addTrainingOptions(command);
  addRunOptions(command);
  addReadingOptions(command);
  command.addHelpText("after", EXAMPLES).action((inputs: string[], flags: PretrainFlags, self: Command) => {
    if (flags.resume) refuseSettings(inputs, flags, self);
    return runPretrain(inputs, flags, self);
  });
}

function addModelOptions(command: Command): void {
  command
    .optionsGroup("Model and objective:")
    .addOption(
      new Option("--preset <name>", "sizes of the model and its schedule")
        .choices(Object.keys(PRESETS))
        .default("mini"),
    )
    .addOption(
      new Option("--policy <name>", "what pairs show and what is recovered (default: blend)").choices(POLICY_NAMES),
    )
    .option(
      "--probabilities <spd,edge,geometry>",
      "how often a pair shows each modality (default: 0.2,0.2,0.6)",
      blendProbabilities,
    )
    .option("--hidden-share <share>", "pairs that mask-2d and mask-3d hide (default: 0.3)", properShare)
    .addOption(
      new Option("--target <name>", "what the 3D head recovers (default: distance)").choices([
        "distance",
        "displacement",
      ]),
    )
    .option("--noise <angstrom>", "standard deviation of the noise on coordinates (default: 0.2)", nonNegativeNumber)
    .option("--rotate", "turn every molecule at random (default)")
    .option("--no-rotate", "leave the molecules as the files orient them")
    .option("--mask-per-batch", "one mask of pairs for a whole batch, as the reference draws it")
    .option("--dropout <probability>", "every dropout probability", shareBelowOne)
    .option("--official", "everything as the reference implementation does it");
}

function addTrainingOptions(command: Command): void {
  command
    .optionsGroup("Training:")
    .option("--steps <count>", "updates in all", positiveInteger)
    .option("--max-tokens <count>", "padded atoms a batch; batches of like sizes", positiveInteger)
    .addOption(
      new Option("--batch-size <count>", "molecules a batch, in random order, instead of --max-tokens")
        .argParser(positiveInteger)
        .conflicts("maxTokens"),
    )
    .option("--accumulate <count>", "batches an update (default: 1)", positiveInteger)
    .option("--learning-rate <rate>", "highest learning rate", positiveNumber)
    .option("--warmup-steps <count>", "updates until it is reached", wholeNumber)
    .option("--validation <share>", "structures held out (default: 0.05)", shareBelowOne)
    .option("--seed <integer>", "seed of everything that is drawn (default: 1)", integer)
    .option("--log-every <steps>", "steps between two lines of metrics", positiveInteger)
    .option("--evaluate-every <steps>", "steps between two looks at the held-out molecules", positiveInteger)
    .option("--checkpoint-every <steps>", "steps between two checkpoints", positiveInteger)
    .option("--keep-checkpoints <count>", "checkpoints to keep (default: 2)", positiveInteger);
}

function addRunOptions(command: Command): void {
  command
    .optionsGroup("Run:")
    .option("--name <name>", "name of the run (default: pretrain-PRESET with a free number)")
    .option("--runs <folder>", "folder of all runs", "runs")
    .option(
      "--resume [name]",
      "go on with a run from its latest checkpoint, with its own settings; with an import on these molecules",
    )
    .option("--threads <count>", "threads of the runtime (default: one a core)", positiveInteger)
    .option(
      "--replicas <count>",
      "replicas of the model that share each batch (default: by threads and width)",
      positiveInteger,
    )
    .option("--workers <count>", "threads that make batches (default: 1)", positiveInteger)
    .option("-q, --quiet", "no progress")
    .option("--json", "print one JSON document on stdout");
}

/** @throws UsageError where a resumed run is given what it was started with, or an import another model */
function refuseSettings(inputs: readonly string[], flags: PretrainFlags, command: Command): void {
  const imported = isFreshImport(join(flags.runs, runName(flags) ?? `pretrain-${flags.preset}`));
  const fixed = (option: string) => (imported ? FIXED_BY_IMPORT.has(option) : !FREE_ON_RESUME.has(option));
  const given = command.options
    .filter((option) => command.getOptionValueSource(option.attributeName()) === "cli")
    .filter((option) => fixed(option.attributeName()))
    .map((option) => option.long ?? option.flags);
  const refused = [...new Set(given), ...(imported ? [] : inputs)];
  if (refused.length === 0) return;
  const what = imported ? "the model and the objective of the import" : "the settings and the molecules of the run";
  throw new UsageError(`--resume goes on with ${what}; leave out ${refused.join(", ")}`);
}

function runName({ resume, name }: PretrainFlags): string | undefined {
  return typeof resume === "string" ? resume : name;
}

function scheduleOf(flags: PretrainFlags): ScheduleOverrides {
  return Object.fromEntries(SCHEDULE.flatMap((name) => (flags[name] === undefined ? [] : [[name, flags[name]]])));
}

function jobOf(inputs: readonly string[], flags: PretrainFlags, name: string | undefined): PretrainJob {
  return {
    inputs: inputs.length > 0 ? inputs : [embeddedMolecules()],
    runsDir: flags.runs,
    ...(name === undefined ? {} : { name }),
    ...(flags.resume === undefined ? {} : { resume: true, schedule: scheduleOf(flags) }),
    settings: pretrainSettings(flags.preset, flags),
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    ...(flags.workers === undefined ? {} : { workers: flags.workers }),
    ...(flags.quiet ? { progress: "silent" } : {}),
    command: commandLine(),
  };
}

async function runPretrain(inputs: readonly string[], flags: PretrainFlags, command: Command): Promise<void> {
  const name = runName(flags);
  if (typeof flags.resume === "string" && flags.name !== undefined && flags.name !== flags.resume) {
    command.error(`error: --resume ${flags.resume} and --name ${flags.name} name two runs`);
  }
  const job = jobOf(inputs, flags, name);
  const stop = listenForStop("finishing this step and writing a checkpoint");
  const reading = readingProgress(job.progress);
  const prepare = { ...readingOptions(flags), onProgress: reading.onProgress, signal: stop.signal };
  const summary = await afterPreparing(stop, () =>
    pretrain({ ...job, prepare, onPrepared: reading.finish, shouldStop: stop.requested }),
  );
  if (!summary) return;
  if (flags.json) printJson(summary);
  else printLines(describe(summary, job.settings.model.geometryTarget));
  if (summary.finished) return;
  process.exitCode = stop.exitCode();
  printRemark(`stopped after step ${summary.step}; to go on: ${resumeCommand(summary, flags.runs)}`);
}

function resumeCommand({ run }: PretrainSummary, runs: string): string {
  const folder = runs === "runs" ? [] : ["--runs", runs];
  return ["moleblend", "pretrain", ...folder, "--resume", relative(runs, run)].map(shellWord).join(" ");
}

function describe(summary: PretrainSummary, target: string): string[] {
  const { corpus } = summary;
  const rows = heldOutRows(summary, target);
  const table = rows.length > 0 ? [...alignColumns([[...HELD_OUT_HEADER], ...rows], 1), ""] : [];
  const rejects = corpus.rejects > 0 ? `, ${thousands(corpus.rejects)} records rejected` : "";
  return [
    ...table,
    ...alignColumns([
      ["molecules", `${thousands(corpus.train)} trained on, ${thousands(corpus.heldout)} held out${rejects}`],
      ["model", `${thousands(summary.parameters)} parameters, ${thousands(summary.step)} steps`],
      [
        "speed",
        `${Math.round(summary.moleculesPerSecond)} molecules/s, ${summary.seconds.toFixed(0)} s in this process`,
      ],
      ["report", summary.report],
      ["run", `${summary.run} (checkpoints, metrics.jsonl, tensorboard)`],
      ["corpus", corpus.dir],
    ]),
  ];
}
