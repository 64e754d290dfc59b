// moleblend embed: molecules through an encoder.
import { type Command, Option } from "commander";
import { TASK_MODES, type TaskMode } from "../../model/task-graphs.js";
import { type EmbedJob, type EmbedSummary, embed } from "../../tasks/embed.js";
import { POOLINGS, type Pooling } from "../../tasks/inference/embedding.js";
import { TABLE_FORMATS, type TableFormat } from "../../tasks/inference/table-writer.js";
import { given, positiveInteger, wholeNumber } from "../arguments.js";
import { addInputOptions, countingProgress, type InputFlags, readerOf, remarkOnInference } from "../input-options.js";
import { printJson } from "../output.js";

interface EmbedFlags extends InputFlags {
  readonly model: string;
  readonly out?: string;
  readonly format?: TableFormat;
  readonly rejects?: string;
  readonly layer?: number;
  readonly pool: Pooling;
  readonly mode?: TaskMode;
  readonly hydrogens?: true;
  readonly maxAtoms?: number;
  readonly threads?: number;
  readonly workers?: number;
  readonly quiet?: true;
  readonly json?: true;
}

export function addEmbedCommand(program: Command): void {
  const command = program
    .command("embed")
    .summary("turn molecules into vectors")
    .description(
      "Writes the hidden states of a pretrained or fine-tuned model, one row a molecule (or an atom), in input order. NAME.npy holds float32 numbers alone; NAME.npy.csv beside it says which row is what.",
    )
    .argument("<inputs...>", 'files of molecules, "-" for standard input, or a corpus')
    .requiredOption("--model <run>", "pretraining run, a checkpoint, or the run of a fine-tuned model")
    .option("-o, --out <file>", "table to write, .csv, .jsonl, .parquet or .npy (default: CSV on standard output)")
    .addOption(new Option("--format <format>", "format of the table, whatever its name says").choices(TABLE_FORMATS))
    .option("--rejects <file>", "where records that cannot be used are listed (default: OUT.rejects.jsonl)")
    .option("--layer <number>", "0 is the embedding (default: the last layer)", wholeNumber)
    .addOption(
      new Option("--pool <what>", "graph token, mean or sum of the atoms, or every atom")
        .choices(POOLINGS)
        .default("cls"),
    )
    .addOption(
      new Option("--mode <mode>", "what the model sees: the graph, the coordinates, or both (default: 2d)").choices(
        TASK_MODES,
      ),
    )
    .option("--hydrogens", "keep hydrogens as atoms")
    .option("--max-atoms <count>", "reject molecules with more atoms (default: 256)", positiveInteger)
    .option("--threads <count>", "threads that embed (default: one a core)", positiveInteger)
    .option("--workers <count>", "threads that read molecules (default: one a core)", wholeNumber)
    .option("-q, --quiet", "no progress")
    .option("--json", "print a JSON summary on stdout (with --out)");
  addInputOptions(command)
    .addHelpText(
      "after",
      "\nExample:\n  moleblend embed molecules.smi --model runs/pretrain-mini --pool mean --out vectors.npy",
    )
    .action(runEmbed);
}

async function runEmbed(inputs: readonly string[], flags: EmbedFlags, command: Command): Promise<void> {
  if (flags.json && flags.out === undefined) command.error("error: --json needs --out, as the table goes to stdout");
  const progress = countingProgress("embed", flags.quiet || flags.out === undefined ? "silent" : undefined);
  const { model, out, format, rejects, layer, pool, mode, hydrogens, maxAtoms, threads, workers } = flags;
  const reader = readerOf(flags);
  const options = given({ format, rejects, layer, mode, hydrogens, maxAtoms, threads, workers, reader });
  const job: EmbedJob = { model, inputs, out: out ?? null, pool, ...options };
  let summary: EmbedSummary;
  try {
    summary = await embed({ ...job, onProgress: progress.onProgress });
  } finally {
    progress.finish();
  }
  if (flags.json) printJson(summary);
  remarkOnInference(summary, [
    `${summary.rows} rows of ${summary.width} numbers: layer ${summary.layer}, ${summary.pool}, ${summary.mode}`,
  ]);
}
