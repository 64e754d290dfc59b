// Opens what an ONNX export starts from: a pretraining checkpoint, or the models of a fine-tuned run.
import { ConfigError } from "../../errors.js";
import type { ModelConfig } from "../../model/config.js";
import type { PropertyModel } from "../../model/inference-graph.js";
import type { ParameterSlot } from "../../model/parameters.js";
import { findCheckpoint, loadCheckpoint } from "../../train/checkpoint.js";
import { type FinetunedModel, isFinetuned, loadFinetuned } from "../../train/finetuned-model.js";
import { checkpointConfig, modelSlots, readFlat } from "../../train/load-arrays.js";
import { outputNames } from "../finetune/predictions-file.js";

/** One set of parameters. */
export interface OnnxMember {
  /** Before the names of its parameters in the graph. */
  readonly prefix: string;
  /** Reads those of its parameters that the graph takes. @throws CheckpointError naming a tensor that is missing */
  readonly read: (wanted: (slot: ParameterSlot) => boolean) => Float32Array;
}

export interface OnnxSource {
  /** The checkpoint, or the fine-tuned run. */
  readonly path: string;
  readonly config: ModelConfig;
  /** Null for a pretrained model. */
  readonly property: PropertyModel | null;
  readonly slots: readonly ParameterSlot[];
  readonly members: readonly OnnxMember[];
  /** What only this kind of model has to say about itself. */
  readonly metadata: Readonly<Record<string, string>>;
  close(): void;
}

function openPretraining(path: string): OnnxSource {
  const checkpoint = findCheckpoint(path);
  const loaded = loadCheckpoint(checkpoint);
  const { slots, length } = layoutOf(loaded);
  return {
    path: checkpoint,
    config: checkpointConfig(loaded),
    property: null,
    slots,
    members: [{ prefix: "", read: (wanted) => readFlat(loaded.model, slots.filter(wanted), length) }],
    metadata: { "moleblend.step": String(loaded.state.step) },
    close: loaded.close,
  };
}

/** Closes the checkpoint when it does not say what model it holds. */
function layoutOf(loaded: ReturnType<typeof loadCheckpoint>) {
  try {
    return modelSlots(checkpointConfig(loaded));
  } catch (error) {
    loaded.close();
    throw error;
  }
}

/** Everything that a program needs to prepare molecules and to read the answers. */
function taskMetadata({ description }: FinetunedModel, seeds: readonly number[]) {
  const { task, targets, metric, reading, conformers, pretrained, calibration } = description;
  return {
    kind: task.kind,
    /** Names of the columns of `property`. */
    columns: outputNames(targets, task),
    /** Names of the labels; regression: value = mean + std · output of the head, which the graph has done already. */
    targets: targets.map(({ name, mean, std }) => ({ name, ...(task.kind === "regression" ? { mean, std } : {}) })),
    units: task.kind === "regression" ? "those of the labels it was trained on" : "probability",
    readout: task.readout,
    mode: task.mode,
    reading,
    conformers,
    metric,
    pretrained,
    /** Fitted for all seeds together and not applied in the graph. */
    calibration: seeds.length === description.seeds.length ? (calibration ?? null) : null,
    seeds: description.seeds
      .filter(({ seed }) => seeds.includes(seed))
      .map(({ seed, bestEpoch }) => ({ seed, bestEpoch })),
  };
}

function openFinetuned(path: string, seeds: readonly number[] | undefined): OnnxSource {
  const model = loadFinetuned(path);
  const { model: config, task, targets, seeds: all } = model.description;
  const known = all.map(({ seed }) => seed);
  const chosen = [...new Set(seeds ?? known)];
  const unknown = chosen.find((seed) => !known.includes(seed));
  if (unknown !== undefined || chosen.length === 0) {
    throw new ConfigError(`${path}: seeds: expected some of ${known.join(", ")}, got ${unknown ?? "none"}`);
  }
  const prefix = (seed: number) => (chosen.length > 1 ? `seed-${seed}/` : "");
  const members = chosen.map((seed) => ({
    prefix: prefix(seed),
    read: () => model.parameters[known.indexOf(seed)],
  }));
  return {
    path,
    config,
    property: { task, targets, members: members.map((member) => member.prefix) },
    slots: model.slots,
    members,
    metadata: { "moleblend.task": JSON.stringify(taskMetadata(model, chosen)) },
    close() {},
  };
}

/**
 * @param path a checkpoint, a run, a folder of checkpoints, or the run of a fine-tuned model
 * @param seeds of a fine-tuned run, which of its models; all by default
 * @throws CheckpointError when it is damaged or no model; ConfigError for a seed that the run has not
 */
export function openOnnxSource(path: string, seeds?: readonly number[]): OnnxSource {
  if (isFinetuned(path)) return openFinetuned(path, seeds);
  const source = openPretraining(path);
  if (seeds === undefined) return source;
  source.close();
  throw new ConfigError(`${path}: seeds: expected the run of a fine-tuned model to choose from, got ${source.path}`);
}
