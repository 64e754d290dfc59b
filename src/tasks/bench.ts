// Benchmarks training steps by preset on real molecules, and the speed of everything before them.
import { fork } from "node:child_process";
import { availableParallelism, cpus, totalmem } from "node:os";
import { isReject, readRecords } from "../data/readers/index.js";
import { MoleblendError } from "../errors.js";
import { preset as checkPreset } from "../model/config.js";
import { modelPart, PRODUCTS, sumBy } from "../runtime/profile.js";
import { type DataSpeed, measureDataSpeed } from "./bench/data-speed.js";
import type { MeasureRequest, PresetResult } from "./bench/result.js";
import { corpusFromInput } from "./corpus-input.js";

export interface BenchOptions {
  /** A corpus folder or a file of molecules. */
  readonly input: string;
  readonly presets: readonly string[];
  /** Where a file of molecules is prepared to. */
  readonly cacheDir: string;
  readonly batchSize?: number;
  /**
   * Mean heavy atoms of the molecules measured, for which the largest are left out; 11.7 by default, the mean of the
   * molecules that the reference was measured on.
   */
  readonly meanAtoms?: number;
  /** Steps counted, by default 20; fewer where they take longer than `budget` seconds. */
  readonly steps?: number;
  readonly budget?: number;
  readonly threads?: number;
  /** Of the model; by default as many as training would have, and one for a profile. */
  readonly replicas?: number;
  /** Adds an operator profile of the training graph. */
  readonly profile?: boolean;
  /** Measures the matrix products of a step alone, in the same process. */
  readonly yardstick?: boolean;
  readonly onProgress?: (message: string) => void;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGB: number;
  readonly node: string;
  readonly platform: string;
}

export interface BenchReport {
  readonly machine: Machine;
  readonly results: readonly PresetResult[];
  readonly data: DataSpeed;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryGB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
  };
}

type Reply = { readonly result: PresetResult } | { readonly failure: string };

/** Measures in a process of its own. */
function measureApart(request: MeasureRequest): Promise<PresetResult> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL("./bench/measure.js", import.meta.url), { stdio: ["ignore", 2, 2, "ipc"] });
    let answered = false;
    child.on("message", (reply: Reply) => {
      answered = true;
      if ("result" in reply) resolve(reply.result);
      else reject(new MoleblendError(`benchmark of ${request.preset}: ${reply.failure}`));
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (!answered)
        reject(new MoleblendError(`benchmark of ${request.preset}: its process ended with ${signal ?? code}`));
    });
    child.send(request);
  });
}

/** SMILES of the records that carry them, for the featurizing speed. */
async function someSmiles(input: string, count: number): Promise<string[]> {
  const found: string[] = [];
  for await (const item of readRecords(input)) {
    if (isReject(item)) continue;
    const smiles = item.format === "smiles" ? item.text : item.properties["SMILES"];
    if (smiles) found.push(smiles);
    if (found.length === count) break;
  }
  return found;
}

const SMILES_MEASURED = 3000;

/**
 * @throws ConfigError for an unknown preset, DatasetError when the input cannot be read
 */
export async function bench(options: BenchOptions): Promise<BenchReport> {
  for (const name of options.presets) checkPreset(name);
  const {
    batchSize = 32,
    meanAtoms = 11.7,
    steps = 20,
    budget = 60,
    threads = availableParallelism(),
    profile = false,
    yardstick = false,
  } = options;
  const { corpus } = await corpusFromInput([options.input], options.cacheDir);
  const smiles = corpus.dir === options.input ? [] : await someSmiles(options.input, SMILES_MEASURED);
  options.onProgress?.("data");
  const data = await measureDataSpeed(smiles, corpus, batchSize);
  const results: PresetResult[] = [];
  for (const preset of options.presets) {
    options.onProgress?.(preset);
    results.push(
      await measureApart({
        preset,
        corpusDir: corpus.dir,
        batchSize,
        meanAtoms,
        steps,
        warmup: 3,
        threads,
        ...(options.replicas === undefined ? {} : { replicas: options.replicas }),
        profile,
        yardstick,
        budget,
      }),
    );
  }
  corpus.close();
  return { machine: describeMachine(), results, data };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function formatResult(result: PresetResult): string[] {
  const { preset, parameters, batchSize, meanAtoms, shares, nodes, yardstick } = result;
  const lines = [
    `${preset}: ${result.moleculesPerSecond.toFixed(1)} molecules/s (${result.moleculesPerSecondWithData.toFixed(1)} with waiting for data)`,
    `  ${(parameters / 1e6).toFixed(1)} M parameters, batch ${batchSize}, ${meanAtoms.toFixed(1)} atoms a molecule, ${result.steps} steps${result.replicas > 1 ? `, ${result.replicas} replicas` : ""}`,
    `  step ${(result.stepSeconds * 1000).toFixed(1)} ms, of the time: runtime ${percent(shares.runtime)}, optimizer ${percent(shares.optimizer)}, waiting for data ${percent(shares.data)}`,
    `  peak memory ${result.peakMemoryMB.toFixed(0)} MB, session created in ${result.sessionSeconds.toFixed(2)} s, a batch made in ${(result.batchSeconds * 1000).toFixed(1)} ms`,
  ];
  if (yardstick) {
    const { seconds, stepSeconds, gigaflops, products, shapes } = yardstick;
    lines.push(
      `  ${products} matrix products (${shapes} shapes, ${gigaflops.toFixed(2)} GFLOP) alone ${(seconds * 1000).toFixed(1)} ms at ${(gigaflops / seconds).toFixed(0)} GFLOP/s: ${percent(seconds / stepSeconds)} of a step on that batch (${(stepSeconds * 1000).toFixed(1)} ms)`,
    );
  }
  if (!nodes) return lines;
  const total = nodes.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const table = (rows: ReturnType<typeof sumBy>) =>
    rows
      .slice(0, 16)
      .map(
        ({ key, milliseconds, count }) =>
          `    ${key.padEnd(22)}${milliseconds.toFixed(2).padStart(9)} ms ${percent(milliseconds / total).padStart(8)} ${String(count).padStart(6)} nodes`,
      );
  const products = nodes.filter(({ op }) => PRODUCTS.has(op)).reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return [
    ...lines,
    `  operators (matrix products ${percent(products / total)}):`,
    ...table(sumBy(nodes, ({ op }) => op)),
    "  parts of the model:",
    ...table(sumBy(nodes, modelPart)),
  ];
}

export function formatBench({ machine, results, data }: BenchReport): string {
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB, Node ${machine.node}, ${machine.platform}`,
    ...results.flatMap(formatResult),
    "data, one core:",
    ...(Number.isFinite(data.featurizePerSecond) && data.featurizePerSecond > 0
      ? [`  SMILES to features ${data.featurizePerSecond.toFixed(0)} molecules/s`]
      : []),
    `  features to relations and batch ${data.collatePerSecond.toFixed(0)} molecules/s`,
  ].join("\n");
}
