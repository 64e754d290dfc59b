// Compares the measures of predictions with those of the reference: ROC-AUC with missing labels, RMSE and MAE.
import { readFileSync } from "node:fs";
import { taskMetrics } from "../../train/metrics.js";
import { type Comparison, compare } from "./comparison.js";

interface GoldenMetrics {
  readonly classification: readonly {
    readonly kind: string;
    readonly num_tasks: number;
    /** [molecules][tasks] */
    readonly logits: readonly (readonly number[])[];
    /** -1 = missing. [molecules][tasks] */
    readonly labels: readonly (readonly number[])[];
    /** Null where no task has labels of both classes. */
    readonly roc_auc: number | null;
  }[];
  readonly regression: {
    readonly pred: readonly (number | readonly number[])[];
    readonly label: readonly (number | readonly number[])[];
    readonly rmse: number;
    readonly mae: number;
  };
}

const TOLERANCE = 1e-12;

export function checkMetrics(path: string, label: string): Comparison[] {
  const { classification, regression } = JSON.parse(readFileSync(path, "utf8")) as GoldenMetrics;
  const areas = classification.map(({ kind, num_tasks: tasks, logits, labels, roc_auc: expected }, i): Comparison => {
    const name = `${label} ROC-AUC ${i + 1} (${kind})`;
    const probabilities = Float64Array.from(logits.flat(), (logit) => 1 / (1 + Math.exp(-logit)));
    const known = Float64Array.from(labels.flat(), (value) => (value === -1 ? Number.NaN : value));
    const area = taskMetrics("binary", probabilities, known, tasks).average["roc-auc"];
    if (expected !== null) return compare(name, [area], [expected], TOLERANCE);
    return { name, error: Number.isNaN(area) ? 0 : 1, tolerance: 0, kind: "equal", note: "not defined" };
  });
  const predictions = Float64Array.from(regression.pred.flat());
  const { average } = taskMetrics("regression", predictions, Float64Array.from(regression.label.flat()), 1);
  return [
    ...areas,
    compare(`${label} RMSE`, [average["rmse"]], [regression.rmse], TOLERANCE),
    compare(`${label} MAE`, [average["mae"]], [regression.mae], TOLERANCE),
  ];
}
