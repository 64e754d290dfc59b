// Writes a trained model as an ONNX file of standard operators, and checks that a fresh session computes the same with it.
import { rmSync } from "node:fs";
import { basename } from "node:path";
import { FIELDS, type FieldName } from "../data/fields.js";
import { describeFields, PREPROCESSING_VERSION, vocabulary } from "../data/vocabulary.js";
import { CheckpointError } from "../errors.js";
import { inferenceGraph, inferenceOutputs } from "../model/inference-graph.js";
import type { ParameterSlot } from "../model/parameters.js";
import { encodeModel } from "../onnx/encode.js";
import type { Graph } from "../onnx/graph.js";
import { externalData } from "../onnx/initializers.js";
import { standardGraph } from "../onnx/standard.js";
import { runOnnxFile } from "../runtime/onnx-file.js";
import { Session, type Tensor } from "../runtime/session.js";
import { parameterTensors } from "../train/trainer.js";
import { writeWhole } from "./export-checkpoint.js";
import { type OnnxSource, openOnnxSource } from "./export-onnx/onnx-source.js";
import { sampleBatch } from "./export-onnx/sample-batch.js";

export interface OnnxOptions {
  /**
   * Names of `inferenceOutputs`; by default the embeddings and the predictions of the heads, or of a fine-tuned model the
   * properties.
   */
  readonly outputs?: readonly string[];
  /** Whether the model takes coordinates; by default if it was trained with them. */
  readonly geometry?: boolean;
  /** Of a fine-tuned run: the models whose mean is the answer; all by default. */
  readonly seeds?: readonly number[];
  /** Bytes of parameters from which they go into FILE.data; protobuf ends at 2 GiB. */
  readonly inlineLimit?: number;
}

export interface OnnxSummary {
  /** The checkpoint, or the fine-tuned run. */
  readonly checkpoint: string;
  readonly file: string;
  readonly bytes: number;
  /** The file with the parameters, where they are not inside. */
  readonly data: string | null;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Largest difference between the file in a fresh session and the graph in this process, over the largest value. */
  readonly deviation: number;
}

/** Leaves room in 2 GiB for the nodes. */
const INLINE_LIMIT = 2 ** 31 - 2 ** 24;
const TOLERANCE = 1e-4;

function defaultOutputs({ config, property }: OnnxSource, geometry: boolean): readonly string[] {
  const known = inferenceOutputs(config, { geometry, property });
  return known.filter((name) => (property ? name.startsWith("property") : !/^(layer|attention)\./.test(name)));
}

function fieldNames(graph: Graph): readonly FieldName[] {
  return graph.inputs.map(({ name }) => name).filter((name): name is FieldName => Object.hasOwn(FIELDS, name));
}

function metadata({ config, metadata: own }: OnnxSource, outputs: readonly string[], fields: readonly FieldName[]) {
  return {
    ...own,
    "moleblend.model": JSON.stringify(config),
    "moleblend.preprocessing": String(PREPROCESSING_VERSION),
    "moleblend.vocabulary": JSON.stringify(vocabulary()),
    "moleblend.inputs": JSON.stringify(describeFields(fields)),
    "moleblend.outputs": JSON.stringify(outputs),
  };
}

/** Of every model the parameters that the graph takes: a fine-tuned model has no pair heads, and few outputs need all. */
function readParameters({ slots, members }: OnnxSource, graph: Graph): Readonly<Record<string, Tensor>> {
  const taken = new Set(graph.inputs.map(({ name }) => name));
  const parameters: Record<string, Tensor> = {};
  for (const { prefix, read } of members) {
    const wanted = ({ name }: ParameterSlot) => taken.has(prefix + name);
    const tensors = parameterTensors(slots.filter(wanted), read(wanted));
    for (const [name, tensor] of Object.entries(tensors)) parameters[prefix + name] = tensor;
  }
  return parameters;
}

/** Largest absolute difference over the largest absolute value, over all outputs. */
function deviation(a: Readonly<Record<string, Tensor>>, b: Readonly<Record<string, Tensor>>, file: string): number {
  let worst = 0;
  for (const [name, { data, shape }] of Object.entries(a)) {
    const other = b[name];
    if (!other || other.shape.join() !== shape.join()) {
      throw new CheckpointError(
        `${file}: output "${name}": expected [${shape}], got ${other ? `[${other.shape}]` : "none"}`,
      );
    }
    let difference = 0;
    let largest = 0;
    for (let i = 0; i < data.length; i++) {
      difference = Math.max(difference, Math.abs(Number(data[i]) - Number(other.data[i])));
      largest = Math.max(largest, Math.abs(Number(data[i])));
      if (Number.isNaN(Number(data[i])) !== Number.isNaN(Number(other.data[i]))) difference = Number.POSITIVE_INFINITY;
    }
    worst = Math.max(worst, largest > 0 ? difference / largest : difference);
  }
  return worst;
}

/**
 * Writes FILE.onnx, and FILE.data beside it where the parameters do not fit into one file of protobuf.
 * @param path a checkpoint, a run, a folder of checkpoints, or the run of a fine-tuned model
 * @throws ConfigError for an unknown output or seed; CheckpointError when the checkpoint is damaged or the file computes otherwise
 */
export async function exportOnnx(path: string, file: string, options: OnnxOptions = {}): Promise<OnnxSummary> {
  const { geometry = true, inlineLimit = INLINE_LIMIT } = options;
  const source = openOnnxSource(path, options.seeds);
  try {
    const outputs = options.outputs ?? defaultOutputs(source, geometry);
    const graph = inferenceGraph(source.config, outputs, { geometry, property: source.property });
    const parameters = readParameters(source, graph);
    const { bytes, dataFile } = await writeModel(source, graph, parameters, file, inlineLimit);

    const batch = sampleBatch(source.config, fieldNames(graph).includes("distance"));
    const session = await Session.create(graph, { threads: 1 });
    const expected = await session.run({ ...batch, ...parameters });
    await session.close();
    const got = await runOnnxFile(file, batch);
    const difference = deviation(expected, got.results, file);
    if (!(difference <= TOLERANCE)) {
      for (const written of [file, dataFile]) if (written) rmSync(written, { force: true });
      throw new CheckpointError(`${file}: a fresh session differs by ${difference}, expected at most ${TOLERANCE}`);
    }
    const { inputs, outputs: given } = got;
    return { checkpoint: source.path, file, bytes, data: dataFile, inputs, outputs: given, deviation: difference };
  } finally {
    source.close();
  }
}

async function writeModel(
  source: OnnxSource,
  graph: Graph,
  parameters: Readonly<Record<string, Tensor>>,
  file: string,
  inlineLimit: number,
): Promise<{ bytes: number; dataFile: string | null }> {
  const standard = standardGraph(graph);
  const initializers = new Map(Object.entries(parameters).map(([name, { data }]) => [name, data as Float32Array]));
  const size = [...initializers.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  const dataFile = size > inlineLimit ? `${file}.data` : null;
  const names = graph.outputs.map(({ name }) => name);
  const model = encodeModel(standard, {
    initializers,
    metadata: metadata(source, names, fieldNames(standard)),
    ...(dataFile ? { externalFile: basename(dataFile) } : {}),
  });
  if (dataFile) await writeWhole(dataFile, externalData(standard, initializers));
  const { bytes } = await writeWhole(file, [model]);
  return { bytes, dataFile };
}
