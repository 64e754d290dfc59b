// What the report of a fine-tuning run is made from.
import type { TaskKind } from "../../model/task-graphs.js";
import type { Json } from "../../train/checkpoint.js";
import type { Curve } from "../../train/curve-svg.js";
import type { ReportTable } from "../../train/report.js";

/** Predictions of one method for the molecules that are scored. */
export interface MethodPredictions {
  /** "fine-tuned", "from scratch", "random forest", "ridge". */
  readonly name: string;
  /** As `taskMetrics` takes them, in the order of the rows scored. [rows * outputs] */
  readonly predictions: Float64Array;
  /** Time to train it. */
  readonly seconds?: number;
}

export interface FinetuneReportInput {
  readonly title: string;
  readonly task: {
    readonly kind: TaskKind;
    /** Tasks, or classes. */
    readonly outputs: number;
    /** Names of the labels: one a task; classes: one. */
    readonly targets: readonly string[];
    readonly unit?: string;
  };
  readonly data: {
    /** Files or folder that were read. */
    readonly sources: readonly string[];
    /** SMILES or MOL block of every molecule, to draw it. [molecules] */
    readonly structures: readonly string[];
    readonly names: readonly string[];
    /** NaN = missing. [molecules * outputs]; classes: the number of the class [molecules] */
    readonly labels: Float64Array;
    /** How many records could not be used, by reason. */
    readonly rejects: Readonly<Record<string, number>>;
  };
  readonly split: {
    readonly method: string;
    readonly seed: number;
    readonly train: Int32Array;
    readonly validation: Int32Array;
    readonly test: Int32Array;
    readonly dropped?: Int32Array;
  };
  /** Which part the predictions are of. */
  readonly scored: "test" | "validation";
  /** The model of this run first, then whatever it is compared with. */
  readonly methods: readonly MethodPredictions[];
  /** Further lines for the top of the page, such as what the run started from. */
  readonly summary?: readonly (readonly [name: string, value: string | number])[];
  /** Further tables, after the results. */
  readonly tables?: readonly ReportTable[];
  readonly curves: readonly Curve[];
  readonly command: string;
  readonly settings: Json;
  readonly seed: number;
  readonly versions: Readonly<Record<string, string>>;
}
