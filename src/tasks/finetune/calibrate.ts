// Fits the calibration of a run on its validation part, and says what it changes on the part that is scored.
import type { TaskConfig } from "../../model/task-graphs.js";
import {
  type Calibration,
  coverage,
  fitSpread,
  fitTemperature,
  INTERVALS,
  type SpreadSource,
  scaleSpread,
  withTemperature,
} from "../../train/calibration.js";
import { METRICS, taskMetrics } from "../../train/metrics.js";
import type { ReportTable } from "../../train/report.js";
import type { Predictions } from "./predictions-file.js";

export interface CalibrationSummary {
  readonly calibration: Calibration;
  /** What the scores are of. */
  readonly part: "test" | "validation";
  readonly scores: readonly { readonly name: string; readonly before: number; readonly after: number }[];
}

/**
 * @param source of the standard deviations; null where there are none
 * @param labels of the validation part
 * @returns null where there is nothing to fit with
 */
export function fitCalibration(
  { kind, outputs }: TaskConfig,
  source: SpreadSource | null,
  { mean, std }: Omit<Predictions, "calibrated">,
  labels: Float64Array,
): Calibration | null {
  if (kind === "regression") {
    const spread = source && std && fitSpread(mean, std, labels, outputs);
    return spread && { method: "spread", source, ...spread };
  }
  const temperature = fitTemperature(kind, mean, labels, outputs);
  return temperature === null ? null : { method: "temperature", temperature };
}

/** What is written beside a prediction: calibrated standard deviations (regression) or probabilities. */
export function applyCalibration(
  { kind, outputs }: TaskConfig,
  calibration: Calibration | null,
  { mean, std }: Omit<Predictions, "calibrated">,
): Float64Array | null {
  if (calibration?.method === "spread") return std && scaleSpread(std, calibration);
  if (calibration?.method === "temperature" && kind !== "regression")
    return withTemperature(kind, mean, outputs, calibration.temperature);
  return null;
}

/** @param predictions of the scored part, calibrated */
export function scoreCalibration(
  { kind, outputs }: TaskConfig,
  calibration: Calibration,
  part: CalibrationSummary["part"],
  { mean, std, calibrated }: Predictions,
  labels: Float64Array,
): CalibrationSummary | null {
  if (!calibrated) return null;
  if (kind === "regression") {
    const scores = INTERVALS.map(({ share, deviations }) => ({
      name: `labels within the ${100 * share} % interval`,
      before: std ? coverage(mean, std, labels, deviations) : Number.NaN,
      after: coverage(mean, calibrated, labels, deviations),
    }));
    return { calibration, part, scores };
  }
  const [before, after] = [mean, calibrated].map((values) => taskMetrics(kind, values, labels, outputs).average);
  const scores = ["log-loss", "calibration-error"].map((metric) => ({
    ...{ name: METRICS[metric].title, before: before[metric], after: after[metric] },
  }));
  return { calibration, part, scores };
}

/** How the calibration was made, in one line. */
export function describeCalibration({ calibration }: CalibrationSummary): string {
  const fitted = "fitted on the validation part, which also chose the epoch";
  if (calibration.method === "temperature")
    return `probabilities at temperature ${calibration.temperature.toPrecision(3)}, ${fitted}`;
  const { source, factors, floors } = calibration;
  const over =
    source.from === "ensemble" ? `over ${source.models} models` : `over ${source.samples} draws with dropout`;
  const shown = factors
    .slice(0, 4)
    .map((factor, t) => `${factor.toPrecision(3)} (floor ${(floors?.[t] ?? 0).toPrecision(3)})`);
  return `standard deviation ${over} times ${shown.join(", ")}${factors.length > 4 ? ", ..." : ""}, ${fitted}`;
}

export function calibrationTable({ part, scores, calibration }: CalibrationSummary): ReportTable {
  const what = calibration.method === "spread" ? "Uncertainty" : "Probabilities";
  const cell = (value: number | null) => (typeof value === "number" ? value.toFixed(3) : "not defined");
  return {
    title: `${what} on the ${part} molecules, before and after calibration`,
    header: ["", "before", "after"],
    rows: scores.map(({ name, before, after }) => [name, cell(before), cell(after)]),
  };
}
