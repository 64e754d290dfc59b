// moleblend import: a checkpoint of the official code → one of ours.
import type { Command } from "commander";
import { type ImportSummary, importCheckpoint } from "../../tasks/import-checkpoint.js";
import { alignColumns, printJson, printLines, thousands } from "../output.js";

interface ImportFlags {
  readonly out?: string;
  readonly json?: true;
}

export function addImportCommand(program: Command): void {
  program
    .command("import")
    .summary("read a checkpoint of the official code")
    .description(
      "Turns a checkpoint of the official (fairseq) code into one of ours: zip and older torch format, float32 and float16, with optimizer state where there is one. The file is read as data; nothing in it is ever run. What ours does not use is kept beside it, so that an export gives the file back.",
    )
    .argument("<file.pt>", "the checkpoint")
    .option("-o, --out <folder>", "run folder to write (default: runs/NAME)")
    .option("--json", "print one JSON document on stdout")
    .addHelpText("after", "\nExample:\n  moleblend import checkpoint_last.pt --out runs/official")
    .action(async (file: string, flags: ImportFlags) => {
      const summary = await importCheckpoint(file, flags.out === undefined ? {} : { outDir: flags.out });
      if (flags.json) printJson(summary);
      else printLines(describe(summary));
    });
}

function describe(summary: ImportSummary): string[] {
  const { layers, width, heads, feedForward, kernels } = summary.model;
  const some = (names: readonly string[]) => `${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}`;
  const optional = (label: string, names: readonly string[]) =>
    names.length > 0 ? [[label, `${names.length} tensors: ${some(names)}`]] : [];
  return [
    ...alignColumns([
      ["file", `${summary.source} (${summary.format} format, ${summary.types.join(", ")})`],
      ["model", `${layers} layers, width ${width}, ${heads} heads, feed-forward ${feedForward}, ${kernels} kernels`],
      ["tensors", `${thousands(summary.tensors)}, of which ours trains ${thousands(summary.parameters)} numbers`],
      ["updates done", thousands(summary.step)],
      ["optimizer state", summary.optimizer ?? "none; moments begin at 0"],
      ...optional("initialised anew", summary.missing),
      ...optional("kept, not used", summary.unused),
      ["checkpoint", summary.checkpoint],
    ]),
    ...summary.remarks.map((remark) => `note: ${remark}`),
  ];
}
