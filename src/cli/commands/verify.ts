// moleblend verify: this implementation against recorded runs of the reference.
import { join } from "node:path";
import type { Command } from "commander";
import { formatVerify, verify } from "../../tasks/verify.js";
import { printJson, printLines } from "../output.js";
import { packageRoot } from "../package-root.js";

export function addVerifyCommand(program: Command): void {
  program
    .command("verify")
    .summary("compare with recorded runs of the reference")
    .description(
      "Compares features, collation, every array of the model, gradients and optimizer with recorded runs of the reference implementation. Exit code 1 when anything differs.",
    )
    .argument("[folder]", "folder of fixtures (default: test/golden of a checkout; the package does not hold it)")
    .option("--json", "print one JSON document on stdout")
    .addHelpText("after", "\nExample:\n  moleblend verify test/golden")
    .action(async (folder: string | undefined, flags: { json?: true }) => {
      const report = await verify(folder ?? join(packageRoot(), "test", "golden"));
      if (flags.json) printJson(report);
      else printLines([formatVerify(report)]);
      if (!report.passed) process.exitCode = 1;
    });
}
