// Runs a fine-tuned model: batches in, predictions out, once or several times with dropout.
import type { BatchTensors } from "../blend/tensors.js";
import type { DropoutConfig, ModelConfig } from "../model/config.js";
import { predictionGraph, type TaskConfig } from "../model/task-graphs.js";
import { Session, type SessionOptions, type Tensor } from "../runtime/session.js";
import type { TaskRecipe } from "./task-batch.js";
import { type Target, toPredictions } from "./task-labels.js";

export interface TaskModel {
  readonly model: ModelConfig;
  readonly task: TaskConfig;
  readonly targets: readonly Target[];
}

/** What batches for predictions are made with: no dropout. */
export function predictionRecipe({ task: { mode, readout } }: Pick<TaskModel, "task">): TaskRecipe {
  return { mode, readout, dropout: [] };
}

export class TaskPredictor {
  private constructor(
    private readonly session: Session,
    private readonly model: TaskModel,
  ) {}

  /** @param dropout stays on where batches come with its multipliers; null for none */
  static async create(
    model: TaskModel,
    dropout: DropoutConfig | null,
    options: SessionOptions = {},
  ): Promise<TaskPredictor> {
    const graph = dropout
      ? predictionGraph(model.model, model.task, dropout)
      : predictionGraph(model.model, model.task);
    return new TaskPredictor(await Session.create(graph, options), model);
  }

  /** Probabilities, or values in the units of the labels. [batch, outputs] */
  async predict(batch: BatchTensors, parameters: Readonly<Record<string, Tensor>>): Promise<Float64Array> {
    const { logits } = await this.session.run({ ...batch, ...parameters });
    return toPredictions(logits.data as Float32Array, this.model.task, this.model.targets);
  }

  async close(): Promise<void> {
    await this.session.close();
  }
}
