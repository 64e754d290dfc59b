// A benchmark: tasks × methods × seeds on one split, each cell kept in a file so that it can be resumed.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import type { SplitMethod } from "../data/task-split.js";
import { ConfigError } from "../errors.js";
import type { BaselineName } from "../train/baselines/baselines.js";
import type { FinetuneOverrides } from "../train/task-settings.js";
import {
  type BenchmarkCell,
  type BenchmarkMethod,
  benchmarkMarkdown,
  type Network,
  networkOf,
} from "./benchmark-table.js";
import { openTask, scoreBaselines } from "./finetune/score-baseline.js";
import { finetune } from "./finetune.js";
import type { PrepareOptions } from "./prepare.js";

/** One row of the table: labelled molecules, and what is measured on them. */
export interface BenchmarkTask {
  readonly name: string;
  readonly inputs: readonly string[];
  /** Columns or tags; empty where `prepare.dataset` names them. */
  readonly targets: readonly string[];
  readonly metric: string;
  /** Of the labels, where it is known. */
  readonly unit: string | null;
  readonly prepare: PrepareOptions;
}

export interface BenchmarkJob {
  /** Heading of the table. */
  readonly title: string;
  /** Name of the table's files. */
  readonly name: string;
  readonly tasks: readonly BenchmarkTask[];
  readonly methods: readonly BenchmarkMethod[];
  readonly seeds: readonly number[];
  readonly split: SplitMethod;
  /** Pretrained model; needed by the pretrained methods. */
  readonly from: string | null;
  /** Sizes of the models from scratch, which must be those of the pretrained one. */
  readonly preset: string;
  readonly training: FinetuneOverrides;
  /** Results, and what was computed on the way. */
  readonly outDir: string;
  readonly threads?: number;
  /** The command line, for the table. */
  readonly command: string;
  readonly onCell?: (cell: BenchmarkCell, done: number, total: number) => void;
  readonly shouldStop?: () => boolean;
}

export interface BenchmarkSummary {
  readonly cells: readonly BenchmarkCell[];
  readonly finished: boolean;
  readonly json: string;
  readonly markdown: string;
}

/** All that decides the result of a cell; a kept cell of other settings is not taken. */
function settingsOf(job: BenchmarkJob, task: BenchmarkTask, method: BenchmarkMethod, seed: number): string {
  const { name, targets, metric } = task;
  return JSON.stringify({
    ...{ task: name, targets, metric, method, seed, split: job.split },
    ...(networkOf(method) ? { from: job.from, preset: job.preset, training: job.training } : {}),
  });
}

function checkJob({ tasks, methods, seeds, from }: BenchmarkJob): void {
  if (tasks.length === 0 || methods.length === 0 || seeds.length === 0)
    throw new ConfigError("benchmark: expected at least one task, one method and one seed");
  const pretrained = methods.find((method) => networkOf(method)?.pretrained);
  if (pretrained !== undefined && from === null)
    throw new ConfigError(`benchmark: the method "${pretrained}" needs a pretrained model (--from), got none`);
}

/**
 * Computes what is not there yet, and writes OUT/NAME.json and OUT/NAME.md after every cell.
 * @throws ConfigError, DatasetError; and ConfigError when OUT holds a cell of other settings
 */
export async function runBenchmark(job: BenchmarkJob): Promise<BenchmarkSummary> {
  checkJob(job);
  const cellDir = join(job.outDir, "cells");
  mkdirSync(cellDir, { recursive: true });
  const wanted = job.tasks.flatMap((task) =>
    job.methods.flatMap((method) => job.seeds.map((seed) => ({ task, method, seed }))),
  );
  const cells: BenchmarkCell[] = [];
  let outputs = writeTables(job, cells);
  for (const { task, method, seed } of wanted) {
    if (job.shouldStop?.()) break;
    const path = join(cellDir, `${cellName(task, method, seed)}.json`);
    const settings = settingsOf(job, task, method, seed);
    let cell = keptCell(path, settings);
    if (!cell) {
      cell = { ...(await computeCell(job, task, method, seed)), settings };
      if (job.shouldStop?.()) break; // A run that was cut short is no result.
      replace(path, `${JSON.stringify(cell, null, 2)}\n`);
    }
    cells.push(cell);
    outputs = writeTables(job, cells);
    job.onCell?.(cell, cells.length, wanted.length);
  }
  return { cells, finished: cells.length === wanted.length, ...outputs };
}

const cellName = (task: BenchmarkTask, method: BenchmarkMethod, seed: number): string =>
  `${task.name}-${method}-${seed}`.replace(/[^A-Za-z0-9_.-]+/g, "-");

function keptCell(path: string, settings: string): BenchmarkCell | null {
  if (!existsSync(path)) return null;
  const cell = JSON.parse(readFileSync(path, "utf8")) as BenchmarkCell;
  if (cell.settings === settings) return cell;
  throw new ConfigError(
    `${path}: expected a result of ${settings}, got one of ${cell.settings}; take another folder (--out) or remove it`,
  );
}

async function computeCell(
  job: BenchmarkJob,
  task: BenchmarkTask,
  method: BenchmarkMethod,
  seed: number,
): Promise<Omit<BenchmarkCell, "settings">> {
  const began = performance.now();
  const network = networkOf(method);
  const scores = network
    ? await scoreNetwork(job, task, network, cellName(task, method, seed), seed)
    : await scoreSimple(job, task, method as BaselineName, seed);
  const { name, metric, unit } = task;
  const value = (part: "validation" | "test") => {
    const values = scores[part];
    if (metric in values) return values[metric];
    throw new ConfigError(`benchmark: ${name}: expected one of ${Object.keys(values).join(", ")}, got ${metric}`);
  };
  return {
    ...{ task: name, method, seed, metric, unit, molecules: scores.molecules },
    ...{ validation: value("validation"), test: value("test") },
    seconds: (performance.now() - began) / 1000,
  };
}

interface CellScores {
  readonly molecules: BenchmarkCell["molecules"];
  readonly validation: Readonly<Record<string, number>>;
  readonly test: Readonly<Record<string, number>>;
}

async function scoreNetwork(
  job: BenchmarkJob,
  task: BenchmarkTask,
  { pretrained, mode }: Network,
  name: string,
  seed: number,
): Promise<CellScores> {
  const runsDir = join(job.outDir, "work");
  // What a run that was cut short left behind.
  rmSync(join(runsDir, name), { recursive: true, force: true });
  const { data, parts } = await finetune({
    ...{ inputs: task.inputs, prepare: task.prepare, split: { method: job.split, seed } },
    ...(task.targets.length > 0 ? { targets: task.targets } : {}),
    ...{ runsDir, name, seeds: [seed], mode, preset: job.preset, from: pretrained ? job.from : null },
    ...{ training: { ...job.training, metric: task.metric }, progress: "silent", command: job.command },
    ...(job.threads === undefined ? {} : { threads: job.threads }),
    ...(job.shouldStop ? { shouldStop: job.shouldStop } : {}),
  });
  const { train, validation, test } = data;
  return {
    molecules: { train, validation, test },
    validation: parts.validation.metrics,
    test: parts.test.metrics,
  };
}

async function scoreSimple(
  job: BenchmarkJob,
  { inputs, targets, prepare }: BenchmarkTask,
  method: BaselineName,
  seed: number,
): Promise<CellScores> {
  const cacheDir = join(job.outDir, "work", "corpora");
  const task = await openTask({ inputs, targets, cacheDir, prepare }, { method: job.split, seed });
  try {
    const [{ validation, test }] = await scoreBaselines([method], task, { seed });
    const parts = task.data.split;
    const molecules = { train: parts.train.length, validation: parts.validation.length, test: parts.test.length };
    return { molecules, validation, test };
  } finally {
    task.corpus.close();
  }
}

function writeTables(job: BenchmarkJob, cells: readonly BenchmarkCell[]): Pick<BenchmarkSummary, "json" | "markdown"> {
  const json = join(job.outDir, `${job.name}.json`);
  const markdown = join(job.outDir, `${job.name}.md`);
  const hardware = `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  const { title, command, split, training, from, preset, seeds } = job;
  replace(json, `${JSON.stringify({ command, hardware, split, seeds, from, preset, training, cells }, null, 2)}\n`);
  replace(markdown, benchmarkMarkdown(cells, { title, command, hardware, split }));
  return { json, markdown };
}

/** Readers see the old file or the new one, never a part. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.writing`, text);
  renameSync(`${path}.writing`, path);
}
