// The order in which the official model registers its parameters: what a flat optimizer state is a sequence of.
import type { ReferenceTensor } from "./reference-layout.js";

/** Modules in the order of the official constructors; within a module, names in the order given. */
const MODULES = [
  "lm_output_learned_bias",
  "atom_encoder",
  "in_degree_encoder",
  "out_degree_encoder",
  "graph_token.",
  "edge_encoder",
  "edge_dis_encoder",
  "spatial_pos_encoder",
  "graph_token_virtual_distance",
  "gbf.means",
  "gbf.stds",
  "gbf.mul",
  "gbf.bias",
  "gbf_proj",
  "edge_proj",
  "atom_proc",
  "emb_layer_norm",
  ".layers.",
  "blend_spd_pred_head",
  "blend_edge_pred_head",
  "blend_3d_pred_head",
  "lm_head_transform_weight",
  "encoder.layer_norm",
  "embed_out",
] as const;

/** Parts of a layer, of the denoising head (whose projections stand in another order) and of the pair heads. */
const LAYER_PARTS = [
  "k_proj",
  "v_proj",
  "q_proj",
  "out_proj",
  "self_attn_layer_norm",
  "fc1",
  "fc2",
  "final_layer_norm",
];
const HEAD_PARTS = [
  ...["column_head", "column_LayerNorm", "row_head", "row_LayerNorm", "linear", "linear_map_feature"],
  ...["q_proj", "k_proj", "v_proj", "layer1", "layer2", "force_proj1", "force_proj2", "force_proj3"],
];

function rank(name: string): readonly number[] {
  const module = MODULES.findIndex((part) => name.includes(part));
  const layer = Number(/\.layers\.(\d+)\./.exec(name)?.[1] ?? -1);
  const own = name.split(".").at(-2) ?? "";
  const parts = layer >= 0 ? LAYER_PARTS : HEAD_PARTS;
  return [module, layer, parts.indexOf(own), name.endsWith(".bias") ? 1 : 0];
}

/** Tensors in the order of the official `model.parameters()`. */
export function inReferenceOrder(tensors: readonly ReferenceTensor[]): readonly ReferenceTensor[] {
  const ranked = tensors.map((tensor) => ({ tensor, rank: rank(tensor.name) }));
  ranked.sort((a, b) => {
    const at = a.rank.findIndex((value, i) => value !== b.rank[i]);
    return at < 0 ? 0 : a.rank[at] - b.rank[at];
  });
  return ranked.map(({ tensor }) => tensor);
}
