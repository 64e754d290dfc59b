// What a fine-tuning run leaves in its folder for a report: its settings, its summary and its predictions.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Papa from "papaparse";
import { CheckpointError, ConfigError } from "../../errors.js";
import { readTaskDescription, type TaskDescription } from "../../train/finetuned-model.js";
import type { FinetuneSettings } from "../../train/task-settings.js";
import type { FinetuneSummary, PartScore } from "../finetune.js";
import { outputNames } from "./predictions-file.js";
import type { SplitRequest } from "./split-entries.js";

/** RUN/config.json: everything that decides what the run gives. */
export interface RunConfig {
  readonly settings: FinetuneSettings;
  readonly seeds: readonly number[];
  readonly split: SplitRequest;
  readonly targets: readonly string[];
  readonly from: string | null;
  readonly corpus: string;
  /** The command line; null where the run was started from code. */
  readonly command: string | null;
  readonly versions: Readonly<Record<string, string>>;
}

/** RUN/summary.json: how it went. Numbers that are not finite come back as null. */
export type RunSummary = Omit<FinetuneSummary<PartScore | null>, "report" | "html">;

const CONFIG_FILE = "config.json";
const SUMMARY_FILE = "summary.json";

function write(path: string, value: object): void {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
}

export function writeRunConfig(dir: string, config: RunConfig): void {
  write(join(dir, CONFIG_FILE), config);
}

export function writeRunSummary(dir: string, summary: RunSummary): void {
  write(join(dir, SUMMARY_FILE), summary);
}

export function predictionsPath(dir: string, part: "validation" | "test"): string {
  return join(dir, `predictions-${part}.csv`);
}

export interface FinishedRun {
  readonly dir: string;
  readonly config: RunConfig;
  readonly summary: RunSummary;
  readonly description: TaskDescription;
}

/** @throws CheckpointError where the folder is no fine-tuning run that is done */
export function openRun(dir: string): FinishedRun {
  const description = readTaskDescription(dir);
  const read = (name: string): unknown => {
    const path = join(dir, name);
    if (!existsSync(path)) {
      throw new CheckpointError(
        `${dir}: expected a fine-tuning run with ${name}, got a folder without it; an older version wrote none, so train again for a report`,
      );
    }
    return JSON.parse(readFileSync(path, "utf8"));
  };
  return { dir, description, config: read(CONFIG_FILE) as RunConfig, summary: read(SUMMARY_FILE) as RunSummary };
}

/** Which part a run was scored on: validation where it left the test part alone. */
export function scoredPart({ summary }: FinishedRun): "test" | "validation" {
  return summary.parts.test ? "test" : "validation";
}

/**
 * Predictions of the part that the run was scored on. [molecules * outputs]
 * @throws CheckpointError where the file does not hold one row for each molecule
 */
export function readPredictions(run: FinishedRun, molecules: number): Float64Array {
  const path = predictionsPath(run.dir, scoredPart(run));
  const { targets, task } = run.description;
  const columns = outputNames(targets, task).map((name) => `${name} predicted`);
  const text = readFileSync(path, "utf8");
  const { data, meta } = Papa.parse<Record<string, string>>(text, { header: true, skipEmptyLines: true });
  const missing = columns.find((column) => !meta.fields?.includes(column));
  if (data.length !== molecules || missing !== undefined) {
    const got = missing === undefined ? `${data.length} rows` : `no column "${missing}"`;
    throw new CheckpointError(
      `${path}: expected predictions (${columns.slice(0, 3).join(", ")}) of ${molecules} molecules, got ${got}`,
    );
  }
  // A value that is not a number was written as an empty cell.
  return Float64Array.from(data.flatMap((row) => columns.map((column) => Number(row[column] || Number.NaN))));
}

/** @throws ConfigError naming what differs between two runs that are to stand in one table */
export function refuseOther(run: FinishedRun, other: FinishedRun): void {
  const facts = (one: FinishedRun) => ({
    split: one.config.split,
    targets: one.config.targets,
    "scored part": scoredPart(one),
  });
  const [ours, theirs] = [facts(run), facts(other)];
  for (const what of ["split", "targets", "scored part"] as const) {
    const [expected, got] = [ours[what], theirs[what]].map((value) => JSON.stringify(value));
    if (expected === got) continue;
    throw new ConfigError(`${other.dir}: expected the ${what} of ${run.dir}, ${expected}, got ${got}`);
  }
}
