// moleblend evaluate: a fine-tuned model on labelled molecules.
import { join } from "node:path";
import type { Command } from "commander";
import { type EvaluateSummary, evaluate } from "../../tasks/evaluate.js";
import { METRICS } from "../../train/metrics.js";
import { nameList, positiveInteger } from "../arguments.js";
import { addInputOptions, type InputFlags, readerOf } from "../input-options.js";
import { alignColumns, printJson, printLines, thousands } from "../output.js";

interface EvaluateFlags extends InputFlags {
  readonly model: string;
  readonly targets?: readonly string[];
  readonly out?: string;
  readonly runs: string;
  readonly threads?: number;
  readonly json?: true;
}

export function addEvaluateCommand(program: Command): void {
  const command = program
    .command("evaluate")
    .summary("score a fine-tuned model on labelled molecules")
    .description("Scores the run of a fine-tuned model on a corpus or files of molecules with labels.")
    .argument("<inputs...>", "files of molecules with labels, or a corpus")
    .requiredOption("--model <run>", "run of a fine-tuned model")
    .option("--targets <names>", "columns that hold its targets, in their order (default: of the same names)", nameList)
    .option("-o, --out <file>", "CSV of predictions to write")
    .option("--runs <folder>", "folder of all runs, where files are prepared to", "runs")
    .option("--threads <count>", "threads of the runtime (default: one a core)", positiveInteger)
    .option("--json", "print one JSON document on stdout");
  addInputOptions(command)
    .addHelpText("after", "\nExample:\n  moleblend evaluate new.csv --model runs/finetune-logs")
    .action(runEvaluate);
}

async function runEvaluate(inputs: readonly string[], flags: EvaluateFlags): Promise<void> {
  const { model, targets, out, threads } = flags;
  const reader = readerOf(flags);
  const summary = await evaluate({
    model,
    inputs,
    cacheDir: join(flags.runs, "corpora"),
    ...(targets ? { targets } : {}),
    ...(out === undefined ? {} : { out }),
    ...(threads === undefined ? {} : { threads }),
    ...(reader ? { prepare: { reader } } : {}),
  });
  if (flags.json) printJson(summary);
  else printLines(describe(summary));
}

function describe(summary: EvaluateSummary): string[] {
  const number = (value: number) => (Number.isNaN(value) ? "–" : value.toFixed(4));
  const rows = Object.entries(summary.metrics).map(([name, value]) => {
    const { low, high } = summary.intervals[name];
    return [METRICS[name]?.title ?? name, number(value), `${number(low)} – ${number(high)}`];
  });
  return [
    ...alignColumns([["metric", "value", "95 % interval"], ...rows], 1),
    "",
    ...alignColumns([
      ["molecules", thousands(summary.molecules)],
      ["without a label", thousands(summary.unlabelled)],
      ...(summary.unlocated > 0 ? [["without coordinates", thousands(summary.unlocated)]] : []),
      ["rejected", thousands(summary.rejects)],
      ["seen in training", `${thousands(summary.seenInTraining)} (equal fingerprints; they are no test)`],
      ...(summary.out === null ? [] : [["predictions", summary.out]]),
    ]),
  ];
}
