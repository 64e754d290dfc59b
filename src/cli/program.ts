// The command line as a whole.
import { Command } from "commander";
import { addBenchCommand } from "./commands/bench.js";
import { addBenchmarkCommand } from "./commands/benchmark.js";
import { addDatasetsCommand } from "./commands/datasets.js";
import { addEmbedCommand } from "./commands/embed.js";
import { addEvaluateCommand } from "./commands/evaluate.js";
import { addExplainCommand } from "./commands/explain.js";
import { addExportCommand } from "./commands/export.js";
import { addFinetuneCommand } from "./commands/finetune.js";
import { addImportCommand } from "./commands/import.js";
import { addPredictCommand } from "./commands/predict.js";
import { addPrepareCommand } from "./commands/prepare.js";
import { addPretrainCommand } from "./commands/pretrain.js";
import { addReportCommand } from "./commands/report.js";
import { addSweepCommand } from "./commands/sweep.js";
import { addVerifyCommand } from "./commands/verify.js";
import { packageVersion } from "./package-root.js";

/** Usage errors and help leave it as a CommanderError instead of ending the process. */
export function createProgram(): Command {
  const program = new Command("moleblend")
    .description(
      "Pretrains one transformer on the 2D graph and the 3D geometry of molecules (MoleBLEND, arXiv 2307.06235).",
    )
    .version(packageVersion(), "-V, --version", "print the version")
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .showSuggestionAfterError()
    .showHelpAfterError("(--help shows what there is)")
    .addHelpText(
      "after",
      "\nExample:\n  moleblend pretrain --steps 500\n\nmoleblend COMMAND --help explains a command.",
    )
    .exitOverride();
  addDatasetsCommand(program);
  addPrepareCommand(program);
  addPretrainCommand(program);
  addFinetuneCommand(program);
  addSweepCommand(program);
  addEvaluateCommand(program);
  addReportCommand(program);
  addPredictCommand(program);
  addEmbedCommand(program);
  addExplainCommand(program);
  addVerifyCommand(program);
  addImportCommand(program);
  addExportCommand(program);
  addBenchCommand(program);
  addBenchmarkCommand(program);
  return program;
}
