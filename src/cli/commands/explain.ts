// moleblend explain: molecules and a fine-tuned model → drawings of what each prediction rests on.
import type { Command } from "commander";
import { type ExplainSummary, explain } from "../../tasks/explain.js";
import { positiveInteger } from "../arguments.js";
import { printJson, printLines, thousands } from "../output.js";
import { addReadingOptions, type ReadingFlags, readingOptions } from "../reading-options.js";

interface ExplainFlags extends ReadingFlags {
  readonly model: string;
  readonly out: string;
  readonly target?: string;
  readonly limit?: number;
  readonly threads?: number;
  readonly json?: true;
}

export function addExplainCommand(program: Command): void {
  const command = program
    .command("explain")
    .summary("draw what predictions rest on")
    .description(
      "Draws for each molecule which atoms and pairs of atoms raise or lower a prediction (gradient × input of the embeddings and relation biases) and where the attention goes (roll-out), as SVG files; the numbers are in explanations.jsonl.",
    )
    .argument("<inputs...>", 'files of molecules, "-" for standard input, or a corpus')
    .requiredOption("--model <run>", "run of a fine-tuned model")
    .requiredOption("-o, --out <folder>", "folder for the drawings and numbers")
    .option("--target <name>", "target or class to explain (default: the first; of classes the one predicted)")
    .option("--limit <count>", "most molecules to explain (default: 20)", positiveInteger)
    .option("--threads <count>", "threads of the runtime (default: one a core)", positiveInteger)
    .option("--json", "print one JSON document on stdout");
  addReadingOptions(command)
    .addHelpText("after", "\nExample:\n  moleblend explain molecules.smi --model runs/finetune-logs --out explained")
    .action(runExplain);
}

async function runExplain(inputs: readonly string[], flags: ExplainFlags): Promise<void> {
  const { model, out, target, limit, threads } = flags;
  const { reader } = readingOptions(flags);
  const summary: ExplainSummary = await explain({
    ...{ model, inputs, outDir: out },
    ...(target === undefined ? {} : { target }),
    ...(limit === undefined ? {} : { limit }),
    ...(threads === undefined ? {} : { threads }),
    ...(reader ? { reader } : {}),
  });
  if (flags.json) {
    printJson(summary);
    return;
  }
  const rejected = Object.values(summary.rejects).reduce((sum, count) => sum + count, 0);
  printLines([
    `${thousands(summary.molecules)} molecules explained, ${thousands(summary.drawings)} drawn in ${out}`,
    `numbers: ${summary.explanations}`,
    ...(rejected > 0 ? [`${thousands(rejected)} records could not be used: ${out}/rejects.jsonl`] : []),
  ]);
}
