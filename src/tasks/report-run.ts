// The full report of a fine-tuning run that is done: its test predictions beside those of other runs and of simple methods.
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import Papa from "papaparse";
import { loadRdkit } from "../chem/rdkit.js";
import { writeSmiles } from "../chem/write-smiles.js";
import { CheckpointError, ConfigError } from "../errors.js";
import { BASELINES, type BaselineName } from "../train/baselines/baselines.js";
import type { Json } from "../train/checkpoint.js";
import type { Curve } from "../train/curve-svg.js";
import { readTaskDescription, type TaskDescription } from "../train/finetuned-model.js";
import { METRICS } from "../train/metrics.js";
import { readRunLog } from "../train/run-log.js";
import { outputNames } from "./finetune/predictions-file.js";
import { type OpenTask, openTask, scoreBaselines } from "./finetune/score-baseline.js";
import type { SplitRequest } from "./finetune/split-entries.js";
import type { MethodPredictions } from "./finetune-report/input.js";
import { type FinetuneReportFiles, writeFinetuneReport } from "./finetune-report.js";

export interface ReportRunJob {
  /** Folder of the run. */
  readonly run: string;
  /** Runs on the same molecules and split to stand beside it, such as the same network from scratch. */
  readonly compare: readonly string[];
  /** Simple methods to train and compare with; all by default. */
  readonly baselines?: readonly BaselineName[];
  readonly versions: Readonly<Record<string, string>>;
}

/** What is read of RUN/config.json. */
interface RunConfig {
  readonly seeds: readonly number[];
  readonly split: SplitRequest;
  readonly targets: readonly string[];
  readonly from: string | null;
  readonly corpus: string;
}

interface FinishedRun {
  readonly dir: string;
  readonly config: RunConfig;
  readonly description: TaskDescription;
}

/** @throws CheckpointError where the run is not a finished fine-tuning run */
function openRun(dir: string): FinishedRun {
  const description = readTaskDescription(dir);
  const path = join(dir, "config.json");
  if (!existsSync(path)) throw new CheckpointError(`${dir}: expected a fine-tuning run with config.json, got none`);
  return { dir, description, config: JSON.parse(readFileSync(path, "utf8")) as RunConfig };
}

/** @throws CheckpointError where the file does not hold one row for each test molecule */
function readPredictions({ dir, description }: FinishedRun, molecules: number): Float64Array {
  const path = join(dir, "predictions-test.csv");
  const columns = outputNames(description.targets, description.task).map((name) => `${name} predicted`);
  const { data } = Papa.parse<Record<string, string>>(readFileSync(path, "utf8"), {
    header: true,
    skipEmptyLines: true,
  });
  const values = Float64Array.from(data.flatMap((row) => columns.map((column) => Number(row[column] || Number.NaN))));
  if (data.length === molecules && !values.includes(Number.NaN)) return values;
  throw new CheckpointError(
    `${path}: expected predictions (${columns.slice(0, 3).join(", ")}) of ${molecules} test molecules, got ${data.length} rows${data.length === molecules ? " with gaps" : ""}`,
  );
}

/** @throws ConfigError naming what differs */
function refuseOther(run: FinishedRun, other: FinishedRun): void {
  for (const what of ["split", "targets"] as const) {
    const [expected, got] = [run.config[what], other.config[what]].map((value) => JSON.stringify(value));
    if (expected === got) continue;
    throw new ConfigError(`${other.dir}: expected the ${what} of ${run.dir}, ${expected}, got ${got}`);
  }
}

function startedFrom({ config }: FinishedRun): string {
  return config.from === null ? "from scratch" : "fine-tuned";
}

function curvesOf({ dir, config, description }: FinishedRun): Curve[] {
  const records = readRunLog(join(dir, "metrics.jsonl"));
  const series = (field: string) =>
    config.seeds.map((seed) => {
      const points = records.flatMap((record) => {
        const [x, y] = [record["epoch"], record[field]];
        return record["seed"] === seed && typeof x === "number" && typeof y === "number" ? [{ x, y }] : [];
      });
      return { name: `seed ${seed}`, x: points.map(({ x }) => x), y: points.map(({ y }) => y) };
    });
  const { metric } = description;
  const title = METRICS[metric].title;
  return [
    { title: "Training loss", xLabel: "epoch", yLabel: "loss", series: series("loss") },
    { title: `Validation ${title}`, xLabel: "epoch", yLabel: title, series: series(`validation/${metric}`) },
  ];
}

/** The command in the run's own report; the run says nothing else of it. */
function commandOf({ dir }: FinishedRun): string {
  const path = join(dir, "report.md");
  const found = existsSync(path) ? /## Command\n+(`{3,})sh\n([\s\S]*?)\n\1/.exec(readFileSync(path, "utf8")) : null;
  return found?.[2] ?? "moleblend finetune";
}

/**
 * Writes RUN/report/report.html and report.md.
 * @throws CheckpointError, ConfigError, DatasetError where a run is not finished, of another task, or its corpus has changed
 */
export async function reportRun(job: ReportRunJob): Promise<FinetuneReportFiles> {
  const run = openRun(job.run);
  const { description, config } = run;
  const { task, targets } = description;
  const input = { inputs: [config.corpus], targets: config.targets, cacheDir: join(job.run, "corpora") };
  const opened = await openTask(input, config.split, task);
  try {
    const { test } = opened.data.split;
    const others = job.compare.map(openRun);
    for (const other of others) refuseOther(run, other);
    const methods: MethodPredictions[] = [
      { name: startedFrom(run), predictions: readPredictions(run, test.length) },
      ...others.map((other) => ({
        name: `${startedFrom(other)} (${basename(other.dir)})`,
        predictions: readPredictions(other, test.length),
      })),
      ...(await scoreBaselines(job.baselines ?? BASELINES, opened, { seed: config.seeds[0] })),
    ];
    return await writeFinetuneReport(join(job.run, "report"), {
      title: `Fine-tuning: ${basename(job.run)}`,
      task: { kind: task.kind, outputs: task.outputs, targets: targets.map(({ name }) => name) },
      data: await dataOf(opened, config.corpus),
      split: { method: config.split.method, seed: config.split.seed, ...opened.data.split, dropped: opened.dropped },
      scored: "test",
      methods,
      summary: [
        ["started from", config.from ?? "scratch"],
        ["seeds of the model", config.seeds.join(", ")],
        ["how it was chosen", "epochs by the validation part; the test part was scored once, at the end"],
      ],
      curves: curvesOf(run),
      command: commandOf(run),
      settings: config as unknown as Json,
      seed: config.seeds[0],
      versions: job.versions,
    });
  } finally {
    opened.corpus.close();
  }
}

async function dataOf({ corpus, data }: OpenTask, path: string) {
  const rdkit = await loadRdkit();
  const molecules = data.entries.map(([row]) => corpus.get(row));
  return {
    sources: [path, `read with RDKit ${rdkit.version}`],
    structures: molecules.map(writeSmiles),
    names: molecules.map(({ name }) => name),
    labels: data.labels.values,
    rejects: corpus.manifest.rejects,
  };
}
