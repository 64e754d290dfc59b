// moleblend report: a finished fine-tuning run → one page with its scores beside simple methods and other runs.
import { type Command, InvalidArgumentError } from "commander";
import { reportRun } from "../../tasks/report-run.js";
import { BASELINES, type BaselineName } from "../../train/baselines/baselines.js";
import { nameList } from "../arguments.js";
import { printJson, printLines } from "../output.js";

interface ReportFlags {
  readonly compare?: readonly string[];
  /** False with --no-baselines. */
  readonly baselines: readonly BaselineName[] | boolean;
  readonly json?: true;
}

function baselineList(text: string): readonly BaselineName[] {
  const names = nameList(text);
  if (names.every((name) => (BASELINES as readonly string[]).includes(name))) return names as readonly BaselineName[];
  throw new InvalidArgumentError(`Expected some of ${BASELINES.join(", ")} between commas.`);
}

export function addReportCommand(program: Command): void {
  program
    .command("report")
    .summary("compare a fine-tuned model with simple methods")
    .description(
      "Trains simple methods on the molecules and the split of a finished fine-tuning run, and writes RUN/report.html anew with them: scores with intervals, charts, and the worst mistakes drawn.",
    )
    .argument("<run>", "folder of a finished fine-tuning run")
    .option("--compare <runs>", "other runs on the same split, between commas, such as one from scratch", nameList)
    .option("--baselines <names>", `some of ${BASELINES.join(", ")} (default: all)`, baselineList)
    .option("--no-baselines", "no simple methods")
    .option("--json", "print one JSON document on stdout")
    .addHelpText("after", "\nExample:\n  moleblend report runs/finetune-logs --compare runs/finetune-logs-scratch")
    .action(async (run: string, flags: ReportFlags) => {
      const { compare = [], baselines } = flags;
      const files = await reportRun({
        ...{ run, compare },
        baselines: baselines === false ? [] : baselines === true ? BASELINES : baselines,
      });
      if (flags.json) printJson(files);
      else printLines([`report: ${files.html}`, `as Markdown: ${files.markdown}`]);
    });
}
