// The table of a benchmark: mean and spread over the seeds of each method on each set, and in words where pretraining helps.
import { TASK_MODES, type TaskMode } from "../model/task-graphs.js";
import { BASELINES, type BaselineName } from "../train/baselines/baselines.js";
import { isBetter, METRICS } from "../train/metrics.js";

/** A pretrained model, or the same network from scratch; the mode is 2d where none is named. */
type ModelMethod = `${"pretrained" | "scratch"}${"" | ` ${TaskMode}`}`;
export type BenchmarkMethod = ModelMethod | BaselineName;

const START = ["pretrained", "scratch"] as const;
export const BENCHMARK_METHODS: readonly BenchmarkMethod[] = [
  ...START.flatMap((start): ModelMethod[] => [start, ...TASK_MODES.map((mode): ModelMethod => `${start} ${mode}`)]),
  ...BASELINES,
];

/** How the network of a method starts, and what it sees. */
export interface Network {
  readonly pretrained: boolean;
  readonly mode: TaskMode;
}

/** Null for a method that is no network. */
export function networkOf(method: BenchmarkMethod): Network | null {
  const [start, mode = "2d"] = method.split(" ");
  if (start !== "pretrained" && start !== "scratch") return null;
  return { pretrained: start === "pretrained", mode: mode as TaskMode };
}

/** The result of one method on one task with one seed. */
export interface BenchmarkCell {
  /** Name of the task: a row of the table. */
  readonly task: string;
  readonly method: BenchmarkMethod;
  readonly seed: number;
  readonly metric: string;
  /** Of the labels, where it is known. */
  readonly unit: string | null;
  readonly validation: number;
  readonly test: number;
  readonly molecules: { readonly train: number; readonly validation: number; readonly test: number };
  /** Reading, training and scoring. */
  readonly seconds: number;
  /** All that decides the result, as JSON. */
  readonly settings: string;
}

export interface BenchmarkFacts {
  readonly title: string;
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

/** Three decimals, and three digits of what is smaller than a tenth. */
function text({ mean, std, count }: Spread): string {
  const decimals = 3 + Math.max(0, Math.floor(-Math.log10(Math.abs(mean) || 1)));
  const spread = count > 1 ? ` ± ${std.toFixed(decimals)}` : " (one seed)";
  return `${mean.toFixed(decimals)}${spread}`;
}

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

export function benchmarkMarkdown(cells: readonly BenchmarkCell[], facts: BenchmarkFacts): string {
  const methods = distinct(cells.map(({ method }) => method));
  const tasks = distinct(cells.map(({ task }) => task));
  const spread = (task: string, method: BenchmarkMethod) => {
    const values = cells.filter((cell) => cell.task === task && cell.method === method).map(({ test }) => test);
    return values.length > 0 ? spreadOfValues(values) : null;
  };
  const rows = tasks.map((task) => {
    const [{ metric, unit, molecules }] = cells.filter((cell) => cell.task === task);
    const values = methods.map((method) => spread(task, method));
    const best = values.reduce(
      (found: number | null, one) => (one && (found === null || isBetter(metric, one.mean, found)) ? one.mean : found),
      null,
    );
    const shown = values.map((one) => (one ? (one.mean === best ? `**${text(one)}**` : text(one)) : ""));
    const counts = `${molecules.train} / ${molecules.validation} / ${molecules.test}`;
    return [task, `${METRICS[metric].title}${unit ? ` (${unit})` : ""}`, counts, ...shown];
  });
  const line = (row: readonly string[]) => `| ${row.join(" | ")} |`;
  const header = ["task", "metric", "train / validation / test", ...methods];
  const seconds = cells.reduce((sum, cell) => sum + cell.seconds, 0);
  return [
    `# ${facts.title}`,
    `Test values, mean ± standard deviation over the seeds; ${facts.split} split; the epoch kept is chosen on validation, the test part is scored once. The best mean of a row is bold.`,
    [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n"),
    tasks.flatMap((task) => verdicts(task, cells, methods, spread)).join("\n"),
    `Hardware: ${facts.hardware}. Time: ${Math.round(seconds)} s for ${cells.length} results, reading included.`,
    `\`\`\`sh\n${facts.command}\n\`\`\``,
  ]
    .filter(Boolean)
    .join("\n\n")
    .concat("\n");
}

/** Says plainly whether each pretrained model beats the same one from scratch, and the simple methods. */
function verdicts(
  task: string,
  cells: readonly BenchmarkCell[],
  methods: readonly BenchmarkMethod[],
  spread: (task: string, method: BenchmarkMethod) => Spread | null,
): string[] {
  const [{ metric }] = cells.filter((cell) => cell.task === task);
  return methods.flatMap((method) => {
    const network = networkOf(method);
    const own = spread(task, method);
    if (!network?.pretrained || !own) return [];
    const others = methods.filter((other) => {
      const rival = networkOf(other);
      return !rival || (!rival.pretrained && rival.mode === network.mode);
    });
    const sentences = others.flatMap((other) => {
      const result = spread(task, other);
      const name = networkOf(other) ? "the same network from scratch" : other;
      return result ? [comparison(metric, own, result, name)] : [];
    });
    const mode = method === "pretrained" ? "" : ` (${network.mode})`;
    return sentences.length > 0 ? [`- ${task}: the pretrained model${mode} is ${sentences.join(", ")}.`] : [];
  });
}

function comparison(metric: string, own: Spread, other: Spread, name: string): string {
  if (own.count < 2 || other.count < 2) return `not compared with ${name}: that takes several seeds`;
  if (Math.abs(own.mean - other.mean) <= Math.hypot(own.std, other.std))
    return `not told apart from ${name} by these seeds`;
  return `${isBetter(metric, own.mean, other.mean) ? "better" : "worse"} than ${name}`;
}
