// The arguments of an official run ↔ the settings of one of ours.
import { policy } from "../../blend/policy.js";
import { lookUp, type PythonValue, toNumber } from "../../data/python/python-values.js";
import type { ModelConfig } from "../../model/config.js";
import { type PretrainSettings, pretrainSettings } from "../settings.js";
import { officialArguments } from "./architecture.js";

/** `0.2,0.2,0.6`, as the official command line takes it. */
function blendProbabilities(value: PythonValue | undefined): PretrainSettings["blend"]["policy"] | null {
  if (typeof value !== "string") return null;
  const [spd, edge, geometry, ...more] = value.split(",").map(Number);
  const sum = spd + edge + geometry;
  if (more.length > 0 || !(Math.min(spd, edge, geometry) >= 0) || Math.abs(sum - 1) > 1e-6) return null;
  return policy("blend", { probabilities: { spd, edge, geometry } });
}

/** Settings of a run as the reference does it, with the numbers that the checkpoint states. */
export function settingsOf(root: PythonValue, model: ModelConfig): PretrainSettings {
  const base = pretrainSettings("paper", { official: true });
  const args = officialArguments(root);
  const number = (...path: readonly string[]) => toNumber(lookUp(root, ...path));
  const argument = (name: string) => toNumber(lookUp(args, name));
  const criterion = (name: string) => number("cfg", "criterion", name) ?? argument(name);
  const optimization = lookUp(root, "cfg", "optimization", "lr");
  const rate =
    typeof optimization === "object" && optimization !== null && "items" in optimization
      ? toNumber(optimization.items[0])
      : undefined;
  const { lossWeights, dropout, blend } = base;
  return {
    ...base,
    preset: "imported",
    model,
    blend: {
      ...blend,
      noise: argument("noise_scale") ?? blend.noise,
      policy: blendProbabilities(lookUp(args, "blend_prob")) ?? blend.policy,
    },
    lossWeights: {
      spd: criterion("pred_spd_loss_factor") ?? lossWeights.spd,
      edge: criterion("pred_edge_loss_factor") ?? lossWeights.edge,
      geometry: criterion("pred_3d_loss_factor") ?? lossWeights.geometry,
      noise: criterion("denoising_3d_loss_factor") ?? lossWeights.noise,
    },
    dropout: {
      ...dropout,
      attention: argument("attention_dropout") ?? dropout.attention,
      activation: argument("act_dropout") ?? dropout.activation,
      droppath: argument("droppath_prob") ?? dropout.droppath,
    },
    learningRate: rate ?? base.learningRate,
    steps: Math.max(1, Math.round(number("cfg", "optimization", "max_update") ?? base.steps)),
    warmupSteps: number("cfg", "lr_scheduler", "warmup_updates") ?? base.warmupSteps,
    seed: number("cfg", "common", "seed") ?? base.seed,
  };
}
