// The report of a fine-tuning run: what the data are, how good the model is beside simple methods, where it errs, and how to get it again.
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadRdkit } from "../chem/rdkit.js";
import { type Report, writeReport } from "../train/report.js";
import { compareMethods, resultTables, scoreMethods } from "./finetune-report/comparison.js";
import { dataTables } from "./finetune-report/data-tables.js";
import { reportHtml } from "./finetune-report/html.js";
import type { FinetuneReportInput } from "./finetune-report/input.js";
import { drawMistakes, mistakeTable, worstMistakes } from "./finetune-report/mistakes.js";
import { outcomeCharts } from "./finetune-report/outcome-charts.js";

export interface FinetuneReportFiles {
  /** One file that needs no other. */
  readonly html: string;
  readonly markdown: string;
}

/** Writes DIR/report.html, and DIR/report.md with its curves in DIR/curves. */
export async function writeFinetuneReport(directory: string, input: FinetuneReportInput): Promise<FinetuneReportFiles> {
  const scores = scoreMethods(input);
  const mistakes = worstMistakes(input);
  const summary: (readonly [string, string | number])[] = [
    ...compareMethods(input, scores),
    ["data", input.data.sources.join(", ")],
    ...(input.summary ?? []),
    ["seed", String(input.seed)],
    ["versions", Object.entries(input.versions).flat().join(" ")],
  ];
  const report: Report = {
    title: input.title,
    summary,
    tables: [
      ...resultTables(input, scores),
      ...(input.tables ?? []),
      ...dataTables(input),
      mistakeTable(input, mistakes),
    ],
    curves: [...outcomeCharts(input).curves, ...input.curves],
    command: input.command,
    settings: input.settings,
  };
  const markdown = writeReport(directory, report);
  const html = join(directory, "report.html");
  const drawings = drawMistakes(await loadRdkit(), input, mistakes);
  writeFileSync(`${html}.writing`, reportHtml(report, outcomeCharts(input).figures, drawings));
  renameSync(`${html}.writing`, html);
  return { html, markdown };
}
