// The fine-tuning loop of one seed: epochs of updates, a look at the validation molecules after each, the best one kept.
import type { BatchTensors } from "../blend/tensors.js";
import { planBatches } from "../data/batches.js";
import type { Corpus } from "../data/corpus.js";
import { releaseTensors } from "../data/release-memory.js";
import { DatasetError } from "../errors.js";
import type { DropoutInput } from "../model/inputs.js";
import { initialise } from "../model/parameters.js";
import { readsGeometry, taskDropoutInputs } from "../model/task-graphs.js";
import { Random } from "../random.js";
import type { LoadedCheckpoint } from "./checkpoint.js";
import { loadEncoder } from "./encoder-weights.js";
import { isBetter, taskMetrics } from "./metrics.js";
import { predictEntries } from "./predict-entries.js";
import { createLearner } from "./replicated-trainer.js";
import { type CosineSchedule, learningRateAt, SCHEDULE_DEFAULTS } from "./schedule.js";
import { splitBatch } from "./split-batch.js";
import { type BatchOrder, type BatchPool, taskBatchPool } from "./task-batch-pool.js";
import { entryLabels, type TaskData } from "./task-data.js";
import { balancedClassWeights, labelTensors, type Target } from "./task-labels.js";
import { predictionRecipe, TaskPredictor } from "./task-predictor.js";
import type { FinetuneSettings } from "./task-settings.js";
import { type Learner, parameterTensors } from "./trainer.js";

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
  /** Of the model, which share each batch. */
  readonly replicas: number;
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
/**
 * Padded pairs that a batch may have for each of its molecules, of 64 tokens: rarely met, but a batch of the largest molecules of a
 * data set would otherwise take many times the memory of all others.
 */
const PAIRS_PER_MOLECULE = 64 ** 2;

interface TrainingOrder extends BatchOrder {
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
  const options = {
    maxMolecules: batchSize,
    maxPairs: batchSize * PAIRS_PER_MOLECULE,
    window: WINDOW_BATCHES * batchSize,
  };
  const { batches } = planBatches(rows, corpus.atomCounts, options, seed, epoch);
  let index = 0;
  for (const molecules of batches) {
    const owners = Int32Array.from(molecules, (row) => entryOf.get(row) as number);
    yield { molecules, entries: owners, labels: ["train", epoch, index++] };
  }
}

function createModel(settings: FinetuneSettings, seed: number, options: FinetuneLoopOptions) {
  const { model, task } = settings;
  const { threads, replicas, pretrained } = options;
  return createLearner({ kind: "finetuning", settings }, { threads }, replicas, ({ parameters }, slots) => {
    initialise(slots, parameters, Random.fromSeed(seed), "moleblend");
    if (pretrained) loadEncoder(pretrained, model, readsGeometry(task.mode), slots, parameters);
  });
}

/** The schedule of all epochs: windows may cut a few batches more than counted here; the rate ends near 0 either way. */
function scheduleOf({ learningRate, warmup, batchSize, epochs }: FinetuneSettings, molecules: number): CosineSchedule {
  const maxUpdates = Math.max(2, Math.ceil(molecules / batchSize) * epochs);
  const warmupUpdates = Math.min(maxUpdates - 1, Math.round(warmup * maxUpdates));
  return { ...SCHEDULE_DEFAULTS, learningRate, warmupUpdates, maxUpdates };
}

interface EpochInput {
  readonly corpus: Corpus;
  readonly data: TaskData;
  readonly targets: readonly Target[];
  readonly settings: FinetuneSettings;
  /** The places whose multipliers batches have. */
  readonly dropout: readonly DropoutInput[];
  readonly seed: number;
  readonly schedule: CosineSchedule;
  readonly classWeights: readonly Float64Array[] | null;
}

/** Updates done and molecules seen so far. */
interface Progress {
  epoch: number;
  update: number;
  molecules: number;
  stopped: boolean;
}

/** One pass over the training part. Gives the mean loss of its batches and the last learning rate. */
async function trainEpoch(
  learner: Learner<"loss">,
  pool: BatchPool<BatchTensors>,
  { corpus, data, targets, settings, dropout, seed, schedule, classWeights }: EpochInput,
  state: Progress,
): Promise<{ readonly loss: number; readonly learningRate: number }> {
  let loss = 0;
  let batches = 0;
  let learningRate = 0;
  const orders = epochOrders(corpus, data, settings.batchSize, seed, state.epoch);
  for await (const { order, answer: tensors } of pool.inOrder(orders)) {
    const labelled = labelTensors(data.labels, order.entries, settings.task, targets, classWeights);
    const parts = splitBatch({ ...tensors, ...labelled }, learner.replicas, dropout);
    loss += (await learner.backward(...parts)).loss;
    learningRate = learningRateAt(schedule, Math.min(state.update + 1, schedule.maxUpdates - 1));
    await learner.update(++state.update, learningRate);
    releaseTensors(tensors);
    batches++;
    state.molecules += order.entries.length;
  }
  return { loss: loss / batches, learningRate };
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
  const { model, task, epochs, metric } = settings;
  const dropout = taskDropoutInputs(model, settings.dropout);
  const classWeights =
    settings.classWeights === "balanced" ? balancedClassWeights(data.labels, data.split.train, task) : null;
  const schedule = scheduleOf(settings, data.split.train.length);
  const input = { corpus, data, targets, settings, dropout, seed, schedule, classWeights };
  const { validation } = data.split;
  const labels = entryLabels(data.labels, validation);
  const recipe = { mode: task.mode, readout: task.readout, dropout };
  const plain = predictionRecipe({ task });
  // What has threads comes last: whatever fails before leaves none behind.
  const predictor = await TaskPredictor.create({ model, task, targets }, null, { threads: options.threads });
  const learner = await createModel(settings, seed, options);
  const training = taskBatchPool({ corpusDir: corpus.dir, recipe, seed }, options.workers);
  const evaluation = taskBatchPool({ corpusDir: corpus.dir, recipe: plain, seed }, options.workers);
  const best = { epoch: 0, value: Number.NaN, parameters: Float32Array.from(learner.parameters()), metrics: {} };
  const state: Progress = { epoch: 0, update: 0, molecules: 0, stopped: false };
  const began = performance.now();
  try {
    while (state.epoch < epochs && state.epoch - best.epoch < settings.patience && !state.stopped) {
      const epoch = ++state.epoch;
      const trained = await trainEpoch(learner, training, input, state);
      const flat = learner.parameters();
      const parameters = parameterTensors(learner.slots, flat);
      const [predictions] = await predictEntries(corpus, data, validation, evaluation, settings, async (batch) => {
        const values = await predictor.predict(batch, parameters);
        releaseTensors(batch);
        return [values];
      });
      const metrics = taskMetrics(task.kind, predictions, labels, task.outputs).average;
      if (Number.isNaN(metrics[metric])) throw new DatasetError(undefinedMetric(metric));
      const better = isBetter(metric, metrics[metric], best.value);
      if (better) {
        Object.assign(best, { epoch, value: metrics[metric], metrics });
        best.parameters.set(flat);
      }
      options.onEpoch?.({ seed, epoch, ...trained, validation: metrics, best: better, molecules: state.molecules });
      state.stopped = options.shouldStop?.() ?? false;
    }
  } finally {
    await Promise.all([training.close(), evaluation.close(), predictor.close(), learner.close()]);
  }
  const seconds = (performance.now() - began) / 1000;
  const { epoch: epochsDone, molecules, stopped } = state;
  const { epoch: bestEpoch, parameters: kept, metrics } = best;
  return {
    ...{ seed, parameters: kept, bestEpoch, epochs: epochsDone, validation: metrics },
    ...{ finished: !stopped, seconds, molecules },
  };
}

function undefinedMetric(metric: string): string {
  return `validation molecules: ${metric} is defined for no target, as their labels are of one class or missing; split otherwise (random or stratified) or hold out more`;
}
