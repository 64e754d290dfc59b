// The report of a pretraining run: what was learnt beside trivial guesses, and the curves.
import { join } from "node:path";
import type { Json } from "../train/checkpoint.js";
import { writeReport } from "../train/report.js";
import { type LogRecord, readRunLog } from "../train/run-log.js";
import type { PretrainSummary } from "./pretrain.js";

/** How the measures are named for people. */
export const MEASURES = {
  spd: "shortest path distance, accuracy",
  edge: "bonds along the path, accuracy",
  geometry: "3D",
  denoise: "denoising, cosine with the noise",
} as const;

export function measureName(name: keyof typeof MEASURES, target: string): string {
  if (name !== "geometry") return MEASURES[name];
  return target === "distance" ? "3D distance, variance explained" : "3D displacement, cosine";
}

/** One line a measure: name, value, trivial guess, entries. */
export function heldOutRows({ heldout }: Pick<PretrainSummary, "heldout">, target: string): (string | number)[][] {
  return (Object.keys(MEASURES) as (keyof typeof MEASURES)[]).flatMap((name) => {
    const measure = heldout?.[name];
    return measure
      ? [
          [
            measureName(name, target),
            measure.value.toFixed(4),
            measure.baseline.toFixed(4),
            measure.count.toLocaleString("en"),
          ],
        ]
      : [];
  });
}

export const HELD_OUT_HEADER = ["recovered where it was hidden", "model", "trivial guess", "entries"] as const;

function curve(records: readonly LogRecord[], field: string): { name: string; x: number[]; y: number[] } {
  const points = records.flatMap((record) => {
    const y = record[field];
    return typeof y === "number" ? [{ x: record.step, y }] : [];
  });
  return { name: field.replace("heldout/", ""), x: points.map(({ x }) => x), y: points.map(({ y }) => y) };
}

/** Writes RUN/report.md with its SVG curves and returns the path. */
export function writePretrainReport(
  run: string,
  summary: Omit<PretrainSummary, "report">,
  settings: Json,
  command: string,
): string {
  const records = readRunLog(join(run, "metrics.jsonl"));
  const series = (fields: readonly string[]) =>
    fields.map((field) => curve(records, field)).filter(({ x }) => x.length > 0);
  const target = (settings as { model: { geometryTarget: string } }).model.geometryTarget;
  const { corpus } = summary;
  return writeReport(run, {
    title: "MoleBLEND pretraining",
    summary: [
      ["run", run],
      ["steps", summary.finished ? summary.step : `${summary.step} (stopped early)`],
      ["parameters", summary.parameters.toLocaleString("en")],
      [
        "molecules",
        `${corpus.molecules} (${corpus.train} to train on, ${corpus.heldout} held out; ${corpus.rejects} records rejected)`,
      ],
      ["speed", `${summary.moleculesPerSecond.toFixed(0)} molecules/s, ${summary.seconds.toFixed(0)} s`],
    ],
    tables: [{ title: "Held-out molecules", header: HELD_OUT_HEADER, rows: heldOutRows(summary, target) }],
    curves: [
      { title: "Training loss", xLabel: "step", yLabel: "weighted sum", smooth: true, series: series(["total"]) },
      {
        title: "Loss terms",
        xLabel: "step",
        yLabel: "loss",
        logScale: true,
        smooth: true,
        series: series(["spd", "edge", "geometry", "noise"]),
      },
      {
        title: "Held-out measures",
        xLabel: "step",
        yLabel: "larger is better",
        series: series(["heldout/spd", "heldout/edge", "heldout/geometry", "heldout/denoise"]),
      },
    ],
    command,
    settings,
  });
}
