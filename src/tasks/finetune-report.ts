// The report of a fine-tuning run: what the data are, how good the model is beside simple methods, where it errs, and how to get it again.
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadRdkit } from "../chem/rdkit.js";
import type { TaskKind } from "../model/task-graphs.js";
import type { Json } from "../train/checkpoint.js";
import type { Curve } from "../train/curve-svg.js";
import { type Report, writeReport } from "../train/report.js";
import { compareMethods, resultTables, scoreMethods } from "./finetune-report/comparison.js";
import { dataTables } from "./finetune-report/data-tables.js";
import { reportHtml } from "./finetune-report/html.js";
import { drawMistakes, mistakeTable, worstMistakes } from "./finetune-report/mistakes.js";
import { outcomeCharts } from "./finetune-report/outcome-charts.js";

/** Predictions of one method for the molecules that are scored. */
export interface MethodPredictions {
  /** "fine-tuned", "from scratch", "random forest", "ridge". */
  readonly name: string;
  /** As `taskMetrics` takes them, in the order of the rows scored. [rows * outputs] */
  readonly predictions: Float64Array;
  /** Time to train it. */
  readonly seconds?: number;
}

export interface FinetuneReportInput {
  readonly title: string;
  readonly task: {
    readonly kind: TaskKind;
    /** Tasks, or classes. */
    readonly outputs: number;
    /** Names of the labels: one a task; classes: one. */
    readonly targets: readonly string[];
    readonly unit?: string;
  };
  readonly data: {
    /** Files or folder that were read. */
    readonly sources: readonly string[];
    /** SMILES or MOL block of every molecule, to draw it. [molecules] */
    readonly structures: readonly string[];
    readonly names: readonly string[];
    /** NaN = missing. [molecules * outputs]; classes: the number of the class [molecules] */
    readonly labels: Float64Array;
    /** How many records could not be used, by reason. */
    readonly rejects: Readonly<Record<string, number>>;
  };
  readonly split: {
    readonly method: string;
    readonly seed: number;
    readonly train: Int32Array;
    readonly validation: Int32Array;
    readonly test: Int32Array;
    readonly dropped?: Int32Array;
  };
  /** Which part the predictions are of. */
  readonly scored: "test" | "validation";
  /** The model of this run first, then whatever it is compared with. */
  readonly methods: readonly MethodPredictions[];
  /** Further lines for the top of the page, such as what the run started from. */
  readonly summary?: readonly (readonly [name: string, value: string | number])[];
  readonly curves: readonly Curve[];
  readonly command: string;
  readonly settings: Json;
  readonly seed: number;
  readonly versions: Readonly<Record<string, string>>;
}

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
    tables: [...resultTables(input, scores), ...dataTables(input), mistakeTable(input, mistakes)],
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
