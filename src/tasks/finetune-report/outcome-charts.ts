// Charts of predictions against labels: parity for numbers, ROC curves for yes or no, calibration for probabilities.
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Curve, Series } from "../../train/curve-svg.js";
import { labelsOf } from "./comparison.js";
import type { FinetuneReportInput } from "./input.js";

export interface Figure {
  readonly title: string;
  readonly svg: string;
}

export interface OutcomeCharts {
  /** Charts that are lines. */
  readonly curves: readonly Curve[];
  /** Charts that are not. */
  readonly figures: readonly Figure[];
}

const MOST_CURVES = 7;
const MOST_PARITY = 4;
const PARITY_SIZE = 380;

export function outcomeCharts(input: FinetuneReportInput): OutcomeCharts {
  if (input.task.kind === "binary") return { curves: [rocCurves(input)], figures: [] };
  if (input.task.kind === "classes") return { curves: [], figures: [] };
  const figures = input.task.targets
    .slice(0, MOST_PARITY)
    .map((target, t) => ({ title: `Parity: ${target}`, svg: paritySvg(input, t) }));
  return { curves: [], figures };
}

/** Every method where there is one target, else this model on the targets with the most labels. */
function rocCurves(input: FinetuneReportInput): Curve {
  const { outputs, targets } = input.task;
  const labels = labelsOf(input, input.split[input.scored]);
  const series = (name: string, predictions: Float64Array, t: number) =>
    rocSeries(name, predictions, labels, outputs, t);
  const counts = targets.map((_, t) => labels.filter((label, i) => i % outputs === t && !Number.isNaN(label)).length);
  const most = [...targets.keys()].sort((a, b) => counts[b] - counts[a]).slice(0, MOST_CURVES);
  const [own] = input.methods;
  const drawn =
    outputs === 1
      ? input.methods.slice(0, MOST_CURVES - 1).map(({ name, predictions }) => series(name, predictions, 0))
      : most.slice(0, MOST_CURVES - 1).map((t) => series(targets[t], own.predictions, t));
  return {
    title: "ROC curves",
    xLabel: "false positive rate",
    yLabel: "true positive rate",
    series: [...drawn.filter(({ x }) => x.length > 0), { name: "chance", x: [0, 1], y: [0, 1] }],
  };
}

/** No points where only one class is there. */
function rocSeries(
  name: string,
  predictions: Float64Array,
  labels: Float64Array,
  outputs: number,
  target: number,
): Series {
  const rows: number[] = [];
  for (let i = target; i < labels.length; i += outputs) if (!Number.isNaN(labels[i])) rows.push(i);
  rows.sort((a, b) => predictions[b] - predictions[a]);
  const positives = rows.filter((i) => labels[i] === 1).length;
  const negatives = rows.length - positives;
  if (positives === 0 || negatives === 0) return { name, x: [], y: [] };
  const [x, y] = [[0], [0]];
  let [hits, misses] = [0, 0];
  rows.forEach((i, at) => {
    if (labels[i] === 1) hits++;
    else misses++;
    // Equal scores are one step.
    if (at + 1 < rows.length && predictions[rows[at + 1]] === predictions[i]) return;
    x.push(misses / negatives);
    y.push(hits / positives);
  });
  return { name, x, y };
}

/** Predicted over measured values of one target. */
function paritySvg(input: FinetuneReportInput, target: number): string {
  const { outputs, targets, unit } = input.task;
  const labels = labelsOf(input, input.split[input.scored]);
  const [{ predictions }] = input.methods;
  const points: { label: number; prediction: number }[] = [];
  for (let i = target; i < labels.length; i += outputs) {
    if (!Number.isNaN(labels[i])) points.push({ label: labels[i], prediction: predictions[i] });
  }
  const values = points.flatMap(({ label, prediction }) => [label, prediction]);
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const domain = values.length > 0 ? [low - 0.03 * (high - low), high + 0.03 * (high - low)] : [0, 1];
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const name = `${targets[target]}${unit ? ` (${unit})` : ""}`;
  const axis = { domain, grid: true, ticks: 6, labelArrow: "none", labelAnchor: "center" } as const;
  const chart = Plot.plot({
    document: document as unknown as NonNullable<Plot.PlotOptions["document"]>,
    ...{ width: PARITY_SIZE, height: PARITY_SIZE, marginLeft: 60, marginBottom: 46, marginTop: 14 },
    style: { background: "white", color: "#222", fontFamily: "Helvetica, Arial, sans-serif", fontSize: "12px" },
    x: { ...axis, label: `measured ${name}` },
    y: { ...axis, label: "predicted" },
    marks: [
      Plot.frame({ stroke: "#ccc" }),
      Plot.line(
        domain.map((value) => [value, value]),
        { stroke: "#888", strokeDasharray: "4,3" },
      ),
      Plot.dot(points, { x: "label", y: "prediction", r: 2.5, fill: "#0072b2", fillOpacity: 0.55 }),
    ],
  }) as unknown as { outerHTML: string; setAttribute(name: string, value: string): void };
  chart.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return chart.outerHTML;
}
