// Embedding as a job: molecules and a pretrained or fine-tuned encoder → hidden states, pooled or atom by atom.
import { availableParallelism } from "node:os";
import type { ReaderOptions } from "../data/readers/index.js";
import { ConfigError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { layoutParameters, taskSpecs } from "../model/parameters.js";
import { embeddingGraph } from "../model/task-graphs.js";
import { Session, type Tensor } from "../runtime/session.js";
import { loadEncoder, openPretrained, pretrainedConfig } from "../train/encoder-weights.js";
import { isFinetuned, loadFinetuned } from "../train/finetuned-model.js";
import { TaskBatchPool } from "../train/task-batch-pool.js";
import { parameterTensors } from "../train/trainer.js";
import { type InferenceBatch, inOrder } from "./inference/in-order.js";
import { openSource, type SourceMolecule } from "./inference/molecule-source.js";
import { openRejects } from "./inference/rejects.js";
import { openTable, type TableFormat, type TableRow, tableFormat } from "./inference/table-writer.js";

/** cls: the graph token; mean, sum: over the atoms; atoms: one row an atom. */
export const POOLINGS = ["cls", "mean", "sum", "atoms"] as const;
export type Pooling = (typeof POOLINGS)[number];

export interface EmbedJob {
  /** A pretraining run, one of its checkpoints, an imported one, or the run of a fine-tuned model (its first seed). */
  readonly model: string;
  readonly inputs: readonly string[];
  /** Table to write; null for standard output. */
  readonly out: string | null;
  readonly format?: TableFormat;
  readonly rejects?: string;
  /** 0 is the embedding, the number of layers (default) the last. */
  readonly layer?: number;
  /** cls by default. */
  readonly pool?: Pooling;
  /** 2d by default; a fine-tuned model has its own. */
  readonly mode?: "2d" | "3d";
  readonly hydrogens?: boolean;
  readonly maxAtoms?: number;
  readonly reader?: ReaderOptions;
  readonly threads?: number;
  readonly workers?: number;
  readonly onProgress?: (molecules: number, rejects: number) => void;
}

export interface EmbedSummary {
  readonly molecules: number;
  readonly rows: number;
  readonly width: number;
  readonly layer: number;
  readonly pool: Pooling;
  readonly mode: "2d" | "3d";
  readonly rejects: Readonly<Record<string, number>>;
  readonly rejectsPath: string | null;
  readonly firstReject: string | null;
  readonly out: string | null;
  readonly moleculesPerSecond: number;
  readonly seconds: number;
}

interface Encoder {
  readonly config: ModelConfig;
  readonly geometry: boolean;
  readonly reading: { readonly hydrogens: boolean; readonly maxAtoms: number };
  readonly parameters: Readonly<Record<string, Tensor>>;
}

/** @throws CheckpointError; ConfigError when a fine-tuned model is asked for in a mode that it was not trained in */
function loadEncoderModel({ model, mode, hydrogens = false, maxAtoms = 256 }: EmbedJob): Encoder {
  if (isFinetuned(model)) {
    const { description, slots, parameters } = loadFinetuned(model);
    const own = description.task.geometry ? "3d" : "2d";
    if (mode !== undefined && mode !== own)
      throw new ConfigError(`${model}: expected mode ${own}, that of its training, got ${mode}`);
    return {
      config: description.model,
      geometry: description.task.geometry,
      reading: description.reading,
      parameters: parameterTensors(slots, parameters[0]),
    };
  }
  const checkpoint = openPretrained(model);
  try {
    const config = pretrainedConfig(checkpoint, null);
    const geometry = mode === "3d";
    const { slots, length } = layoutParameters(taskSpecs(config, 1, geometry));
    const flat = new Float32Array(length);
    loadEncoder(checkpoint, config, geometry, slots, flat);
    return { config, geometry, reading: { hydrogens, maxAtoms }, parameters: parameterTensors(slots, flat) };
  } finally {
    checkpoint.close();
  }
}

/** The hidden states of each molecule of a batch, pooled. @param states [batch * tokens, width] */
function poolStates(
  states: Float32Array,
  molecules: readonly SourceMolecule[],
  width: number,
  pool: Pooling,
): readonly (readonly Float32Array[])[] {
  const tokens = states.length / width / molecules.length;
  return molecules.map(({ atoms }, b) => {
    const token = (t: number) => states.subarray((b * tokens + t) * width, (b * tokens + t + 1) * width);
    // Copies: the batch's array is not kept alive by the rows that wait for their turn.
    if (pool === "cls") return [token(0).slice()];
    if (pool === "atoms") return Array.from({ length: atoms }, (_, i) => token(i + 1).slice());
    const sum = new Float32Array(width);
    for (let i = 1; i <= atoms; i++) {
      const state = token(i);
      for (let c = 0; c < width; c++) sum[c] += state[c];
    }
    if (pool === "mean") for (let c = 0; c < width; c++) sum[c] /= atoms;
    return [sum];
  });
}

/**
 * Embeds in bounded memory; rows come in the order of the input.
 * @throws ConfigError, CheckpointError, DatasetError
 */
export async function embed(job: EmbedJob): Promise<EmbedSummary> {
  const { config, geometry, reading, parameters } = loadEncoderModel(job);
  const { layer = config.layers, pool = "cls" } = job;
  if (!(Number.isInteger(layer) && layer >= 0 && layer <= config.layers)) {
    throw new ConfigError(`layer: expected 0 (the embedding) to ${config.layers}, got ${layer}`);
  }
  const format = tableFormat(job.out, job.format);
  const rejects = openRejects(job.rejects ?? (job.out === null ? null : `${job.out}.rejects.jsonl`));
  const source = await openSource(job.inputs, {
    ...reading,
    geometry,
    onReject: rejects.add,
    ...(job.reader ? { reader: job.reader } : {}),
    ...(job.workers === undefined ? {} : { workers: job.workers }),
  });
  const session = await Session.create(embeddingGraph(config, [layer], geometry), {
    threads: job.threads ?? availableParallelism(),
  });
  const recipe = { geometry, readout: "cls", dropout: [] } as const;
  const batches = new TaskBatchPool({ corpusDir: source.corpusDir, recipe, seed: 0 });
  const several = job.inputs.length > 1;
  const began = performance.now();
  const table = await openTable(job.out, format, {
    keys: [...(several ? ["file"] : []), "record", "name", ...(pool === "atoms" ? ["atom"] : [])],
    values: { list: "x", length: config.width },
  });
  const run = async ({ molecules, tensors }: InferenceBatch) => {
    const results = await session.run({ ...tensors, ...parameters });
    return poolStates(results[`states.${layer}`].data as Float32Array, molecules, config.width, pool);
  };
  const counts = { molecules: 0, rows: 0 };
  try {
    for await (const window of inOrder(source.chunks(), batches, run)) {
      const rows = window.flatMap(({ molecule: { file, record, name }, result }): TableRow[] => {
        const keys = [...(several ? [file] : []), record, name];
        return result.map((values, i) => ({ keys: pool === "atoms" ? [...keys, i] : keys, values }));
      });
      await table.write(rows);
      counts.molecules += window.length;
      counts.rows += rows.length;
      job.onProgress?.(
        counts.molecules,
        Object.values(rejects.counts()).reduce((sum, count) => sum + count, 0),
      );
    }
  } finally {
    await Promise.all([batches.close(), session.close(), table.close(), source.close()]);
    rejects.close();
  }
  const seconds = (performance.now() - began) / 1000;
  const first = rejects.first();
  return {
    ...counts,
    width: config.width,
    layer,
    pool,
    mode: geometry ? "3d" : "2d",
    rejects: rejects.counts(),
    rejectsPath: rejects.path(),
    firstReject: first && `${first.file}:${first.line}: ${first.reason}`,
    out: job.out,
    moleculesPerSecond: counts.molecules / seconds,
    seconds,
  };
}
