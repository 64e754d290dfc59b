// Pretraining as a job: a run folder with settings, logs, checkpoints and a report that shows what was learnt.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { isCorpus } from "../data/manifest.js";
import { ConfigError } from "../errors.js";
import {
  attachmentsOf,
  type Json,
  type LoadedCheckpoint,
  listCheckpoints,
  loadLatest,
  saveCheckpoint,
} from "../train/checkpoint.js";
import type { HeldOut } from "../train/heldout.js";
import { checkpointConfig } from "../train/load-arrays.js";
import { type LoopResult, pretrainLoop } from "../train/loop.js";
import { createProgress, type Progress, type ProgressMode } from "../train/progress.js";
import { replicasFor } from "../train/replicated-trainer.js";
import { openRunLog } from "../train/run-log.js";
import { type PretrainSettings, rescheduled, type ScheduleOverrides } from "../train/settings.js";
import { openEventWriter } from "../train/tensorboard.js";
import { corpusFromInput } from "./corpus-input.js";
import type { PrepareOptions, PrepareSummary } from "./prepare.js";
import { writePretrainReport } from "./pretrain-report.js";

export interface PretrainJob {
  /** A corpus folder, or files of molecules. */
  readonly inputs: readonly string[];
  /** Folder of all runs. */
  readonly runsDir: string;
  /** Name of this run; by default the preset with the first free number. */
  readonly name?: string;
  /** Goes on with the run of this name, or with an imported checkpoint, from its latest checkpoint. */
  readonly resume?: boolean;
  /** What an import is trained with from here on, in the place of what its file says. */
  readonly schedule?: ScheduleOverrides;
  readonly settings: PretrainSettings;
  readonly prepare?: PrepareOptions;
  /** Called when the molecules are there: with what was done, or null where a corpus was there already. */
  readonly onPrepared?: (summary: PrepareSummary | null) => void;
  /** Threads of the runtime; one a core by default. */
  readonly threads?: number;
  /** Threads that make batches. */
  readonly workers?: number;
  readonly progress?: ProgressMode;
  /** Asked after every step: true writes a checkpoint and ends the job. */
  readonly shouldStop?: () => boolean;
  /** The command line that started the job, for the report. */
  readonly command?: string;
}

export interface PretrainSummary {
  readonly run: string;
  /** False when the job was stopped before its last step. */
  readonly finished: boolean;
  readonly step: number;
  readonly heldout: Omit<HeldOut, "losses"> | null;
  readonly moleculesPerSecond: number;
  readonly seconds: number;
  readonly report: string;
  readonly parameters: number;
  readonly corpus: {
    readonly dir: string;
    readonly molecules: number;
    readonly rejects: number;
    readonly train: number;
    readonly heldout: number;
  };
}

const CONFIG = "config.json";

/** The settings a run was started with. @throws ConfigError when there is no such run */
export function runSettings(runDir: string): { settings: PretrainSettings; corpus: string } {
  const path = join(runDir, CONFIG);
  if (!existsSync(path)) throw new ConfigError(`${runDir}: no run to resume, it has no ${CONFIG}`);
  try {
    return JSON.parse(readFileSync(path, "utf8")) as { settings: PretrainSettings; corpus: string };
  } catch (cause) {
    throw new ConfigError(`${path}: expected JSON, got a damaged file`, { cause });
  }
}

/** Written under another name first: a run is there as a whole or not at all. */
function writeConfig(runDir: string, config: { settings: PretrainSettings; corpus: string }): void {
  const writing = join(runDir, `${CONFIG}.writing`);
  writeFileSync(writing, `${JSON.stringify(config, null, 2)}\n`);
  renameSync(writing, join(runDir, CONFIG));
}

function newRunDir({ runsDir, name, settings }: PretrainJob): string {
  if (name !== undefined) {
    const dir = join(runsDir, name);
    // A folder without settings was left by a process that was killed as it began.
    if (existsSync(dir) && !readdirSync(dir).every((entry) => entry.startsWith(CONFIG) && entry !== CONFIG)) {
      throw new ConfigError(`${dir}: this run exists; resume it or take another name`);
    }
    return dir;
  }
  for (let i = 1; ; i++) {
    const dir = join(runsDir, i === 1 ? `pretrain-${settings.preset}` : `pretrain-${settings.preset}-${i}`);
    if (!existsSync(dir)) return dir;
  }
}

/** Whether a folder is an import that was not trained further yet: it has a checkpoint, but no corpus. */
export function isFreshImport(runDir: string): boolean {
  return !existsSync(join(runDir, CONFIG)) && listCheckpoints(join(runDir, "checkpoints")).length > 0;
}

interface Opened {
  readonly run: string;
  readonly settings: PretrainSettings;
  readonly inputs: readonly string[];
  readonly resume: LoadedCheckpoint | null;
  /** Settings and corpus are new. */
  readonly begins: boolean;
}

/** The first training of an import here: its settings, but for the schedule, and molecules of the job. */
function openImport(run: string, { inputs, schedule = {} }: PretrainJob): Opened {
  const resume = loadLatest(join(run, "checkpoints")) as LoadedCheckpoint;
  try {
    checkpointConfig(resume);
    const settings = rescheduled(resume.state.config as unknown as PretrainSettings, schedule);
    const { step } = resume.state;
    if (settings.steps <= step)
      throw new ConfigError(`${run}: steps: expected more than the ${step} updates done, got ${settings.steps}`);
    return { run, settings, inputs, resume, begins: true };
  } catch (error) {
    resume.close();
    throw error;
  }
}

/** A resumed run keeps the settings and the corpus it was started with. */
function openRun(job: PretrainJob): Opened {
  if (!job.resume) {
    return { run: newRunDir(job), settings: job.settings, inputs: job.inputs, resume: null, begins: true };
  }
  const run = join(job.runsDir, job.name ?? `pretrain-${job.settings.preset}`);
  if (isFreshImport(run)) return openImport(run, job);
  const { settings, corpus } = runSettings(run);
  if (!isCorpus(corpus))
    throw new ConfigError(`${run}: its corpus ${corpus} is gone; prepare it there again to resume`);
  const resume = loadLatest(join(run, "checkpoints"));
  return { run, settings, inputs: [corpus], resume, begins: resume === null };
}

/**
 * Pretrains a model, or goes on with a run.
 * @throws ConfigError, DatasetError, CheckpointError
 */
export async function pretrain(job: PretrainJob): Promise<PretrainSummary> {
  const { run, settings: opened, inputs, resume, begins } = openRun(job);
  const threads = job.threads ?? availableParallelism();
  // Kept with the run: sums depend on it in their last bits. Runs from before there were replicas had one.
  const settings = { ...opened, replicas: opened.replicas ?? (begins ? replicasFor(opened.model, threads) : 1) };
  const { corpus, prepared } = await corpusFromInput(inputs, join(job.runsDir, "corpora"), job.prepare);
  job.onPrepared?.(prepared);
  mkdirSync(run, { recursive: true });
  if (begins) writeConfig(run, { settings, corpus: resolve(corpus.dir) });
  const from = resume?.state.step ?? 0;
  const log = openRunLog(join(run, "metrics.jsonl"), from);
  const events = openEventWriter(join(run, "tensorboard"), { firstStep: from + 1 });
  const progress = createProgress({
    label: "pretrain",
    total: settings.steps,
    start: from,
    stream: process.stderr,
    ...(job.progress ? { mode: job.progress } : {}),
  });
  const record = (step: number, values: Readonly<Record<string, number>>) => {
    log.append({ step, ...values });
    events.scalars(step, values);
  };
  // What an import kept of its file goes from checkpoint to checkpoint, so that an export can write it back.
  let carried = resume ? attachmentsOf(resume.path) : [];
  let result: LoopResult;
  try {
    result = await pretrainLoop(
      corpus,
      settings,
      { threads, workers: job.workers ?? 1, resume },
      {
        onStep: ({ step, losses, molecules }) => progress.update(step, losses, molecules),
        onLog: record,
        onHeldOut: (step, heldOut) => {
          record(step, heldOutScalars(heldOut));
          reportHeldOut(progress, step, heldOut);
        },
        onCheckpoint: async (state, model, optimizer) => {
          log.sync();
          const content = { state, model, optimizer, attachments: carried };
          const saved = await saveCheckpoint(join(run, "checkpoints"), content, { keep: settings.keepCheckpoints });
          carried = attachmentsOf(saved);
        },
        ...(job.shouldStop ? { shouldStop: job.shouldStop } : {}),
      },
    );
  } finally {
    progress.finish();
    resume?.close();
    log.close();
    events.close();
    corpus.close();
  }
  return summarise(job, run, settings, corpus, result);
}

function heldOutScalars({ losses, ...measures }: HeldOut): Record<string, number> {
  const entries = Object.entries(measures).flatMap(([name, measure]) =>
    measure ? [[`heldout/${name}`, measure.value]] : [],
  );
  return { ...Object.fromEntries(entries), "heldout/loss": losses.total };
}

function reportHeldOut(progress: Progress, step: number, { losses: _, ...measures }: HeldOut): void {
  const parts = Object.entries(measures).flatMap(([name, m]) =>
    m ? [`${name} ${m.value.toFixed(3)} (${m.baseline.toFixed(3)})`] : [],
  );
  progress.message(`step ${step}, held out (trivial guess): ${parts.join(", ")}`);
}

function summarise(
  job: PretrainJob,
  run: string,
  settings: PretrainSettings,
  corpus: {
    readonly dir: string;
    readonly manifest: {
      readonly counts: { readonly molecules: number };
      readonly rejects: Readonly<Record<string, number>>;
    };
  },
  result: LoopResult,
): PretrainSummary {
  const rejects = Object.values(corpus.manifest.rejects).reduce((sum, count) => sum + count, 0);
  const { losses: _, ...heldout } = result.heldOut ?? { losses: null };
  const summary = {
    run,
    finished: result.step === settings.steps,
    step: result.step,
    heldout: result.heldOut ? (heldout as Omit<HeldOut, "losses">) : null,
    moleculesPerSecond: result.seconds > 0 ? result.molecules / result.seconds : 0,
    seconds: result.seconds,
    parameters: result.parameters,
    corpus: {
      dir: corpus.dir,
      molecules: corpus.manifest.counts.molecules,
      rejects,
      train: result.train,
      heldout: result.validation,
    },
  };
  const command = job.command ?? "moleblend pretrain";
  return { ...summary, report: writePretrainReport(run, summary, settings as unknown as Json, command) };
}
