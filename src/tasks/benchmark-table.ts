// The table of a benchmark: mean and spread over the seeds of each method on each set, and in words where pretraining helps.
import { labelledSet } from "../data/labelled-sets.js";
import { isBetter, METRICS } from "../train/metrics.js";

/** A pretrained model, the same network from scratch, and the simple methods. */
export const BENCHMARK_METHODS = ["pretrained", "scratch", "random forest", "gradient boosting"] as const;
export type BenchmarkMethod = (typeof BENCHMARK_METHODS)[number];

/** The result of one method on one set with one seed. */
export interface BenchmarkCell {
  readonly set: string;
  readonly method: BenchmarkMethod;
  readonly seed: number;
  readonly metric: string;
  readonly validation: number;
  readonly test: number;
  readonly molecules: { readonly train: number; readonly validation: number; readonly test: number };
  /** Reading, training and scoring. */
  readonly seconds: number;
  /** All that decides the result, as JSON. */
  readonly settings: string;
}

export interface BenchmarkFacts {
  readonly command: string;
  readonly hardware: string;
  readonly split: string;
}

interface Spread {
  readonly mean: number;
  /** Sample standard deviation; NaN of a single value. */
  readonly std: number;
  readonly count: number;
}

function spreadOfValues(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: Math.sqrt(squares / (values.length - 1)), count: values.length };
}

function text({ mean, std, count }: Spread): string {
  return count > 1 ? `${mean.toFixed(3)} ± ${std.toFixed(3)}` : `${mean.toFixed(3)} (one seed)`;
}

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

export function benchmarkMarkdown(cells: readonly BenchmarkCell[], facts: BenchmarkFacts): string {
  const methods = distinct(cells.map(({ method }) => method));
  const sets = distinct(cells.map(({ set }) => set));
  const spread = (set: string, method: string) => {
    const values = cells.filter((cell) => cell.set === set && cell.method === method).map(({ test }) => test);
    return values.length > 0 ? spreadOfValues(values) : null;
  };
  const rows = sets.map((set) => {
    const [{ metric, molecules }] = cells.filter((cell) => cell.set === set);
    const values = methods.map((method) => spread(set, method));
    const best = values.reduce(
      (found: number | null, one) => (one && (found === null || isBetter(metric, one.mean, found)) ? one.mean : found),
      null,
    );
    const shown = values.map((one) => (one ? (one.mean === best ? `**${text(one)}**` : text(one)) : ""));
    const counts = `${molecules.train} / ${molecules.validation} / ${molecules.test}`;
    const { unit } = labelledSet(set);
    return [set, `${METRICS[metric].title}${unit ? ` (${unit})` : ""}`, counts, ...shown];
  });
  const line = (row: readonly string[]) => `| ${row.join(" | ")} |`;
  const header = ["set", "metric", "train / validation / test", ...methods];
  const seconds = cells.reduce((sum, cell) => sum + cell.seconds, 0);
  return [
    "# MoleculeNet",
    `Test values, mean ± standard deviation over the seeds; ${facts.split} split; the epoch kept is chosen on validation, the test part is scored once. The best mean of a row is bold.`,
    [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n"),
    sets.flatMap((set) => verdict(set, cells, spread)).join("\n"),
    `Hardware: ${facts.hardware}. Time: ${Math.round(seconds)} s for ${cells.length} results, reading included.`,
    `\`\`\`sh\n${facts.command}\n\`\`\``,
  ]
    .filter(Boolean)
    .join("\n\n")
    .concat("\n");
}

/** Says plainly whether the pretrained model beats the same one from scratch, and the simple methods. */
function verdict(
  set: string,
  cells: readonly BenchmarkCell[],
  spread: (set: string, method: string) => Spread | null,
): string[] {
  const pretrained = spread(set, "pretrained");
  if (!pretrained) return [];
  const [{ metric }] = cells.filter((cell) => cell.set === set);
  const compare = (method: BenchmarkMethod) => {
    const other = spread(set, method);
    if (!other) return [];
    const name = method === "scratch" ? "the same network from scratch" : method;
    if (pretrained.count < 2 || other.count < 2) return [`not compared with ${name}: that takes several seeds`];
    if (Math.abs(pretrained.mean - other.mean) <= Math.hypot(pretrained.std, other.std))
      return [`not told apart from ${name} by these seeds`];
    return [`${isBetter(metric, pretrained.mean, other.mean) ? "better" : "worse"} than ${name}`];
  };
  const sentences = (["scratch", "random forest", "gradient boosting"] as const).flatMap(compare);
  return sentences.length > 0 ? [`- ${set}: the pretrained model is ${sentences.join(", ")}.`] : [];
}
