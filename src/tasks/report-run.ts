// The report of a fine-tuning run that is done, written anew: its predictions beside those of other runs and of simple methods.
import { join } from "node:path";
import { BASELINES, type BaselineName } from "../train/baselines/baselines.js";
import { openRun } from "./finetune/run-files.js";
import { writeRunReport } from "./finetune/run-report.js";
import { openTask } from "./finetune/score-baseline.js";
import type { FinetuneReportFiles } from "./finetune-report.js";

export interface ReportRunJob {
  /** Folder of the run. */
  readonly run: string;
  /** Runs on the same molecules and split to stand beside it, such as the same network from scratch. */
  readonly compare: readonly string[];
  /** Simple methods to train and compare with; all by default. */
  readonly baselines?: readonly BaselineName[];
}

/**
 * Writes RUN/report.html and RUN/report.md: the page that `finetune` wrote, with the methods asked for beside the model.
 * @throws CheckpointError, ConfigError, DatasetError where a run is not finished, of another task, or its corpus has changed
 */
export async function reportRun(job: ReportRunJob): Promise<FinetuneReportFiles> {
  const run = openRun(job.run);
  const { config, description } = run;
  const input = { inputs: [config.corpus], targets: config.targets, cacheDir: join(job.run, "corpora") };
  const task = await openTask(input, config.split, description.task);
  try {
    const compare = job.compare.map(openRun);
    return await writeRunReport(run, task, { compare, baselines: job.baselines ?? BASELINES });
  } finally {
    task.corpus.close();
  }
}
