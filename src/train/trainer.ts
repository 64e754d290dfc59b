// A model under training: its flat parameters, its session, and one step of forward, backward, clipping and Adam.
import type { BatchTensors } from "../blend/tensors.js";
import type { DropoutConfig, LossWeights, ModelConfig } from "../model/config.js";
import { gradientName, LOSS_TERMS, type LossTerm, trainingGraph } from "../model/graphs.js";
import { layoutParameters, type ParameterSlot, parameterSpecs } from "../model/parameters.js";
import { Session, type SessionOptions, type Tensor } from "../runtime/session.js";
import { type AdamConfig, type AdamReport, accumulateGradients, adamStep } from "./adam.js";
import { type Arena, createArena } from "./arena.js";

export interface TrainerOptions extends SessionOptions {
  readonly dropout: DropoutConfig;
  readonly lossWeights: LossWeights;
  readonly adam: AdamConfig;
  /** Room for summing the gradients of several batches before an update. */
  readonly accumulate?: boolean;
}

export type LossValues = Readonly<Record<LossTerm, number>>;

/** Views of each tensor in a flat array, by name. */
export function parameterTensors(
  slots: readonly ParameterSlot[],
  flat: Float32Array,
): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(
    slots.map(({ name, shape, offset, size }) => [name, { data: flat.subarray(offset, offset + size), shape }]),
  );
}

/** The values of an output "losses" by term. */
export function lossValues(data: ArrayLike<number>): LossValues {
  return Object.fromEntries(LOSS_TERMS.map((term, i) => [term, data[i]])) as Record<LossTerm, number>;
}

export class Trainer {
  readonly #session: Session;
  readonly #options: TrainerOptions;
  readonly #parameters: Readonly<Record<string, Tensor>>;
  readonly #outputs: Readonly<Record<string, Tensor>>;
  readonly #losses = new Float32Array(LOSS_TERMS.length);

  private constructor(
    readonly config: ModelConfig,
    readonly slots: readonly ParameterSlot[],
    readonly arena: Arena,
    session: Session,
    options: TrainerOptions,
  ) {
    this.#session = session;
    this.#options = options;
    this.#parameters = parameterTensors(slots, arena.parameters);
    const gradients = parameterTensors(slots, arena.gradients);
    this.#outputs = {
      losses: { data: this.#losses, shape: [LOSS_TERMS.length] },
      ...Object.fromEntries(slots.map(({ name }) => [gradientName(name), gradients[name]])),
    };
  }

  static async create(config: ModelConfig, options: TrainerOptions): Promise<Trainer> {
    const { slots, length } = layoutParameters(parameterSpecs(config));
    const session = await Session.create(trainingGraph(config, options.dropout, options.lossWeights), {
      ...options,
      inPlace: true,
    });
    const arena = createArena(length, { accumulate: options.accumulate ?? false });
    return new Trainer(config, slots, arena, session, options);
  }

  /** Forward and backward: the losses of a batch, and the gradients of the weighted sum in `arena.gradients`. */
  async backward(batch: BatchTensors): Promise<LossValues> {
    await this.#session.runInPlace({ ...batch, ...this.#parameters }, this.#outputs);
    return lossValues(this.#losses);
  }

  /** Adds the gradients of the last `backward` to the sum of this update. */
  accumulate(): void {
    accumulateGradients(this.arena);
  }

  /**
   * Clips and applies Adam.
   * @param update number of this update, from 1
   * @param accumulatedBatches batches in the accumulated sum, whose mean is applied; 0 takes the last `backward` alone
   */
  update(update: number, learningRate: number, accumulatedBatches = 0, adam = this.#options.adam): AdamReport {
    if (accumulatedBatches === 0) return adamStep(this.arena, adam, { update, learningRate });
    const step = { update, learningRate, gradientScale: 1 / accumulatedBatches, accumulated: true };
    const report = adamStep(this.arena, adam, step);
    this.arena.accumulated?.fill(0);
    return report;
  }

  async close(): Promise<void> {
    await this.#session.close();
  }
}
