// Writes a trained model as an ONNX file of standard operators, and checks that a fresh session computes the same with it.
import { rmSync } from "node:fs";
import { basename } from "node:path";
import { buildBatch } from "../blend/batch.js";
import type { MoleculeDraw } from "../blend/draws.js";
import { ATOM_MODALITIES, MODALITIES, policy } from "../blend/policy.js";
import { ATOM_FEATURES, BOND_FEATURES } from "../chem/molecule.js";
import { FIELDS, type FieldName } from "../data/fields.js";
import { describeFields, PREPROCESSING_VERSION, vocabulary } from "../data/vocabulary.js";
import { CheckpointError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { inferenceGraph, inferenceOutputs } from "../model/inference-graph.js";
import { encodeModel } from "../onnx/encode.js";
import type { Graph } from "../onnx/graph.js";
import { externalData } from "../onnx/initializers.js";
import { standardGraph } from "../onnx/standard.js";
import { Random } from "../random.js";
import { graphRelations } from "../relations/graph.js";
import { runOnnxFile } from "../runtime/onnx-file.js";
import { Session, type Tensor } from "../runtime/session.js";
import { findCheckpoint, loadCheckpoint } from "../train/checkpoint.js";
import { checkpointConfig, modelSlots, readFlat } from "../train/load-arrays.js";
import { parameterTensors } from "../train/trainer.js";
import { writeWhole } from "./export-checkpoint.js";

export interface OnnxOptions {
  /** Names of `inferenceOutputs`; by default the embeddings and the predictions of the heads. */
  readonly outputs?: readonly string[];
  /** Whether the model takes coordinates; true by default. */
  readonly geometry?: boolean;
  /** Bytes of parameters from which they go into FILE.data; protobuf ends at 2 GiB. */
  readonly inlineLimit?: number;
}

export interface OnnxSummary {
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

function defaultOutputs(config: ModelConfig, geometry: boolean): readonly string[] {
  const known = inferenceOutputs(config, { geometry });
  return known.filter((name) => !/^(layer|attention)\./.test(name));
}

/** A chain of atoms with a branch, every feature within its range. */
function sampleMolecule(atoms: number, random: Random) {
  const atomFeatures = Uint8Array.from({ length: atoms * ATOM_FEATURES.length }, (_, i) =>
    Math.floor(random.uniform() * ATOM_FEATURES[i % ATOM_FEATURES.length].size),
  );
  const bonds = Uint16Array.from({ length: 2 * (atoms - 1) }, (_, i) =>
    i % 2 === 0 ? Math.max(0, (i >> 1) - 1) : (i >> 1) + 1,
  );
  const bondFeatures = Uint8Array.from({ length: (atoms - 1) * BOND_FEATURES.length }, (_, i) =>
    Math.floor(random.uniform() * BOND_FEATURES[i % BOND_FEATURES.length].size),
  );
  return graphRelations(atomFeatures, bonds, bondFeatures);
}

/** Two molecules of different size that show everything they have. */
function sampleBatch(config: ModelConfig, geometry: boolean): Readonly<Record<string, Tensor>> {
  const random = Random.fromSeed(1).split("export check");
  const graphs = [9, 5].map((atoms) => sampleMolecule(atoms, random.split(atoms)));
  const { spd, edge, geometry: distance } = MODALITIES;
  const draws = graphs.map(({ atoms }): MoleculeDraw => {
    const positions = Float32Array.from({ length: atoms * 3 }, (_, i) =>
      i % 3 === 0 ? 1.2 * Math.floor(i / 3) : random.normal(),
    );
    return {
      pairs: new Uint8Array(atoms * atoms).fill(spd | edge | (geometry ? distance : 0)),
      atoms: new Uint8Array(atoms).fill(ATOM_MODALITIES.degree | (geometry ? ATOM_MODALITIES.geometry : 0)),
      noise: new Float32Array(atoms * 3),
      positions,
      located: new Uint8Array(atoms).fill(1),
      usable: true,
    };
  });
  return buildBatch(graphs, draws, policy("blend"), config.geometryTarget);
}

function fieldNames(graph: Graph): readonly FieldName[] {
  return graph.inputs.map(({ name }) => name).filter((name): name is FieldName => Object.hasOwn(FIELDS, name));
}

function metadata(config: ModelConfig, step: number, outputs: readonly string[], fields: readonly FieldName[]) {
  return {
    "moleblend.model": JSON.stringify(config),
    "moleblend.step": String(step),
    "moleblend.preprocessing": String(PREPROCESSING_VERSION),
    "moleblend.vocabulary": JSON.stringify(vocabulary()),
    "moleblend.inputs": JSON.stringify(describeFields(fields)),
    "moleblend.outputs": JSON.stringify(outputs),
  };
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
 * @param path a checkpoint, a run, or a folder of checkpoints
 * @throws ConfigError for an unknown output; CheckpointError when the checkpoint is damaged or the file computes otherwise
 */
export async function exportOnnx(path: string, file: string, options: OnnxOptions = {}): Promise<OnnxSummary> {
  const { geometry = true, inlineLimit = INLINE_LIMIT } = options;
  const checkpoint = findCheckpoint(path);
  const loaded = loadCheckpoint(checkpoint);
  try {
    const config = checkpointConfig(loaded);
    const outputs = options.outputs ?? defaultOutputs(config, geometry);
    const graph = inferenceGraph(config, outputs, { geometry });
    const { slots: all, length } = modelSlots(config);
    // A fine-tuned model has no pair heads: what the outputs need must be there, and nothing else.
    const slots = all.filter(({ name }) => graph.inputs.some((input) => input.name === name));
    const flat = readFlat(loaded.model, slots, length);
    const standard = standardGraph(graph);
    const parameters = parameterTensors(slots, flat);
    const initializers = new Map(Object.entries(parameters).map(([name, { data }]) => [name, data as Float32Array]));
    const outside = 4 * slots.reduce((sum, { size }) => sum + size, 0) > inlineLimit;
    const dataFile = outside ? `${file}.data` : null;
    const model = encodeModel(standard, {
      initializers,
      metadata: metadata(config, loaded.state.step, outputs, fieldNames(standard)),
      ...(dataFile ? { externalFile: basename(dataFile) } : {}),
    });
    if (dataFile) await writeWhole(dataFile, externalData(standard, initializers));
    const { bytes } = await writeWhole(file, [model]);

    const batch = sampleBatch(config, geometry);
    const session = await Session.create(graph, { threads: 1 });
    const expected = await session.run({ ...batch, ...parameters });
    await session.close();
    const got = await runOnnxFile(file, batch);
    const difference = deviation(expected, got.results, file);
    if (!(difference <= TOLERANCE)) {
      for (const written of [file, dataFile]) if (written) rmSync(written, { force: true });
      throw new CheckpointError(`${file}: a fresh session differs by ${difference}, expected at most ${TOLERANCE}`);
    }
    return { checkpoint, file, bytes, data: dataFile, inputs: got.inputs, outputs: got.outputs, deviation: difference };
  } finally {
    loaded.close();
  }
}
