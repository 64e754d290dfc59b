// What is trained, as plain data: what every thread that holds a replica makes its trainer from.
import type { DropoutConfig, LossWeights, ModelConfig } from "../model/config.js";
import { LOSS_TERMS } from "../model/graphs.js";
import { type ParameterSpec, parameterSpecs, taskSpecs } from "../model/parameters.js";
import { readsGeometry, taskTrainingGraph } from "../model/task-graphs.js";
import type { SessionOptions } from "../runtime/session.js";
import type { AdamConfig } from "./adam.js";
import type { ReplicaGroup } from "./replica-group.js";
import { type FinetuneSettings, isTrained, rateOf } from "./task-settings.js";
import { Trainer } from "./trainer.js";

export interface PretrainingPlan {
  readonly kind: "pretraining";
  readonly model: ModelConfig;
  readonly dropout: DropoutConfig;
  readonly lossWeights: LossWeights;
  readonly adam: AdamConfig;
  /** Room for summing the gradients of several batches before an update. */
  readonly accumulate: boolean;
}

export interface FinetuningPlan {
  readonly kind: "finetuning";
  readonly settings: FinetuneSettings;
}

export type LearnerPlan = PretrainingPlan | FinetuningPlan;

export function specsOf(plan: LearnerPlan): readonly ParameterSpec[] {
  if (plan.kind === "pretraining") return parameterSpecs(plan.model);
  const { model, task } = plan.settings;
  return taskSpecs(model, task.outputs, readsGeometry(task.mode));
}

/** Names of the losses that a backward pass gives. */
export function termsOf({ kind }: LearnerPlan): readonly string[] {
  return kind === "pretraining" ? LOSS_TERMS : ["loss"];
}

/** @param options the group where the trainer is one of several replicas */
export function createTrainer(
  plan: LearnerPlan,
  options: SessionOptions & { readonly group?: ReplicaGroup },
): Promise<Trainer<string>> {
  if (plan.kind === "pretraining") return Trainer.create(plan.model, { ...plan, ...options });
  const { settings } = plan;
  const { model, task, dropout, adam } = settings;
  return Trainer.forGraph({
    ...options,
    graph: taskTrainingGraph(model, task, dropout, (name) => isTrained(name, settings)),
    specs: specsOf(plan),
    terms: termsOf(plan),
    adam,
    rate: (name) => rateOf(name, settings),
  });
}
