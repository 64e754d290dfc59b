// Gathers what the report of a fine-tuning run shows: molecules, labels, predictions of the model and of simple methods, curves.
import { join } from "node:path";
import { FINGERPRINT_BITS, FINGERPRINT_BYTES, morganFingerprint } from "../../chem/fingerprint.js";
import { loadRdkit } from "../../chem/rdkit.js";
import { writeSmiles } from "../../chem/write-smiles.js";
import type { Corpus } from "../../data/corpus.js";
import { type BaselineName, runBaseline } from "../../train/baselines/baselines.js";
import { unpackFingerprints } from "../../train/baselines/binary-features.js";
import type { Json } from "../../train/checkpoint.js";
import type { Curve } from "../../train/curve-svg.js";
import { readRunLog } from "../../train/run-log.js";
import type { TaskData } from "../../train/task-data.js";
import type { FinetuneSettings } from "../../train/task-settings.js";
import type { FinetuneJob, FinetuneSummary } from "../finetune.js";
import type { FinetuneReportInput, MethodPredictions } from "../finetune-report/input.js";
import { metricTitle } from "./metric-rows.js";

/** Loss and validation metric by epoch, a line a seed. */
function curvesOf(run: string, seeds: readonly number[], metric: string): Curve[] {
  const records = readRunLog(join(run, "metrics.jsonl"));
  const series = (field: string) =>
    seeds.map((seed) => {
      const points = records.flatMap(({ seed: owner, epoch: x, [field]: y }) =>
        owner === seed && typeof x === "number" && typeof y === "number" ? [{ x, y }] : [],
      );
      return { name: `seed ${seed}`, x: points.map(({ x }) => x), y: points.map(({ y }) => y) };
    });
  const title = metricTitle(metric);
  return [
    { title: "Training loss", xLabel: "epoch", yLabel: "loss", series: series("loss") },
    { title: `Validation ${title}`, xLabel: "epoch", yLabel: title, series: series(`validation/${metric}`) },
  ];
}

/** Simple methods on fingerprints, trained on the same part. */
async function baselinePredictions(
  names: readonly BaselineName[],
  corpus: Corpus,
  { entries, labels, split }: TaskData,
  { task }: FinetuneSettings,
  seed: number,
): Promise<MethodPredictions[]> {
  if (names.length === 0) return [];
  const rdkit = await loadRdkit();
  const bytes = new Uint8Array(entries.length * FINGERPRINT_BYTES);
  entries.forEach(([row], i) => {
    bytes.set(morganFingerprint(rdkit, corpus.get(row)), i * FINGERPRINT_BYTES);
  });
  const features = unpackFingerprints(bytes, FINGERPRINT_BITS);
  const { kind, outputs } = task;
  const data = { kind, outputs, features, labels: labels.values, train: split.train, validation: split.validation };
  return names.map((name) => runBaseline(name, data, split.test, { seed }));
}

function summaryLines(summary: Omit<FinetuneSummary, "report" | "html">): [string, string | number][] {
  const { metric, parts, data } = summary;
  const seeds = summary.seeds.map(({ seed, bestEpoch, epochs }, i) => {
    const value = parts.test.seeds[i][metric];
    return `seed ${seed}: ${value.toPrecision(4)} on test, epoch ${bestEpoch} of ${epochs}`;
  });
  return [
    ["started from", summary.pretrained ?? "scratch"],
    [
      "model chosen by",
      `validation ${metricTitle(metric)}, ${parts.validation.metrics[metric].toPrecision(4)}; the test part was scored once, at the end`,
    ],
    ["seeds", `${seeds.join("; ")}${seeds.length > 1 ? "; the scores above are those of their mean" : ""}`],
    [
      "parameters",
      `${summary.parameters.toLocaleString("en")}, ${summary.trained.toLocaleString("en")} of them trained`,
    ],
    ["speed", `${summary.moleculesPerSecond.toFixed(0)} molecules/s, ${summary.seconds.toFixed(0)} s`],
    ["left out", `${data.rejects} records rejected, ${data.dropped} molecules on two sides of the split`],
    ...summary.remarks.map((remark): [string, string] => ["remark", remark]),
  ];
}

/** @param predictions mean of the seeds for the test part [test * outputs] */
export async function reportInput(
  job: FinetuneJob,
  corpus: Corpus,
  data: TaskData,
  settings: FinetuneSettings,
  summary: Omit<FinetuneSummary, "report" | "html">,
  predictions: Float64Array,
  record: Json,
): Promise<FinetuneReportInput> {
  const { entries, labels, split } = data;
  const { kind, outputs } = settings.task;
  const molecules = entries.map(([row]) => corpus.get(row));
  const { method, seed } = job.split;
  const baselines = await baselinePredictions(job.baselines ?? [], corpus, data, settings, seed);
  return {
    title: `Fine-tuning: ${labels.names.slice(0, 4).join(", ")}${labels.names.length > 4 ? ", ..." : ""}`,
    task: { kind, outputs, targets: labels.names },
    data: {
      sources: corpus.manifest.sources.map(({ path }) => path),
      structures: molecules.map(writeSmiles),
      names: molecules.map(({ name }) => name),
      labels: labels.values,
      rejects: corpus.manifest.rejects,
    },
    split: { method, seed, ...split },
    scored: "test",
    methods: [
      { name: summary.pretrained === null ? "from scratch" : "fine-tuned", predictions, seconds: summary.seconds },
      ...baselines,
    ],
    summary: summaryLines(summary),
    curves: curvesOf(
      summary.run,
      summary.seeds.map((own) => own.seed),
      summary.metric,
    ),
    command: job.command ?? "moleblend finetune",
    settings: record,
    seed,
    versions: { node: process.version, rdkit: corpus.manifest.rdkitVersion },
  };
}
