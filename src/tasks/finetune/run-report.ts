// The page of a fine-tuning run: its own scores and predictions, beside them other runs and simple methods where they are asked for.
import { basename, join } from "node:path";
import { writeSmiles } from "../../chem/write-smiles.js";
import type { BaselineName } from "../../train/baselines/baselines.js";
import type { Json } from "../../train/checkpoint.js";
import type { Curve } from "../../train/curve-svg.js";
import { readRunLog } from "../../train/run-log.js";
import type { FinetuneReportInput, MethodPredictions } from "../finetune-report/input.js";
import { type FinetuneReportFiles, writeFinetuneReport } from "../finetune-report.js";
import { calibrationTable, describeCalibration } from "./calibrate.js";
import { metricTitle } from "./metric-rows.js";
import { type FinishedRun, readPredictions, refuseOther, scoredPart } from "./run-files.js";
import { type OpenTask, scoreBaselines } from "./score-baseline.js";

export interface RunReportOptions {
  /** Runs on the same molecules and split. */
  readonly compare: readonly FinishedRun[];
  /** Simple methods to train on the same parts. */
  readonly baselines: readonly BaselineName[];
}

/** Loss and validation metric by epoch, a line a seed. */
function curvesOf({ dir, config, summary }: FinishedRun): Curve[] {
  const records = readRunLog(join(dir, "metrics.jsonl"));
  const series = (field: string) =>
    config.seeds.map((seed) => {
      const points = records.flatMap(({ seed: owner, epoch: x, [field]: y }) =>
        owner === seed && typeof x === "number" && typeof y === "number" ? [{ x, y }] : [],
      );
      return { name: `seed ${seed}`, x: points.map(({ x }) => x), y: points.map(({ y }) => y) };
    });
  const title = metricTitle(summary.metric);
  return [
    { title: "Training loss", xLabel: "epoch", yLabel: "loss", series: series("loss") },
    { title: `Validation ${title}`, xLabel: "epoch", yLabel: title, series: series(`validation/${summary.metric}`) },
  ];
}

/** JSON has no NaN. */
const shown = (value: number | null | undefined) => (typeof value === "number" ? value.toPrecision(4) : "not defined");

function summaryLines({ summary, config }: FinishedRun): [string, string | number][] {
  const { metric, parts, data } = summary;
  const part = parts.test ? "test" : "validation";
  const seeds = summary.seeds.map(({ seed, bestEpoch, epochs }, i) => {
    const value = (parts.test ?? parts.validation).seeds[i][metric];
    return `seed ${seed}: ${shown(value)} on ${part}, epoch ${bestEpoch} of ${epochs}`;
  });
  const looked = parts.test
    ? "the test part was scored once, at the end"
    : "the test part was left alone: these scores chose the epoch, and are too good";
  return [
    ["started from", config.from ?? "scratch"],
    ["mode", config.settings.task.mode],
    ["model chosen by", `validation ${metricTitle(metric)}, ${shown(parts.validation.metrics[metric])}; ${looked}`],
    ["seeds", `${seeds.join("; ")}${seeds.length > 1 ? "; the scores above are those of their mean" : ""}`],
    [
      "parameters",
      `${summary.parameters.toLocaleString("en")}, ${summary.trained.toLocaleString("en")} of them trained`,
    ],
    ["speed", `${summary.moleculesPerSecond.toFixed(0)} molecules/s, ${summary.seconds.toFixed(0)} s`],
    ["left out", `${data.rejects} records rejected, ${data.dropped} molecules on two sides of the split`],
    ...(summary.calibration ? [["calibration", describeCalibration(summary.calibration)] as [string, string]] : []),
    ...summary.remarks.map((remark): [string, string] => ["remark", remark]),
  ];
}

const startedFrom = ({ config }: FinishedRun) => (config.from === null ? "from scratch" : "fine-tuned");

async function methodsOf(
  run: FinishedRun,
  task: OpenTask,
  { compare, baselines }: RunReportOptions,
): Promise<MethodPredictions[]> {
  const part = scoredPart(run);
  const molecules = task.data.split[part].length;
  const trained = baselines.length === 0 ? [] : await scoreBaselines(baselines, task, { seed: run.config.seeds[0] });
  return [
    { name: startedFrom(run), predictions: readPredictions(run, molecules), seconds: run.summary.seconds },
    ...compare.map((other) => ({
      name: `${startedFrom(other)} (${basename(other.dir)})`,
      predictions: readPredictions(other, molecules),
      seconds: other.summary.seconds,
    })),
    ...trained.map(({ name, predictions, seconds }) => ({ name, predictions: predictions[part], seconds })),
  ];
}

/**
 * Writes RUN/report.html and RUN/report.md.
 * @param task the molecules, labels and split of the run
 * @throws CheckpointError, ConfigError where a run does not fit the task or the other runs
 */
export async function writeRunReport(
  run: FinishedRun,
  task: OpenTask,
  options: RunReportOptions,
): Promise<FinetuneReportFiles> {
  for (const other of options.compare) refuseOther(run, other);
  const { config, description } = run;
  const { corpus, data, dropped } = task;
  const { names, values } = data.labels;
  const { kind, outputs } = description.task;
  const molecules = data.entries.map(([row]) => corpus.get(row));
  const input: FinetuneReportInput = {
    title: `Fine-tuning: ${names.slice(0, 4).join(", ")}${names.length > 4 ? ", ..." : ""}`,
    task: { kind, outputs, targets: names },
    data: {
      sources: corpus.manifest.sources.map(({ path }) => path),
      structures: molecules.map(writeSmiles),
      names: molecules.map(({ name }) => name),
      labels: values,
      rejects: corpus.manifest.rejects,
    },
    split: { method: config.split.method, seed: config.split.seed, ...data.split, dropped },
    scored: scoredPart(run),
    methods: await methodsOf(run, task, options),
    summary: summaryLines(run),
    tables: run.summary.calibration ? [calibrationTable(run.summary.calibration)] : [],
    curves: curvesOf(run),
    command: config.command ?? "# started from code: finetune() with the settings below",
    settings: config as unknown as Json,
    seed: config.seeds[0],
    versions: config.versions,
  };
  return writeFinetuneReport(run.dir, input);
}
