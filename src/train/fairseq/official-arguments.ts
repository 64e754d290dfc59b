// The arguments that official checkpoints carry for the model: those of the released pretraining script.

import { dict, float, list, type PythonObject, type PythonValue } from "../../data/python/python-values.js";
import type { ModelConfig } from "../../model/config.js";
import type { PretrainSettings } from "../settings.js";

/** What does not depend on the model. */
const FIXED: Readonly<Record<string, PythonValue>> = {
  arch: "moleblend_base",
  activation_fn: "gelu",
  add_3d: true,
  add_prev_output_tokens: false,
  apply_init: true,
  blend_pred_3d: true,
  blend_pred_edge: true,
  blend_pred_spd: true,
  blending: true,
  cut_length: false,
  data_path: "",
  dataset_name: "PCQM4M-LSC-V2-3D",
  dropout: float(0),
  edge_max_dist: 5,
  edge_type: "multi_hop",
  edge_type_1_num_classes: 4,
  edge_type_2_num_classes: 3,
  edge_type_3_num_classes: 2,
  encoder_learned_pos: true,
  encoder_normalize_before: true,
  init_token: null,
  max_positions: 512,
  mode_prob: "0.2,0.2,0.6",
  multi_hop_max_dist: 5,
  no_2d: false,
  no_shuffle: false,
  no_token_positional_embeddings: false,
  num_atoms: 4608,
  num_classes: 1,
  num_edge_dis: 128,
  num_edges: 1536,
  num_in_degree: 512,
  num_out_degree: 512,
  num_segment: 2,
  num_spatial: 512,
  pooler_activation_fn: "tanh",
  pred_spd: false,
  regression_target: false,
  regularization_3d_denosing: true,
  remove_head: false,
  sandwich_ln: false,
  sent_loss: false,
  sentence_class_num: 2,
  separator_token: null,
  share_encoder_input_output_embed: false,
  shorten_data_split_list: "",
  shorten_method: "none",
  spd_num_classes: 11,
  stat: false,
};

/** Probabilities as the official option spells them; what is no plain blend cannot be spelt and becomes its default. */
function blendOption({ blend }: PretrainSettings): string {
  const probability = (modality: string) =>
    blend.policy.pairs.find(({ shows }) => shows.length === 1 && shows[0] === modality)?.probability;
  const values = ["spd", "edge", "geometry"].map(probability);
  return values.every((value) => value !== undefined) ? values.join(",") : "0.2,0.2,0.6";
}

/** The `argparse.Namespace` of a model. */
export function officialNamespace(model: ModelConfig, settings: PretrainSettings): PythonObject {
  const { dropout, blend, seed } = settings;
  const state = dict({
    ...FIXED,
    act_dropout: float(dropout.activation),
    attention_dropout: float(dropout.attention),
    blend_pred_3d_hidden_dim: model.geometryHidden,
    blend_prob: blendOption(settings),
    droppath_prob: float(dropout.droppath),
    encoder_attention_heads: model.heads,
    encoder_embed_dim: model.width,
    encoder_ffn_embed_dim: model.feedForward,
    encoder_layers: model.layers,
    noise_scale: float(blend.noise),
    num_3d_bias_kernel: model.kernels,
    numpy_seed: seed,
    seed,
  });
  return { kind: "object", type: "argparse.Namespace", made: "new", given: [], entries: [], state };
}

/** fairseq's nested `cfg`, with the entries that its loader and its trainer look at. */
export function officialConfig(model: ModelConfig, settings: PretrainSettings): PythonValue {
  const { lossWeights, adam, learningRate, warmupSteps, steps, seed } = settings;
  const named = (name: string | null, values: Readonly<Record<string, PythonValue>>) =>
    dict({ _name: name, ...values });
  return dict({
    _name: null,
    common: named(null, { seed, fp16: false }),
    optimization: named(null, {
      lr: list([float(learningRate)]),
      clip_norm: float(adam.maxGradientNorm ?? 0),
      max_update: steps,
      update_freq: list([settings.accumulate]),
    }),
    model: officialNamespace(model, settings),
    task: named("graph_prediction", { dataset_name: "PCQM4M-LSC-V2-3D", noise_scale: float(settings.blend.noise) }),
    criterion: named("graph_prediction", {
      pred_spd_loss_factor: float(lossWeights.spd),
      pred_edge_loss_factor: float(lossWeights.edge),
      pred_3d_loss_factor: float(lossWeights.geometry),
      denoising_3d_loss_factor: float(lossWeights.noise),
    }),
    optimizer: named("adam", {
      adam_betas: `(${adam.beta1}, ${adam.beta2})`,
      adam_eps: float(adam.epsilon),
      weight_decay: float(adam.weightDecay),
      lr: list([float(learningRate)]),
    }),
    lr_scheduler: named("cosine", { warmup_updates: warmupSteps }),
  });
}
