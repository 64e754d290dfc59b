// The fine-tuning loop of one seed: epochs of updates, a look at the validation molecules after each, the best one kept.
import { planBatches } from "../data/batches.js";
import type { Corpus } from "../data/corpus.js";
import { DatasetError } from "../errors.js";
import { initialise, taskSpecs } from "../model/parameters.js";
import { taskDropoutInputs, taskTrainingGraph } from "../model/task-graphs.js";
import { Random } from "../random.js";
import type { LoadedCheckpoint } from "./checkpoint.js";
import { loadEncoder } from "./encoder-weights.js";
import { isBetter, taskMetrics } from "./metrics.js";
import { predictEntries } from "./predict-entries.js";
import { learningRateAt, SCHEDULE_DEFAULTS } from "./schedule.js";
import { type TaskBatchOrder, TaskBatchPool } from "./task-batch-pool.js";
import { entryLabels, type TaskData } from "./task-data.js";
import { balancedClassWeights, labelTensors, type Target } from "./task-labels.js";
import { predictionRecipe, TaskPredictor } from "./task-predictor.js";
import { type FinetuneSettings, isTrained, rateOf } from "./task-settings.js";
import { parameterTensors, Trainer } from "./trainer.js";

/** What one epoch gave. */
export interface EpochReport {
  readonly seed: number;
  /** From 1. */
  readonly epoch: number;
  /** Mean over the batches. */
  readonly loss: number;
  readonly learningRate: number;
  readonly validation: Readonly<Record<string, number>>;
  /** Whether it is the best so far. */
  readonly best: boolean;
  readonly molecules: number;
}

export interface FinetuneLoopOptions {
  readonly threads: number;
  readonly workers: number;
  readonly pretrained: LoadedCheckpoint | null;
  readonly onEpoch?: (report: EpochReport) => void;
  readonly shouldStop?: () => boolean;
}

export interface FinetunedSeed {
  readonly seed: number;
  /** Parameters of the best epoch, in the layout of `taskSpecs`. */
  readonly parameters: Float32Array;
  readonly bestEpoch: number;
  readonly epochs: number;
  /** Of the best epoch. */
  readonly validation: Readonly<Record<string, number>>;
  /** False where it was stopped from outside. */
  readonly finished: boolean;
  readonly seconds: number;
  readonly molecules: number;
}

/** Molecules that are sorted by size together, in batches: pads little and still mixes. */
const WINDOW_BATCHES = 16;

interface TrainingOrder extends TaskBatchOrder {
  readonly entries: Int32Array;
}

/** The batches of an epoch: one conformer of each structure, drawn anew. */
function* epochOrders(
  corpus: Corpus,
  { entries, split }: TaskData,
  batchSize: number,
  seed: number,
  epoch: number,
): Generator<TrainingOrder> {
  const random = Random.fromSeed(seed).split("conformer", epoch);
  const entryOf = new Map<number, number>();
  const rows = Int32Array.from(split.train, (entry) => {
    const conformers = entries[entry];
    const row = conformers[conformers.length > 1 ? random.split(entry).below(conformers.length) : 0];
    entryOf.set(row, entry);
    return row;
  });
  const options = { maxMolecules: batchSize, window: WINDOW_BATCHES * batchSize };
  const { batches } = planBatches(rows, corpus.atomCounts, options, seed, epoch);
  for (const [index, molecules] of batches.entries()) {
    const owners = Int32Array.from(molecules, (row) => entryOf.get(row) as number);
    yield { molecules, entries: owners, labels: ["train", epoch, index] };
  }
}

async function createTrainer(settings: FinetuneSettings, seed: number, options: FinetuneLoopOptions) {
  const { model, task, dropout } = settings;
  const trainer = await Trainer.forGraph({
    graph: taskTrainingGraph(model, task, dropout, (name) => isTrained(name, settings)),
    specs: taskSpecs(model, task.outputs, task.geometry),
    terms: ["loss"],
    adam: settings.adam,
    rate: (name) => rateOf(name, settings),
    threads: options.threads,
  });
  initialise(trainer.slots, trainer.arena.parameters, Random.fromSeed(seed), "moleblend");
  if (options.pretrained)
    loadEncoder(options.pretrained, model, task.geometry, trainer.slots, trainer.arena.parameters);
  return trainer;
}

/**
 * Trains one model on `data.split.train`, choosing the epoch by `data.split.validation`; the test part is not looked at.
 * A function of its arguments: the same seed gives the same model.
 * @throws DatasetError when the validation metric is defined for no target
 */
export async function finetuneSeed(
  corpus: Corpus,
  data: TaskData,
  targets: readonly Target[],
  settings: FinetuneSettings,
  seed: number,
  options: FinetuneLoopOptions,
): Promise<FinetunedSeed> {
  const { model, task, dropout, epochs } = settings;
  const trainer = await createTrainer(settings, seed, options);
  const predictor = await TaskPredictor.create({ model, task, targets }, null, { threads: options.threads });
  const recipe = { geometry: task.geometry, readout: task.readout, dropout: taskDropoutInputs(model, dropout) };
  const training = new TaskBatchPool({ corpusDir: corpus.dir, recipe, seed }, options.workers);
  const evaluation = new TaskBatchPool(
    { corpusDir: corpus.dir, recipe: predictionRecipe({ model, task, targets }, null), seed },
    options.workers,
  );
  const classWeights =
    settings.classWeights === "balanced" ? balancedClassWeights(data.labels, data.split.train, task) : null;
  const perEpoch = Math.ceil(data.split.train.length / settings.batchSize);
  // Windows may cut a few batches more than that; the schedule ends at 0 either way.
  const maxUpdates = Math.max(2, perEpoch * epochs);
  const warmupUpdates = Math.min(maxUpdates - 1, Math.round(settings.warmup * maxUpdates));
  const schedule = { ...SCHEDULE_DEFAULTS, learningRate: settings.learningRate, warmupUpdates, maxUpdates };
  const validationLabels = entryLabels(data.labels, data.split.validation);
  const parameters = parameterTensors(trainer.slots, trainer.arena.parameters);
  const best = { epoch: 0, value: Number.NaN, parameters: Float32Array.from(trainer.arena.parameters), metrics: {} };
  const state = { epoch: 0, update: 0, molecules: 0, stopped: false };
  const began = performance.now();
  try {
    while (state.epoch < epochs && state.epoch - best.epoch < settings.patience && !state.stopped) {
      const epoch = ++state.epoch;
      let loss = 0;
      let batches = 0;
      let learningRate = 0;
      for await (const { order, tensors } of training.inOrder(
        epochOrders(corpus, data, settings.batchSize, seed, epoch),
      )) {
        const labelled = labelTensors(data.labels, order.entries, task, targets, classWeights);
        loss += (await trainer.backward({ ...tensors, ...labelled })).loss;
        learningRate = learningRateAt(schedule, Math.min(state.update + 1, maxUpdates - 1));
        trainer.update(++state.update, learningRate);
        batches++;
        state.molecules += order.entries.length;
      }
      const predictions = await predictEntries(corpus, data, data.split.validation, evaluation, settings, (batch) =>
        predictor.predict(batch, parameters),
      );
      const validation = taskMetrics(task.kind, predictions, validationLabels, task.outputs).average;
      const value = validation[settings.metric];
      if (Number.isNaN(value)) throw new DatasetError(undefinedMetric(settings.metric));
      const better = isBetter(settings.metric, value, best.value);
      if (better) {
        Object.assign(best, { epoch, value, metrics: validation });
        best.parameters.set(trainer.arena.parameters);
      }
      const mean = batches > 0 ? loss / batches : Number.NaN;
      options.onEpoch?.({
        seed,
        epoch,
        loss: mean,
        learningRate,
        validation,
        best: better,
        molecules: state.molecules,
      });
      state.stopped = options.shouldStop?.() ?? false;
    }
  } finally {
    await Promise.all([training.close(), evaluation.close(), predictor.close(), trainer.close()]);
  }
  return {
    seed,
    parameters: best.parameters,
    bestEpoch: best.epoch,
    epochs: state.epoch,
    validation: best.metrics,
    finished: !state.stopped,
    seconds: (performance.now() - began) / 1000,
    molecules: state.molecules,
  };
}

function undefinedMetric(metric: string): string {
  return `validation molecules: ${metric} is defined for no target, as their labels are of one class or missing; split otherwise (random or stratified) or hold out more`;
}
