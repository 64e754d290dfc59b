// From the tensors of an official checkpoint to the model they belong to: sizes read off the shapes.

import { lookUp, type PythonTensor, type PythonValue, toNumber } from "../../data/python/python-values.js";
import { CheckpointError } from "../../errors.js";
import { checkConfig, type ModelConfig } from "../../model/config.js";
import { type ReferenceTensor, referenceLayout } from "../../model/reference-layout.js";

type Tensors = ReadonlyMap<string, PythonTensor>;

const ENCODER = "encoder.molecule_encoder";
/** Released scripts. */
const DEFAULT_GEOMETRY_HIDDEN = 256;
const DEFAULT_KERNELS = 128;

/** Arguments of the model: `cfg.model`, or `args` in older files. */
export function officialArguments(root: PythonValue): PythonValue | undefined {
  return lookUp(root, "cfg", "model") ?? lookUp(root, "args") ?? undefined;
}

function dimension(model: Tensors, name: string, axis: number, file: string): number {
  const value = model.get(`${ENCODER}.${name}`)?.shape[axis];
  if (value !== undefined) return value;
  const some = [...model.keys()].slice(0, 3).join(", ");
  throw new CheckpointError(`${file}: not a MoleBLEND model: no tensor "${ENCODER}.${name}" (it has ${some}, …)`);
}

/**
 * Sizes of the model. Where a part was left out (fine-tuned models have no pair heads), its size is that of the
 * arguments, else of the released scripts.
 * @throws CheckpointError when it is not a MoleBLEND model, or arguments and shapes contradict each other
 */
export function readArchitecture(model: Tensors, args: PythonValue | undefined, file: string): ModelConfig {
  const layers = [...model.keys()].flatMap((name) => /\.layers\.(\d+)\./.exec(name)?.[1] ?? []);
  const optional = (name: string, axis: number) => model.get(`${ENCODER}.${name}`)?.shape[axis];
  const argument = (name: string) => toNumber(lookUp(args, name));
  const config: ModelConfig = {
    layers: Math.max(0, ...layers.map((layer) => Number(layer) + 1)),
    width: dimension(model, "atom_feature.graph_token.weight", 1, file),
    heads: dimension(model, "molecule_attn_bias.spatial_pos_encoder.weight", 1, file),
    feedForward: dimension(model, "layers.0.fc1.weight", 0, file),
    kernels: optional("molecule_3d_bias.gbf.means.weight", 1) ?? argument("num_3d_bias_kernel") ?? DEFAULT_KERNELS,
    geometryHidden:
      optional("blend_3d_pred_head.linear.weight", 0) ??
      argument("blend_pred_3d_hidden_dim") ??
      DEFAULT_GEOMETRY_HIDDEN,
    geometryTarget: "displacement",
  };
  const stated = {
    layers: argument("encoder_layers"),
    width: argument("encoder_embed_dim"),
    heads: argument("encoder_attention_heads"),
    feedForward: argument("encoder_ffn_embed_dim"),
    kernels: argument("num_3d_bias_kernel"),
  };
  for (const [name, value] of Object.entries(stated)) {
    const got = config[name as keyof typeof stated];
    if (value !== undefined && value !== got) {
      throw new CheckpointError(`${file}: its arguments say ${name} = ${value}, its tensors ${got}`);
    }
  }
  return checkConfig(config);
}

/** What a layout and the tensors of a file have in common. */
export interface Fit {
  /** Tensors of the file that the model has, in the layout of the file. */
  readonly shared: readonly ReferenceTensor[];
  /** Tensors that pretraining has and the file does not. */
  readonly missing: readonly string[];
  /** Tensors of the file that the pretraining model does not have, or does not use. */
  readonly unused: readonly string[];
}

/**
 * Compares a file with the model it is to become. Tables may have more rows than ours, or fewer, as long as those that
 * we train are there.
 * @throws CheckpointError naming the tensor, its expected and its real shape
 */
export function fitLayout(model: Tensors, config: ModelConfig, file: string): Fit {
  const layout = referenceLayout(config);
  const shared: ReferenceTensor[] = [];
  const missing: string[] = [];
  for (const tensor of layout) {
    const found = model.get(tensor.name);
    if (!found) {
      if (tensor.pieces.length > 0) missing.push(tensor.name);
      continue;
    }
    const rows = tensor.pieces.reduce((most, piece) => Math.max(most, piece.at + piece.rows), 0);
    const table = tensor.pieces.length > 0 && rows * tensor.width < tensor.shape.reduce((size, dim) => size * dim, 1);
    const [length, ...rest] = found.shape;
    const fits = table
      ? rest.join() === tensor.shape.slice(1).join() &&
        length * rest.reduce((size, dim) => size * dim, 1) >= rows * tensor.width
      : found.shape.join() === tensor.shape.join();
    if (!fits && tensor.pieces.length > 0) {
      throw new CheckpointError(`${file}: "${tensor.name}": expected shape [${tensor.shape}], got [${found.shape}]`);
    }
    shared.push({ ...tensor, shape: found.shape });
  }
  const encoder = missing.filter((name) => !/blend_|atom_proc|molecule_3d_bias/.test(name));
  if (encoder.length > 0) {
    throw new CheckpointError(
      `${file}: incomplete: ${encoder.length} tensors of the encoder are missing, such as "${encoder[0]}"`,
    );
  }
  const used = new Set(shared.filter(({ pieces }) => pieces.length > 0).map(({ name }) => name));
  return { shared, missing, unused: [...model.keys()].filter((name) => !used.has(name)) };
}

/** Whether every element of a tensor is one of ours. */
export function isCovered({ shape, width, pieces }: ReferenceTensor): boolean {
  const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
  return pieces.length > 0 && rows * width === shape.reduce((size, dim) => size * dim, 1);
}
