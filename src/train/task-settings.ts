// Everything that defines a fine-tuning run, as plain data, with its defaults.
import { ConfigError } from "../errors.js";
import { type DropoutConfig, type ModelConfig, NO_DROPOUT } from "../model/config.js";
import type { TaskConfig } from "../model/task-graphs.js";
import { ADAM_DEFAULTS, type AdamConfig } from "./adam.js";

/** What stays as it was loaded: nothing, the whole encoder, or the embeddings and that many layers. */
export type Freeze = "nothing" | "encoder" | number;

export interface FinetuneSettings {
  readonly model: ModelConfig;
  readonly task: TaskConfig;
  readonly dropout: DropoutConfig;
  readonly adam: AdamConfig;
  readonly learningRate: number;
  /** Share of all updates in which the learning rate rises; it then falls along a cosine to 0. */
  readonly warmup: number;
  /** The rate of each layer is that of the one above it times this; the head has the full rate. */
  readonly layerDecay: number;
  readonly freeze: Freeze;
  /** Most epochs. */
  readonly epochs: number;
  /** Epochs without a better validation metric after which training ends. */
  readonly patience: number;
  /** Molecules a batch. */
  readonly batchSize: number;
  readonly classWeights: "none" | "balanced";
  /** The validation metric that decides which epoch is kept. */
  readonly metric: string;
  /** Conformers of a structure whose predictions are averaged in evaluation. */
  readonly conformers: number;
}

export interface FinetuneOverrides {
  readonly learningRate?: number;
  readonly warmup?: number;
  readonly layerDecay?: number;
  readonly freeze?: Freeze;
  readonly epochs?: number;
  readonly patience?: number;
  readonly batchSize?: number;
  readonly classWeights?: "none" | "balanced";
  readonly metric?: string;
  /** Of attention and activations. */
  readonly dropout?: number;
  readonly weightDecay?: number;
  readonly conformers?: number;
}

const CLIP = 1;

/** @throws ConfigError naming the option, what was expected and what came */
export function finetuneSettings(
  model: ModelConfig,
  task: TaskConfig,
  metric: string,
  overrides: FinetuneOverrides = {},
): FinetuneSettings {
  const { dropout = 0.1, freeze = "nothing", weightDecay = 0 } = overrides;
  const settings: FinetuneSettings = {
    model,
    task,
    dropout: { ...NO_DROPOUT, attention: dropout, activation: dropout },
    adam: { ...ADAM_DEFAULTS, weightDecay, maxGradientNorm: CLIP },
    learningRate: overrides.learningRate ?? 5e-4,
    warmup: overrides.warmup ?? 0.06,
    layerDecay: overrides.layerDecay ?? 1,
    freeze,
    epochs: overrides.epochs ?? 60,
    patience: overrides.patience ?? 20,
    batchSize: overrides.batchSize ?? 32,
    classWeights: overrides.classWeights ?? "none",
    metric: overrides.metric ?? metric,
    conformers: overrides.conformers ?? 8,
  };
  const check = (name: string, value: number, fits: boolean, expected: string) => {
    if (!fits) throw new ConfigError(`${name}: expected ${expected}, got ${value}`);
  };
  const whole = (name: "epochs" | "patience" | "batchSize" | "conformers") =>
    check(name, settings[name], Number.isInteger(settings[name]) && settings[name] > 0, "a positive integer");
  for (const name of ["epochs", "patience", "batchSize", "conformers"] as const) whole(name);
  check("dropout", dropout, dropout >= 0 && dropout < 1, "a probability in [0, 1)");
  check("learning rate", settings.learningRate, settings.learningRate > 0, "a positive number");
  check("warm-up", settings.warmup, settings.warmup >= 0 && settings.warmup < 1, "a share in [0, 1)");
  check("layer decay", settings.layerDecay, settings.layerDecay > 0 && settings.layerDecay <= 1, "a factor in (0, 1]");
  if (typeof freeze === "number") {
    const fits = Number.isInteger(freeze) && freeze >= 0 && freeze <= model.layers;
    check("frozen layers", freeze, fits, `0 to ${model.layers}`);
  }
  return settings;
}

/** Height of a parameter: 0 for embeddings and relation biases, 1 … layers for the layers, layers + 1 for the head. */
function height(parameter: string, layers: number): number {
  if (parameter.startsWith("task.")) return layers + 1;
  const layer = /^layer\.(\d+)\./.exec(parameter);
  return layer ? Number(layer[1]) + 1 : 0;
}

/** Whether a parameter learns. */
export function isTrained(parameter: string, { freeze, model }: FinetuneSettings): boolean {
  if (freeze === "nothing") return true;
  const level = height(parameter, model.layers);
  return level > (freeze === "encoder" ? model.layers : freeze);
}

/** Learning-rate factor of a parameter. */
export function rateOf(parameter: string, { layerDecay, model }: FinetuneSettings): number {
  return layerDecay ** (model.layers + 1 - height(parameter, model.layers));
}
