// How the parameters of the official code map onto ours: which rows of which tensor are which.
import { ATOM_FEATURES, BOND_FEATURES } from "../chem/molecule.js";
import { DEGREE_ROWS, EDGE_CLASSES, SPD_CLASSES, SPD_ROWS } from "../data/fields.js";
import { CheckpointError } from "../errors.js";
import { MAX_HOPS } from "../relations/relations.js";
import type { ModelConfig } from "./config.js";
import { PAIR_HEADS } from "./heads.js";
import { ELEMENTS, PAIR_WIDTH, type ParameterSlot } from "./parameters.js";

/** Rows `from` … of one of our parameters are the rows `at` … of the official tensor. */
interface Piece {
  readonly parameter: string;
  readonly from: number;
  readonly at: number;
  readonly rows: number;
}

export interface ReferenceTensor {
  /** Name in the official state_dict. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Elements of a row, in their tensor and in ours. */
  readonly width: number;
  /** What we train of it; the rest is unused by the computation. */
  readonly pieces: readonly Piece[];
}

/** Value rows a feature has in the official embedding tables, and the table sizes of the released scripts. */
const FEATURE_STRIDE = 512;
const REFERENCE_HOPS = 128;
const REFERENCE_EDGE_TYPES = 1536;
/** Values begin at these rows of the official tables: collation shifts atoms by 2 and bonds by 3. */
const ATOM_SHIFT = 2;
const BOND_SHIFT = 3;
const ELEMENT_SHIFT = 3;

const ENCODER = "encoder.molecule_encoder";

function whole(name: string, shape: readonly number[], parameter: string, from = 0): ReferenceTensor {
  const width = shape.slice(1).reduce((size, dim) => size * dim, 1);
  return { name, shape, width, pieces: [{ parameter, from, at: 0, rows: shape[0] }] };
}

/** Weight and bias of a linear layer that is `from` … of a joint one of ours. */
function linear(name: string, out: number, input: number, parameter: string, from = 0): ReferenceTensor[] {
  return [
    whole(`${name}.weight`, [out, input], `${parameter}.weight`, from),
    whole(`${name}.bias`, [out], `${parameter}.bias`, from),
  ];
}

const norm = (name: string, width: number, parameter: string, from = 0): ReferenceTensor[] => [
  whole(`${name}.weight`, [width], `${parameter}.weight`, from),
  whole(`${name}.bias`, [width], `${parameter}.bias`, from),
];

/** A table in which the values of feature f begin at row f * 512 + shift. */
function featureTable(
  name: string,
  width: number,
  parameter: string,
  features: readonly { readonly size: number }[],
  shift: number,
): ReferenceTensor {
  let from = 0;
  const pieces = features.map(({ size }, f) => {
    const piece = { parameter, from, at: f * FEATURE_STRIDE + shift, rows: size };
    from += size;
    return piece;
  });
  return { name, shape: [features.length * FEATURE_STRIDE + 1, width], width, pieces };
}

function distanceScale(name: string, parameter: string): ReferenceTensor {
  const pieces = [0, 1].map((side) => ({
    parameter,
    from: side * ELEMENTS,
    at: side * FEATURE_STRIDE + ELEMENT_SHIFT,
    rows: ELEMENTS,
  }));
  return { name, shape: [REFERENCE_EDGE_TYPES, 1], width: 1, pieces };
}

function embeddings({ width, heads, kernels }: ModelConfig): ReferenceTensor[] {
  const degree = (side: string): ReferenceTensor => ({
    name: `${ENCODER}.atom_feature.${side}_degree_encoder.weight`,
    shape: [FEATURE_STRIDE, width],
    width,
    pieces: [{ parameter: `embedding.degree_${side}`, from: 0, at: 1, rows: DEGREE_ROWS }],
  });
  const bias = `${ENCODER}.molecule_attn_bias`;
  const geometry = `${ENCODER}.molecule_3d_bias`;
  const hops: ReferenceTensor = {
    name: `${bias}.edge_dis_encoder.weight`,
    shape: [REFERENCE_HOPS * heads * heads, 1],
    width: heads * heads,
    pieces: [{ parameter: "relation.edge_hop", from: 0, at: 0, rows: MAX_HOPS }],
  };
  return [
    featureTable(`${ENCODER}.atom_feature.atom_encoder.weight`, width, "embedding.atom", ATOM_FEATURES, ATOM_SHIFT),
    degree("in"),
    degree("out"),
    whole(`${ENCODER}.atom_feature.graph_token.weight`, [1, width], "embedding.graph_token"),
    featureTable(`${bias}.edge_encoder.weight`, heads, "relation.edge", BOND_FEATURES, BOND_SHIFT),
    hops,
    whole(`${bias}.spatial_pos_encoder.weight`, [SPD_ROWS, heads], "relation.spd"),
    whole(`${bias}.graph_token_virtual_distance.weight`, [1, heads], "relation.virtual_distance"),
    whole(`${geometry}.gbf.means.weight`, [1, kernels], "geometry.means"),
    whole(`${geometry}.gbf.stds.weight`, [1, kernels], "geometry.widths"),
    distanceScale(`${geometry}.gbf.mul.weight`, "geometry.scale"),
    distanceScale(`${geometry}.gbf.bias.weight`, "geometry.shift"),
    ...linear(`${geometry}.gbf_proj.layer1`, kernels, kernels, "geometry.bias1"),
    ...linear(`${geometry}.gbf_proj.layer2`, heads, kernels, "geometry.bias2"),
    ...linear(`${geometry}.edge_proj`, width, kernels, "geometry.atom"),
  ];
}

/** Three single-row linear layers of theirs are one of ours; none where ours predicts something else. */
function forces(name: string, width: number, parameter: string | null): ReferenceTensor[] {
  return [0, 1, 2].flatMap((component) => {
    const part = `${name}.force_proj${component + 1}`;
    return parameter
      ? linear(part, 1, width, parameter, component)
      : unused(`${part}.weight`, [1, width]).concat(unused(`${part}.bias`, [1]));
  });
}

function unused(name: string, shape: readonly number[]): ReferenceTensor[] {
  return [{ name, shape, width: 1, pieces: [] }];
}

function attention(name: string, width: number, parameter: string): ReferenceTensor[] {
  return ["q", "k", "v"].flatMap((part, i) => linear(`${name}.${part}_proj`, width, width, parameter, i * width));
}

function layer(i: number, { width, feedForward }: ModelConfig): ReferenceTensor[] {
  const name = `${ENCODER}.layers.${i}`;
  return [
    ...attention(`${name}.self_attn`, width, `layer.${i}.qkv`),
    ...linear(`${name}.self_attn.out_proj`, width, width, `layer.${i}.out`),
    ...norm(`${name}.self_attn_layer_norm`, width, `layer.${i}.attention_norm`),
    ...linear(`${name}.fc1`, feedForward, width, `layer.${i}.fc1`),
    ...linear(`${name}.fc2`, width, feedForward, `layer.${i}.fc2`),
    ...norm(`${name}.final_layer_norm`, width, `layer.${i}.output_norm`),
  ];
}

function heads({ width, geometryHidden, geometryTarget }: ModelConfig): ReferenceTensor[] {
  const names = { spd: "blend_spd_pred_head", edge: "blend_edge_pred_head", geometry: "blend_3d_pred_head" } as const;
  const states = PAIR_HEADS.flatMap((head, i) =>
    ["row", "column"].flatMap((side, s) => {
      const name = `${ENCODER}.${names[head]}.transform_n2_head.${side}`;
      const from = (2 * i + s) * PAIR_WIDTH;
      return [
        ...linear(`${name}_head`, PAIR_WIDTH, width, "pair.states", from),
        ...norm(`${name}_LayerNorm`, PAIR_WIDTH, "pair.norm", from),
      ];
    }),
  );
  const square = PAIR_WIDTH ** 2;
  const geometry = `${ENCODER}.${names.geometry}`;
  return [
    ...states,
    ...linear(`${ENCODER}.${names.spd}.linear`, SPD_CLASSES, square, "pair.spd"),
    ...linear(`${ENCODER}.${names.edge}.linear_map_feature`, MAX_HOPS * EDGE_CLASSES, square, "pair.edge"),
    ...linear(`${geometry}.linear`, geometryHidden, square, "pair.geometry1"),
    ...forces(geometry, geometryHidden, geometryTarget === "displacement" ? "pair.geometry2" : null),
  ];
}

/** The language-model head that the official model carries and pretraining never uses. */
function languageHead(width: number): ReferenceTensor[] {
  return [
    ...unused("encoder.lm_output_learned_bias", [1]),
    ...unused("encoder.lm_head_transform_weight.weight", [width, width]),
    ...unused("encoder.lm_head_transform_weight.bias", [width]),
    ...unused("encoder.layer_norm.weight", [width]),
    ...unused("encoder.layer_norm.bias", [width]),
    ...unused("encoder.embed_out.weight", [1, width]),
  ];
}

/** Every tensor of the official pretraining model, with the rows of ours that it holds. */
export function referenceLayout(config: ModelConfig): readonly ReferenceTensor[] {
  const { width, layers } = config;
  return [
    ...embeddings(config),
    ...attention(`${ENCODER}.atom_proc`, width, "denoising.qkv"),
    ...forces(`${ENCODER}.atom_proc`, width, "denoising.force"),
    ...norm(`${ENCODER}.emb_layer_norm`, width, "embedding.norm"),
    ...Array.from({ length: layers }, (_, i) => layer(i, config)).flat(),
    ...heads(config),
    ...languageHead(width),
  ];
}

/** The head of the official fine-tuning model (`MoleBlendMolnet`). */
export function taskHeadLayout({ width }: ModelConfig, outputs: number): readonly ReferenceTensor[] {
  return [
    ...linear("encoder.proj_out.dense", width, width, "task.dense"),
    ...linear("encoder.proj_out.out_proj", outputs, width, "task.out"),
  ];
}

/** Our part of a flat array (parameters, gradients) in the shape of an official tensor, over `base` or zeros. */
export function toReference(
  tensor: ReferenceTensor,
  slots: ReadonlyMap<string, ParameterSlot>,
  flat: Float32Array,
  base?: ArrayLike<number>,
): Float32Array {
  const out = new Float32Array(tensor.shape.reduce((size, dim) => size * dim, 1));
  if (base) out.set(base);
  forEachPiece(tensor, slots, (ours, theirs, length) => out.set(flat.subarray(ours, ours + length), theirs));
  return out;
}

/** Copies the rows that we train out of an official tensor. */
export function fromReference(
  tensor: ReferenceTensor,
  slots: ReadonlyMap<string, ParameterSlot>,
  values: ArrayLike<number>,
  flat: Float32Array,
): void {
  forEachPiece(tensor, slots, (ours, theirs, length) => {
    for (let i = 0; i < length; i++) flat[ours + i] = values[theirs + i];
  });
}

function forEachPiece(
  { name, pieces, width }: ReferenceTensor,
  slots: ReadonlyMap<string, ParameterSlot>,
  copy: (ours: number, theirs: number, length: number) => void,
): void {
  for (const { parameter, from, at, rows } of pieces) {
    const slot = slots.get(parameter);
    if (!slot || (from + rows) * width > slot.size) {
      throw new CheckpointError(
        `"${name}": this model has no rows ${from} to ${from + rows} of parameter "${parameter}"`,
      );
    }
    copy(slot.offset + from * width, at * width, rows * width);
  }
}
