// moleblend predict: molecules through fine-tuned models.
import { type Command, Option } from "commander";
import { FAR_SIMILARITY, type PredictJob, type PredictSummary, predict } from "../../tasks/predict.js";
import { given, nameList, nonNegativeNumber, positiveInteger, wholeNumber } from "../arguments.js";
import { addInputOptions, countingProgress, type InputFlags, readerOf, remarkOnInference } from "../input-options.js";
import { printJson } from "../output.js";

interface PredictFlags extends InputFlags {
  readonly model: readonly string[];
  readonly out?: string;
  readonly format?: "csv" | "jsonl" | "parquet";
  readonly rejects?: string;
  readonly samples?: number;
  readonly similarity: boolean;
  readonly farSimilarity?: number;
  readonly threads?: number;
  readonly workers?: number;
  readonly quiet?: true;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  moleblend predict molecules.smi --model runs/finetune-logs --out predictions.csv
  cat molecules.smi | moleblend predict - --model runs/finetune-logs`;

export function addPredictCommand(program: Command): void {
  const command = program
    .command("predict")
    .summary("predict properties of molecules")
    .description(
      "Predicts with the run of a fine-tuned model, or several of one task as an ensemble. Rows come in input order, with an uncertainty (models of several seeds or runs; else draws with dropout) and the similarity to the likest training molecule.",
    )
    .argument("<inputs...>", 'files of molecules, "-" for standard input, or a corpus')
    .requiredOption("--model <runs>", "runs of fine-tuned models, between commas", nameList)
    .option("-o, --out <file>", "table to write, .csv, .jsonl or .parquet (default: standard output)")
    .addOption(
      new Option("--format <format>", "format of the table, whatever its name says").choices([
        "csv",
        "jsonl",
        "parquet",
      ]),
    )
    .option("--rejects <file>", "where records that cannot be used are listed (default: OUT.rejects.jsonl)")
    .option("--samples <count>", "draws with dropout where there is one model (default: 10); 0 for none", wholeNumber)
    .option("--no-similarity", "do not compare with the training molecules")
    .option(
      "--far-similarity <value>",
      `similarity below which a molecule is far from them (default: ${FAR_SIMILARITY})`,
      nonNegativeNumber,
    )
    .option("--threads <count>", "threads of the runtime (default: one a core)", positiveInteger)
    .option("--workers <count>", "threads that read molecules (default: one a core)", wholeNumber)
    .option("-q, --quiet", "no progress")
    .option("--json", "print a JSON summary on stdout (with --out)");
  addInputOptions(command).addHelpText("after", EXAMPLES).action(runPredict);
}

async function runPredict(inputs: readonly string[], flags: PredictFlags, command: Command): Promise<void> {
  if (flags.json && flags.out === undefined) command.error("error: --json needs --out, as the table goes to stdout");
  const progress = countingProgress("predict", flags.quiet || flags.out === undefined ? "silent" : undefined);
  const { model: models, out, format, rejects, samples, farSimilarity, threads, workers } = flags;
  const reader = readerOf(flags);
  const options = given({ format, rejects, samples, farSimilarity, threads, workers, reader });
  const job: PredictJob = { models, inputs, out: out ?? null, similarity: flags.similarity, ...options };
  let summary: PredictSummary;
  try {
    summary = await predict({ ...job, onProgress: progress.onProgress });
  } finally {
    progress.finish();
  }
  if (flags.json) printJson(summary);
  remarkOnInference(summary, [describeUncertainty(summary), ...describeFar(summary)]);
}

function describeUncertainty(summary: PredictSummary): string {
  const { calibration } = summary;
  if (calibration?.method === "temperature")
    return `${spreadOf(summary)}; "calibrated": temperature ${calibration.temperature.toPrecision(3)} of the validation part`;
  return calibration ? `${spreadOf(summary)}; "std calibrated": scaled by the validation part` : spreadOf(summary);
}

function spreadOf({ uncertainty }: PredictSummary): string {
  if (uncertainty.from === "ensemble") return `std: over ${uncertainty.models} models`;
  if (uncertainty.from === "dropout") return `std: over ${uncertainty.samples} draws with dropout of one model`;
  return "no uncertainty: one model, no draws";
}

function describeFar({ far, molecules }: PredictSummary): string[] {
  return far === null ? [] : [`${far} of ${molecules} molecules are far from the training molecules`];
}
