// The MoleculeNet benchmark: sets × methods × seeds on one split, each cell kept in a file so that it can be resumed.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { labelledSet } from "../data/labelled-sets.js";
import type { SplitMethod } from "../data/task-split.js";
import { ConfigError, DatasetError } from "../errors.js";
import type { BaselineName } from "../train/baselines/baselines.js";
import type { FinetuneOverrides } from "../train/task-settings.js";
import { type BenchmarkCell, type BenchmarkMethod, benchmarkMarkdown } from "./benchmark-table.js";
import { openTask, scoreBaselines } from "./finetune/score-baseline.js";
import { finetune } from "./finetune.js";

export const MOLECULENET_SETS = [
  ...["bbbp", "bace", "clintox", "tox21", "toxcast", "sider", "hiv", "muv"],
  ...["esol", "freesolv", "lipo"],
] as const;

export interface BenchmarkJob {
  /** Folder with the CSV files of the sets. */
  readonly dataDir: string;
  readonly sets: readonly string[];
  readonly methods: readonly BenchmarkMethod[];
  readonly seeds: readonly number[];
  readonly split: SplitMethod;
  /** Pretrained model; needed by the method `pretrained`, whose sizes `scratch` takes over. */
  readonly from: string | null;
  /** Sizes of `scratch` where there is no pretrained model. */
  readonly preset?: string;
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

/** What else the files of the sets are called in copies that go around. */
const FILE_NAMES: Readonly<Record<string, readonly string[]>> = {
  esol: ["delaney", "delaney-processed"],
  freesolv: ["SAMPL"],
  lipo: ["Lipophilicity", "lipophilicity"],
  bbbp: ["BBBP"],
  hiv: ["HIV"],
  toxcast: ["toxcast_data"],
};

/** @throws DatasetError when none of the names is there */
export function fileOfSet(dataDir: string, set: string): string {
  const names = [set, ...(FILE_NAMES[set] ?? [])].flatMap((name) => [`${name}.csv`, `${name}.csv.gz`]);
  for (const folder of [dataDir, join(dataDir, set)]) {
    const found = existsSync(folder) ? names.find((name) => readdirSync(folder).includes(name)) : undefined;
    if (found) return join(folder, found);
  }
  throw new DatasetError(`${dataDir}: expected ${set} as one of ${names.join(", ")}; moleblend datasets gets it`);
}

/** All that decides the result of a cell; a kept cell of other settings is not taken. */
function settingsOf(job: BenchmarkJob, set: string, method: BenchmarkMethod, seed: number): string {
  const isModel = method === "pretrained" || method === "scratch";
  return JSON.stringify({
    ...{ set, method, seed, split: job.split },
    ...(isModel ? { from: job.from, preset: job.preset ?? null, training: job.training } : {}),
  });
}

function checkJob({ sets, methods, seeds, from }: BenchmarkJob): void {
  for (const set of sets) {
    labelledSet(set);
    if (!(MOLECULENET_SETS as readonly string[]).includes(set))
      throw new ConfigError(`benchmark: expected sets of MoleculeNet (${MOLECULENET_SETS.join(", ")}), got "${set}"`);
  }
  if (sets.length === 0 || methods.length === 0 || seeds.length === 0)
    throw new ConfigError("benchmark: expected at least one set, one method and one seed");
  if (methods.includes("pretrained") && from === null)
    throw new ConfigError('benchmark: the method "pretrained" needs a pretrained model (--from), got none');
}

/**
 * Computes what is not there yet, and writes OUT/moleculenet.json and OUT/moleculenet.md after every cell.
 * @throws ConfigError, DatasetError; and ConfigError when OUT holds a cell of other settings
 */
export async function benchmarkMoleculenet(job: BenchmarkJob): Promise<BenchmarkSummary> {
  checkJob(job);
  const cellDir = join(job.outDir, "cells");
  mkdirSync(cellDir, { recursive: true });
  const wanted = job.sets.flatMap((set) =>
    job.methods.flatMap((method) => job.seeds.map((seed) => ({ set, method, seed }))),
  );
  const cells: BenchmarkCell[] = [];
  let outputs = writeTables(job, cells);
  for (const { set, method, seed } of wanted) {
    if (job.shouldStop?.()) break;
    const path = join(cellDir, `${set}-${method.replace(" ", "-")}-${seed}.json`);
    const settings = settingsOf(job, set, method, seed);
    let cell = keptCell(path, settings);
    if (!cell) {
      cell = { ...(await computeCell(job, set, method, seed)), settings };
      if (job.shouldStop?.()) break; // A run that was cut short is no result.
      replace(path, `${JSON.stringify(cell, null, 2)}\n`);
    }
    cells.push(cell);
    outputs = writeTables(job, cells);
    job.onCell?.(cell, cells.length, wanted.length);
  }
  return { cells, finished: cells.length === wanted.length, ...outputs };
}

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
  set: string,
  method: BenchmarkMethod,
  seed: number,
): Promise<Omit<BenchmarkCell, "settings">> {
  const inputs = [fileOfSet(job.dataDir, set)];
  const { metric } = labelledSet(set);
  const split = { method: job.split, seed };
  const runsDir = join(job.outDir, "work");
  const began = performance.now();
  if (method === "pretrained" || method === "scratch") {
    const name = `${set}-${method}-${seed}`;
    // What a run that was cut short left behind.
    rmSync(join(runsDir, name), { recursive: true, force: true });
    const summary = await finetune({
      ...{ inputs, split, runsDir, name, seeds: [seed] },
      from: method === "pretrained" ? job.from : null,
      ...sizesOf(job),
      training: job.training,
      prepare: { dataset: set },
      progress: "silent",
      ...(job.threads === undefined ? {} : { threads: job.threads }),
      ...(job.shouldStop ? { shouldStop: job.shouldStop } : {}),
      command: job.command,
    });
    const { train, validation, test } = summary.data;
    return {
      ...{ set, method, seed, metric, molecules: { train, validation, test } },
      validation: summary.parts.validation.metrics[metric],
      test: summary.parts.test.metrics[metric],
      seconds: (performance.now() - began) / 1000,
    };
  }
  const name: BaselineName = method;
  const input = { inputs, targets: [], cacheDir: join(runsDir, "corpora"), prepare: { dataset: set } };
  const task = await openTask(input, split);
  try {
    const [{ validation, test }] = await scoreBaselines([name], task, { seed });
    const parts = task.data.split;
    const molecules = { train: parts.train.length, validation: parts.validation.length, test: parts.test.length };
    const seconds = (performance.now() - began) / 1000;
    return { set, method, seed, metric, molecules, validation: validation[metric], test: test[metric], seconds };
  } finally {
    task.corpus.close();
  }
}

/** A model from scratch is as large as the pretrained one that it is compared with. */
function sizesOf({ from, preset }: BenchmarkJob): { readonly preset?: string } {
  if (preset !== undefined) return { preset };
  if (from !== null)
    throw new ConfigError("benchmark: expected the preset of the pretrained model (--preset), got none");
  return {};
}

function writeTables(job: BenchmarkJob, cells: readonly BenchmarkCell[]): Pick<BenchmarkSummary, "json" | "markdown"> {
  const json = join(job.outDir, "moleculenet.json");
  const markdown = join(job.outDir, "moleculenet.md");
  const hardware = `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  const { command, split, training, from, seeds } = job;
  replace(json, `${JSON.stringify({ command, hardware, split, seeds, from, training, cells }, null, 2)}\n`);
  replace(markdown, benchmarkMarkdown(cells, { command, hardware, split }));
  return { json, markdown };
}

/** Readers see the old file or the new one, never a part. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.writing`, text);
  renameSync(`${path}.writing`, path);
}
