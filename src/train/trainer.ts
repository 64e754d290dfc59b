// A model under training: its flat parameters, its session, and one step of forward, backward, clipping and Adam.
import type { BatchTensors } from "../blend/tensors.js";
import type { DropoutConfig, LossWeights, ModelConfig } from "../model/config.js";
import { gradientName, LOSS_TERMS, type LossTerm, trainingGraph } from "../model/graphs.js";
import { layoutParameters, type ParameterSlot, type ParameterSpec, parameterSpecs } from "../model/parameters.js";
import type { Graph } from "../onnx/graph.js";
import { Session, type SessionOptions, type Tensor } from "../runtime/session.js";
import { type AdamConfig, type AdamReport, accumulateGradients, adamStep, type RateRange } from "./adam.js";
import { type Arena, createArena } from "./arena.js";
import { EXCHANGE_ROOM, type ReplicaGroup } from "./replica-group.js";

export interface TrainerOptions extends SessionOptions {
  readonly dropout: DropoutConfig;
  readonly lossWeights: LossWeights;
  readonly adam: AdamConfig;
  /** Room for summing the gradients of several batches before an update. */
  readonly accumulate?: boolean;
  /** The other replicas of the model, where it is one of several. */
  readonly group?: ReplicaGroup;
}

export type LossValues = Readonly<Record<LossTerm, number>>;

/** Parameters and Adam's moments, each flat. */
export type ModelState = Readonly<Record<"parameters" | "m" | "v", Float32Array<ArrayBuffer>>>;

/** What a training loop needs of a model, be it one (`Trainer`) or several replicas (`ReplicatedTrainer`). */
export interface Learner<Term extends string = LossTerm> {
  readonly slots: readonly ParameterSlot[];
  /** Most parts that a batch may come in (`splitBatch`). */
  readonly replicas: number;
  /** Forward and backward of all parts of a batch; its losses. The parts are used up. */
  backward(...parts: readonly BatchTensors[]): Promise<Readonly<Record<Term, number>>>;
  /** Adds the gradients of the last `backward` to the sum of this update. */
  accumulate(): void | Promise<void>;
  /** Clips and applies Adam; see `Trainer.update`. */
  update(update: number, learningRate: number, accumulatedBatches?: number): AdamReport | Promise<AdamReport>;
  /** The parameters as they are: the same array at every call, which later updates may or may not change. */
  parameters(): Float32Array<ArrayBuffer>;
  /** The state to be read before the next call. */
  state(): ModelState | Promise<ModelState>;
  /** Sets the state: `fill` writes into arrays whose values it must not rely on. */
  load(fill: (state: ModelState) => void): void | Promise<void>;
  close(): Promise<void>;
}

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

/** What a trainer of any graph needs: its "losses" output and the gradients that it gives out. */
export interface TrainerSetup<Term extends string> extends SessionOptions {
  readonly graph: Graph;
  readonly specs: readonly ParameterSpec[];
  /** Names of the elements of the output "losses". */
  readonly terms: readonly Term[];
  readonly adam: AdamConfig;
  readonly accumulate?: boolean;
  readonly group?: ReplicaGroup;
  /** Learning-rate factor of each parameter; 1 by default. Parameters whose gradient the graph lacks are left alone. */
  readonly rate?: (parameter: string) => number;
}

export class Trainer<Term extends string = LossTerm> {
  readonly replicas = 1;
  readonly #parameters: Readonly<Record<string, Tensor>>;
  readonly #outputs: Record<string, Tensor>;
  readonly #losses: Float32Array;
  readonly #ranges: readonly RateRange[];

  private constructor(
    readonly slots: readonly ParameterSlot[],
    readonly arena: Arena,
    private readonly session: Session,
    private readonly setup: TrainerSetup<Term>,
  ) {
    this.#parameters = parameterTensors(slots, arena.parameters);
    this.#losses = new Float32Array(setup.terms.length);
    const gradients = parameterTensors(slots, arena.gradients);
    // The graph says in which shape it gives a gradient out.
    const given = new Map(setup.graph.outputs.map(({ name, value }) => [name, value.shape as readonly number[]]));
    this.#outputs = { losses: { data: this.#losses, shape: [setup.terms.length] } };
    for (const { name } of slots) {
      const shape = given.get(gradientName(name));
      if (shape) this.#outputs[gradientName(name)] = { data: gradients[name].data, shape };
    }
    this.#ranges = rateRanges(slots, arena.paddedCount, (name) =>
      given.has(gradientName(name)) ? (setup.rate?.(name) ?? 1) : 0,
    );
  }

  /** A trainer of the pretraining model. */
  static async create(config: ModelConfig, options: TrainerOptions): Promise<Trainer> {
    const { dropout, lossWeights, ...rest } = options;
    const graph = trainingGraph(config, dropout, lossWeights);
    return Trainer.forGraph({ ...rest, graph, specs: parameterSpecs(config), terms: LOSS_TERMS });
  }

  static async forGraph<Term extends string>(setup: TrainerSetup<Term>): Promise<Trainer<Term>> {
    const { slots, length } = layoutParameters(setup.specs);
    const session = await Session.create(setup.graph, { ...setup, inPlace: true });
    const scratch = setup.group ? EXCHANGE_ROOM : 0;
    const arena = createArena(length, { accumulate: setup.accumulate ?? false, scratch });
    return new Trainer(slots, arena, session, setup);
  }

  /** Forward and backward: the losses of a batch, and the gradients of the first in `arena.gradients`. */
  async backward(batch: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<Term, number>>> {
    // A graph takes only the parameters that it uses.
    await this.session.runInPlace({ ...batch, ...this.#parameters }, this.#outputs);
    return Object.fromEntries(this.setup.terms.map((term, i) => [term, this.#losses[i]])) as Record<Term, number>;
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
  update(update: number, learningRate: number, accumulatedBatches = 0, adam = this.setup.adam): AdamReport {
    const accumulated = accumulatedBatches > 0;
    const gradientScale = accumulated ? 1 / accumulatedBatches : 1;
    const step = { update, learningRate, gradientScale, accumulated, ranges: this.#ranges };
    const report = this.setup.group
      ? this.setup.group.update(this.arena, adam, step)
      : adamStep(this.arena, adam, step);
    if (accumulated) this.arena.accumulated?.fill(0);
    return report;
  }

  parameters(): Float32Array<ArrayBuffer> {
    return this.arena.parameters;
  }

  state(): ModelState {
    return this.arena;
  }

  load(fill: (state: ModelState) => void): void {
    fill(this.arena);
  }

  async close(): Promise<void> {
    await this.session.close();
  }
}

/** Neighbouring slots with the same rate as one range. */
function rateRanges(slots: readonly ParameterSlot[], end: number, rate: (parameter: string) => number): RateRange[] {
  const ranges: { begin: number; end: number; factor: number }[] = [];
  slots.forEach(({ name, offset }, i) => {
    const factor = rate(name);
    const next = slots[i + 1]?.offset ?? end;
    const last = ranges.at(-1);
    if (last && last.factor === factor) last.end = next;
    else ranges.push({ begin: offset, end: next, factor });
  });
  return ranges;
}
