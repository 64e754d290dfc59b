// Embedding as a job: molecules and a pretrained or fine-tuned encoder → hidden states, pooled or atom by atom.
import { availableParallelism } from "node:os";
import type { ReaderOptions } from "../data/readers/index.js";
import { ConfigError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { layoutParameters, type ParameterSlot, taskSpecs } from "../model/parameters.js";
import { readsGeometry, type TaskMode } from "../model/task-graphs.js";
import { loadEncoder, openPretrained, pretrainedConfig } from "../train/encoder-weights.js";
import { isFinetuned, loadFinetuned } from "../train/finetuned-model.js";
import { embeddingPool, type Pooling } from "./inference/embedding.js";
import { inOrder } from "./inference/in-order.js";
import { openSource, type SourceMolecule } from "./inference/molecule-source.js";
import { openRejects } from "./inference/rejects.js";
import { openTable, type TableFormat, type TableRow, tableFormat } from "./inference/table-writer.js";

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
  readonly mode?: TaskMode;
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
  readonly mode: TaskMode;
  readonly rejects: Readonly<Record<string, number>>;
  readonly rejectsPath: string | null;
  readonly firstReject: string | null;
  readonly out: string | null;
  readonly moleculesPerSecond: number;
  readonly seconds: number;
}

interface Encoder {
  readonly config: ModelConfig;
  readonly mode: TaskMode;
  readonly reading: { readonly hydrogens: boolean; readonly maxAtoms: number };
  /** In the layout of `taskSpecs(config, 1, readsGeometry(mode))`. */
  readonly parameters: Float32Array;
}

/** Parameters of a fine-tuned model in the layout of one with a single output: the head is not used. */
function encoderOnly(
  from: readonly ParameterSlot[],
  flat: Float32Array,
  config: ModelConfig,
  geometry: boolean,
): Float32Array {
  const { slots, length } = layoutParameters(taskSpecs(config, 1, geometry));
  const copy = new Float32Array(length);
  const own = new Map(from.map((slot) => [slot.name, slot]));
  for (const { name, offset, size } of slots) {
    const slot = own.get(name);
    if (slot?.size === size) copy.set(flat.subarray(slot.offset, slot.offset + size), offset);
  }
  return copy;
}

/** @throws CheckpointError; ConfigError when a fine-tuned model is asked for in a mode that it was not trained in */
function loadEncoderModel({ model, mode, hydrogens = false, maxAtoms = 256 }: EmbedJob): Encoder {
  if (isFinetuned(model)) {
    const { description, slots, parameters } = loadFinetuned(model);
    const { mode: own } = description.task;
    if (mode !== undefined && mode !== own)
      throw new ConfigError(`${model}: expected mode ${own}, that of its training, got ${mode}`);
    return {
      config: description.model,
      mode: own,
      reading: description.reading,
      parameters: encoderOnly(slots, parameters[0], description.model, readsGeometry(own)),
    };
  }
  const checkpoint = openPretrained(model);
  try {
    const config = pretrainedConfig(checkpoint, null);
    const shown = mode ?? "2d";
    const geometry = readsGeometry(shown);
    const { slots, length } = layoutParameters(taskSpecs(config, 1, geometry));
    const flat = new Float32Array(length);
    loadEncoder(checkpoint, config, geometry, slots, flat);
    return { config, mode: shown, reading: { hydrogens, maxAtoms }, parameters: flat };
  } finally {
    checkpoint.close();
  }
}

/**
 * Embeds in bounded memory; rows come in the order of the input.
 * @throws ConfigError, CheckpointError, DatasetError
 */
export async function embed(job: EmbedJob): Promise<EmbedSummary> {
  const { config, mode, reading, parameters } = loadEncoderModel(job);
  const { layer = config.layers, pool = "cls" } = job;
  if (!(Number.isInteger(layer) && layer >= 0 && layer <= config.layers)) {
    throw new ConfigError(`layer: expected 0 (the embedding) to ${config.layers}, got ${layer}`);
  }
  const format = tableFormat(job.out, job.format);
  const rejects = openRejects(job.rejects ?? (job.out === null ? null : `${job.out}.rejects.jsonl`));
  const source = await openSource(job.inputs, {
    ...reading,
    geometry: readsGeometry(mode),
    onReject: rejects.add,
    ...(job.reader ? { reader: job.reader } : {}),
    ...(job.workers === undefined ? {} : { workers: job.workers }),
  });
  const { corpusDir } = source;
  const setup = { kind: "embed", corpusDir, config, mode, layer, pool, parameters } as const;
  const batches = embeddingPool(setup, job.threads ?? availableParallelism());
  const several = job.inputs.length > 1;
  const began = performance.now();
  const table = await openTable(job.out, format, {
    keys: [...(several ? ["file"] : []), "record", "name", ...(pool === "atoms" ? ["atom"] : [])],
    values: { list: "x", length: config.width },
  });
  const rowsOf = (molecules: readonly SourceMolecule[], pooled: Float32Array) => {
    let row = 0;
    return molecules.map(({ atoms }) =>
      Array.from({ length: pool === "atoms" ? atoms : 1 }, () =>
        pooled.subarray(row * config.width, ++row * config.width),
      ),
    );
  };
  const counts = { molecules: 0, rows: 0 };
  try {
    for await (const window of inOrder(source.chunks(), batches, rowsOf)) {
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
    await Promise.all([batches.close(), table.close(), source.close()]);
    rejects.close();
  }
  const seconds = (performance.now() - began) / 1000;
  const first = rejects.first();
  return {
    ...counts,
    width: config.width,
    layer,
    pool,
    mode,
    rejects: rejects.counts(),
    rejectsPath: rejects.path(),
    firstReject: first && `${first.file}:${first.line}: ${first.reason}`,
    out: job.out,
    moleculesPerSecond: counts.molecules / seconds,
    seconds,
  };
}
