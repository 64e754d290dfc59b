// The pretraining loop: batches in, updates out; logs, evaluations and checkpoints on the way.

import type { BatchTensors } from "../blend/tensors.js";
import { type BatchList, planBatches } from "../data/batches.js";
import type { Corpus } from "../data/corpus.js";
import { releaseMemory } from "../data/release-memory.js";
import { splitCorpus } from "../data/split.js";
import { CheckpointError, ConfigError } from "../errors.js";
import { LOSS_TERMS } from "../model/graphs.js";
import { dropoutInputs } from "../model/inputs.js";
import { initialise } from "../model/parameters.js";
import { Random } from "../random.js";
import { type BatchOrder, loadBatches } from "./batch-loader.js";
import type { Json, LoadedCheckpoint, TrainingState } from "./checkpoint.js";
import { type HeldOut, HeldOutEvaluator, planHeldOut } from "./heldout.js";
import type { BatchRecipe } from "./make-batch.js";
import { type Begin, createLearner } from "./replicated-trainer.js";
import { type NamedTensor, readDense, type Safetensors } from "./safetensors.js";
import { learningRateAt, SCHEDULE_DEFAULTS } from "./schedule.js";
import type { PretrainSettings } from "./settings.js";
import { type Learner, type LossValues, type ModelState, parameterTensors } from "./trainer.js";

/** What the outside does while the loop runs; each is awaited. */
export interface LoopHooks {
  /** After every update. */
  readonly onStep?: (step: StepReport) => void;
  /** Means over the steps since the last report, at every `logEvery` steps. */
  readonly onLog?: (step: number, values: Readonly<Record<string, number>>) => void;
  readonly onHeldOut?: (step: number, heldOut: HeldOut) => void;
  readonly onCheckpoint: (
    state: TrainingState,
    model: readonly NamedTensor[],
    optimizer: readonly NamedTensor[],
  ) => Promise<void>;
  /** Asks the loop to write a checkpoint and return. */
  readonly shouldStop?: () => boolean;
}

export interface StepReport {
  readonly step: number;
  readonly losses: LossValues;
  readonly learningRate: number;
  readonly gradientNorm: number;
  readonly molecules: number;
}

export interface LoopOptions {
  readonly threads: number;
  readonly workers: number;
  readonly resume: LoadedCheckpoint | null;
}

export interface LoopResult {
  /** Updates done, `settings.steps` unless the loop was stopped. */
  readonly step: number;
  readonly heldOut: HeldOut | null;
  /** In this process. */
  readonly molecules: number;
  readonly seconds: number;
  readonly parameters: number;
  readonly train: number;
  readonly validation: number;
  /** Share of a batch that is no padding. */
  readonly tokenEfficiency: number;
}

/** Molecules of the held-out part that an evaluation looks at. */
const EVALUATED = 2000;

interface Position {
  readonly epoch: number;
  readonly batchInEpoch: number;
}

/** Every batch from a position on, for ever; epoch and place address the random stream. */
function* batchOrders(plan: (epoch: number) => BatchList, from: Position): Generator<BatchOrder & Position> {
  for (let epoch = from.epoch, first = from.batchInEpoch; ; epoch++, first = 0) {
    const batches = plan(epoch);
    for (let i = first; i < batches.length; i++) {
      yield { molecules: batches.at(i), labels: ["train", epoch, i], epoch, batchInEpoch: i };
    }
  }
}

export async function pretrainLoop(
  corpus: Corpus,
  settings: PretrainSettings,
  options: LoopOptions,
  hooks: LoopHooks,
): Promise<LoopResult> {
  const { model, seed } = settings;
  const keys = corpus.readStructureKeys();
  const split = splitCorpus(keys, { validation: settings.validation }, seed);
  releaseMemory([keys.buffer]);
  const recipe: BatchRecipe = {
    blend: settings.blend,
    target: model.geometryTarget,
    dropout: dropoutInputs(model, settings.dropout),
    droppath: settings.droppath,
  };
  const plan = (epoch: number) => planBatches(split.train, corpus.atomCounts, settings.batches, seed, epoch);
  const { dropout, lossWeights, adam, replicas = 1 } = settings;
  const begin = options.resume ? restoring(options.resume, settings) : initialising(settings);
  const evaluated = split.validation.slice(0, EVALUATED);
  const heldOutBatches = planHeldOut(evaluated, corpus, seed);
  const evaluator =
    evaluated.length > 0 ? await HeldOutEvaluator.create(model, lossWeights, recipe, seed, options) : null;
  const learner = await createLearner(
    { kind: "pretraining", model, dropout, lossWeights, adam, accumulate: settings.accumulate > 1 },
    { threads: options.threads },
    replicas,
    begin,
  );
  const { step, epoch, batchInEpoch } = options.resume?.state ?? { step: 0, epoch: 0, batchInEpoch: 0 };
  const start = { step, epoch, batchInEpoch };
  const window = new Window(options.resume?.state.unlogged);
  const state: LoopState = { ...start, molecules: 0, heldOut: null, window };
  const save = async () => {
    const tensors = checkpointTensors(learner.slots, await learner.state());
    await hooks.onCheckpoint(trainingState(state, settings), ...tensors);
  };
  const evaluate = async (): Promise<HeldOut | null> => {
    if (!evaluator) return null;
    return evaluator.evaluate(corpus, heldOutBatches, parameterTensors(learner.slots, learner.parameters()));
  };
  const orders = batchOrders((epoch) => plan(epoch).batches, start);
  const pending: (BatchOrder & Position)[] = [];
  const source = loadBatches(remember(orders, pending), {
    corpusDir: corpus.dir,
    recipe,
    seed,
    parts: learner.replicas,
    workers: options.workers,
  });
  const began = performance.now();
  try {
    while (state.step < settings.steps) {
      await oneUpdate(learner, source, pending, settings, state, hooks);
      const { step } = state;
      if (step % settings.logEvery === 0 || step === settings.steps) hooks.onLog?.(step, state.window.flush());
      if (step % settings.evaluateEvery === 0 || step === settings.steps) {
        state.heldOut = await evaluate();
        if (state.heldOut) hooks.onHeldOut?.(step, state.heldOut);
      }
      const stop = hooks.shouldStop?.() ?? false;
      if (stop || step % settings.checkpointEvery === 0 || step === settings.steps) await save();
      if (stop) break;
    }
    // Resumed after the last step: measured again for the report; the metrics have it already.
    if (state.step >= settings.steps) state.heldOut ??= await evaluate();
  } finally {
    await source.return(undefined);
    await evaluator?.close();
    await learner.close();
  }
  return {
    step: state.step,
    heldOut: state.heldOut,
    molecules: state.molecules,
    seconds: (performance.now() - began) / 1000,
    parameters: learner.slots.reduce((sum, { size }) => sum + size, 0),
    train: split.train.length,
    validation: split.validation.length,
    tokenEfficiency: plan(0).tokenEfficiency,
  };
}

interface LoopState {
  step: number;
  epoch: number;
  batchInEpoch: number;
  molecules: number;
  heldOut: HeldOut | null;
  readonly window: Window;
  /** The batch after the one in use. */
  upcoming?: Promise<IteratorResult<readonly BatchTensors[]>>;
}

/** Lets each order through and keeps it until its batch is used. */
function* remember<T>(orders: Iterable<T>, pending: T[]): Generator<T> {
  for (const order of orders) {
    pending.push(order);
    yield order;
  }
}

/** One update from `settings.accumulate` batches. */
async function oneUpdate(
  learner: Learner,
  source: AsyncGenerator<readonly BatchTensors[]>,
  pending: (BatchOrder & Position)[],
  settings: PretrainSettings,
  state: LoopState,
  hooks: LoopHooks,
): Promise<void> {
  const { accumulate } = settings;
  const sums = Object.fromEntries(LOSS_TERMS.map((term) => [term, 0]));
  let molecules = 0;
  for (let part = 0; part < accumulate; part++) {
    const next = await (state.upcoming ?? source.next());
    const order = pending.shift();
    if (next.done || !order) throw new ConfigError("the corpus has no molecule to train on");
    const losses = await learner.backward(...next.value);
    // Asked for as soon as the batch is used: its thread works while the optimizer does, which takes one core.
    state.upcoming = source.next();
    state.upcoming.catch(() => undefined); // Reported when it is awaited.
    for (const term of LOSS_TERMS) sums[term] += losses[term] / accumulate;
    if (accumulate > 1) await learner.accumulate();
    molecules += order.molecules.length;
    state.epoch = order.epoch;
    state.batchInEpoch = order.batchInEpoch + 1;
  }
  // The reference does update k (from 1) with the rate of k - 1 updates done.
  const learningRate = learningRateAt(scheduleOf(settings), state.step);
  const report = await learner.update(state.step + 1, learningRate, accumulate > 1 ? accumulate : 0);
  state.step++;
  state.molecules += molecules;
  const losses = sums as LossValues;
  state.window.add({ ...losses, learningRate, gradientNorm: report.gradientNorm, skipped: Number(!report.applied) });
  hooks.onStep?.({ step: state.step, losses, learningRate, gradientNorm: report.gradientNorm, molecules });
}

function scheduleOf({ learningRate, warmupSteps, steps }: PretrainSettings) {
  return { ...SCHEDULE_DEFAULTS, learningRate, warmupUpdates: warmupSteps, maxUpdates: steps };
}

/** Means of what was added since the last flush; goes into checkpoints, so that a resumed run logs the same means. */
class Window {
  private sums: Record<string, number> = {};
  private count = 0;

  constructor(saved: TrainingState["unlogged"]) {
    if (!saved) return;
    this.count = saved.steps;
    for (const [name, sum] of Object.entries(saved.sums)) this.sums[name] = sum ?? Number.NaN;
  }

  /** JSON has no NaN: a sum that is not finite is null. */
  save(): Pick<TrainingState, "unlogged"> {
    if (this.count === 0) return {};
    const sums = Object.fromEntries(
      Object.entries(this.sums).map(([name, sum]) => [name, Number.isFinite(sum) ? sum : null]),
    );
    return { unlogged: { steps: this.count, sums } };
  }

  add(values: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(values)) this.sums[name] = (this.sums[name] ?? 0) + value;
    this.count++;
  }

  flush(): Readonly<Record<string, number>> {
    const means = Object.fromEntries(Object.entries(this.sums).map(([name, sum]) => [name, sum / this.count]));
    this.sums = {};
    this.count = 0;
    return means;
  }
}

function initialising({ seed, init }: PretrainSettings): Begin {
  return ({ parameters }, slots) => initialise(slots, parameters, Random.fromSeed(seed), init);
}

const MOMENTS = ["m", "v"] as const;

function checkpointTensors(slots: Learner["slots"], state: ModelState): [NamedTensor[], NamedTensor[]] {
  const tensors = (flat: Float32Array<ArrayBuffer>, prefix = ""): NamedTensor[] =>
    slots.map(({ name, shape, offset, size }) => ({
      name: prefix + name,
      dtype: "F32",
      shape,
      data: flat.subarray(offset, offset + size),
    }));
  return [tensors(state.parameters), MOMENTS.flatMap((moment) => tensors(state[moment], `${moment}.`))];
}

function trainingState(
  { step, epoch, batchInEpoch, heldOut, window }: LoopState,
  settings: PretrainSettings,
): TrainingState {
  const metrics = Object.fromEntries(
    Object.entries(heldOut?.losses ?? {}).map(([term, value]) => [`held-out ${term}`, value]),
  );
  const config = settings as unknown as Json;
  return { step, epoch, batchInEpoch, seed: settings.seed, config, metrics, ...window.save() };
}

/** Puts parameters and moments back. @throws CheckpointError when the checkpoint is of another model */
function restoring({ path, state, model, optimizer }: LoadedCheckpoint, settings: PretrainSettings): Begin {
  const expected = JSON.stringify(settings.model);
  const got = JSON.stringify((state.config as { model?: Json } | null)?.model);
  if (got !== expected) throw new CheckpointError(`${path}: expected a model ${expected}, got ${got}`);
  return (own, slots) => {
    const fill = (file: Safetensors, flat: Float32Array, prefix = "") => {
      for (const { name, shape, offset } of slots) flat.set(readDense(file, prefix + name, shape), offset);
    };
    fill(model, own.parameters);
    for (const moment of MOMENTS) fill(optimizer, own[moment], `${moment}.`);
  };
}
