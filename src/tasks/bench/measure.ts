// Measures one preset in a process of its own, so that its peak memory is its own: forked by the bench task.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BatchTensors } from "../../blend/tensors.js";
import { planBatches } from "../../data/batches.js";
import { openCorpus } from "../../data/corpus.js";
import { trainingGraph } from "../../model/graphs.js";
import { dropoutInputs } from "../../model/inputs.js";
import { initialise } from "../../model/parameters.js";
import { Random } from "../../random.js";
import { median } from "../../runtime/median.js";
import { type ProfiledNode, readProfile } from "../../runtime/profile.js";
import { loadBatches } from "../../train/batch-loader.js";
import { type BatchRecipe, makeBatch } from "../../train/make-batch.js";
import { createLearner, replicasFor, threadsOfReplica } from "../../train/replicated-trainer.js";
import { type PretrainSettings, pretrainSettings } from "../../train/settings.js";
import { splitBatch } from "../../train/split-batch.js";
import type { Learner } from "../../train/trainer.js";
import { type MeasureRequest, type PresetResult, smallMolecules } from "./result.js";
import { measureProducts } from "./yardstick.js";

const LEARNING_RATE = 1e-4;
const SEED = 1;
const BATCHES_MADE = 20;
/** Steps between two runs of the products. */
const YARDSTICK_STEPS = 2;

async function measure(request: MeasureRequest): Promise<PresetResult> {
  const { preset, corpusDir, batchSize, steps, warmup, threads, profile, budget } = request;
  const settings = pretrainSettings(preset, { batchSize });
  const corpus = await openCorpus(corpusDir);
  const recipe: BatchRecipe = {
    blend: settings.blend,
    target: settings.model.geometryTarget,
    dropout: dropoutInputs(settings.model, settings.dropout),
    droppath: settings.droppath,
  };
  const chosen = smallMolecules(corpus.atomCounts, request.meanAtoms);
  const { batches, tokenEfficiency } = planBatches(chosen, corpus.atomCounts, { maxMolecules: batchSize }, SEED, 0);
  const used = Array.from({ length: warmup + steps }, (_, i) => batches.at(i % batches.length));
  const began = performance.now();
  const folder = mkdtempSync(join(tmpdir(), "moleblend-bench-"));
  // A profile is of one session that has all threads.
  const replicas = profile ? 1 : (request.replicas ?? replicasFor(settings.model, threads));
  const { model, dropout, lossWeights, adam } = settings;
  const learner = await createLearner(
    { kind: "pretraining", model, dropout, lossWeights, adam, accumulate: false },
    { threads, ...(profile ? { profile: join(folder, "operators") } : {}) },
    replicas,
    ({ parameters }, slots) => initialise(slots, parameters, Random.fromSeed(SEED), settings.init),
  );
  const sessionSeconds = (performance.now() - began) / 1000;
  const source = loadBatches(
    used.map((molecules, i) => ({ molecules, labels: ["bench", i] })),
    { corpusDir, recipe, seed: SEED, parts: replicas, workers: 1 },
  );
  const times = { data: [] as number[], runtime: [] as number[], optimizer: [] as number[] };
  let molecules = 0;
  let atoms = 0;
  const deadline = performance.now() + budget * 1000;
  let upcoming = source.next();
  for (const [i, members] of used.entries()) {
    const start = performance.now();
    const next = await upcoming;
    if (next.done) break;
    const ready = performance.now();
    await learner.backward(...next.value);
    upcoming = source.next(); // As the training loop does.
    const computed = performance.now();
    await learner.update(i + 1, LEARNING_RATE);
    const done = performance.now();
    if (i < warmup) continue;
    times.data.push(ready - start);
    times.runtime.push(computed - ready);
    times.optimizer.push(done - computed);
    molecules += members.length;
    for (const member of members) atoms += corpus.atomCounts[member];
    if (done > deadline) break;
  }
  await source.return(undefined);
  // Of training alone: what follows makes batches beside it.
  const peakMemoryMB = (process.resourceUsage().maxRSS * 1024) / 1e6;
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0) / 1000;
  const [data, runtime, optimizer] = [times.data, times.runtime, times.optimizer].map(sum);
  // Time a batch takes to make, in this thread, when nothing else runs; the first ones only warm the code up.
  const making: number[] = [];
  for (let i = 0; i < BATCHES_MADE; i++) {
    const start = performance.now();
    makeBatch(corpus, used[i % used.length], recipe, Random.fromSeed(i));
    making.push(performance.now() - start);
  }
  const makeSeconds = median(making.slice(BATCHES_MADE / 2)) / 1000;
  const stepSeconds = median(times.runtime.map((value, i) => (value + times.optimizer[i]) / 1000));
  const products = request.yardstick
    ? await productsOfBatch(makeBatch(corpus, used[0], recipe, Random.fromSeed(SEED)), learner, settings, threads)
    : null;
  const parameters = learner.slots.reduce((total, { size }) => total + size, 0);
  await learner.close();
  let nodes: readonly ProfiledNode[] | null = null;
  if (profile) nodes = readProfile(join(folder, readdirSync(folder)[0]));
  rmSync(folder, { recursive: true });
  const total = data + runtime + optimizer;
  return {
    preset,
    batchSize,
    meanAtoms: atoms / molecules,
    moleculesPerSecond: molecules / (runtime + optimizer),
    moleculesPerSecondWithData: molecules / total,
    stepSeconds,
    peakMemoryMB,
    shares: { data: data / total, runtime: runtime / total, optimizer: optimizer / total },
    parameters,
    steps: times.runtime.length,
    replicas,
    sessionSeconds,
    optimizerSeconds: median(times.optimizer) / 1000,
    batchSeconds: makeSeconds,
    tokenEfficiency,
    nodes,
    yardstick: products,
  };
}

/**
 * Products alone against whole steps on the same batch, in turn, so that a noisy machine disturbs both alike. Of replicas, the
 * products of the first one's part, on its threads.
 */
async function productsOfBatch(
  batch: BatchTensors,
  learner: Learner,
  { model, dropout, lossWeights }: PretrainSettings,
  threads: number,
): Promise<PresetResult["yardstick"]> {
  const { replicas } = learner;
  const places = dropoutInputs(model, dropout);
  const parts = () => splitBatch(batch, replicas, places);
  const [part] = parts();
  const [molecules, tokens] = part["token_features"].shape;
  const [pairRows] = part["pair_features"].shape.slice(1);
  const [spdRows] = part["spd_selection"].shape;
  const sizes = { batch: molecules, tokens, atoms: tokens - 1, pair_rows: pairRows, spd_rows: spdRows };
  const steps: number[] = [];
  const step = async () => {
    const given = parts();
    const start = performance.now();
    await learner.backward(...given);
    steps.push((performance.now() - start) / 1000);
  };
  await step();
  steps.length = 0; // The first one warms up.
  const graph = trainingGraph(model, dropout, lossWeights);
  const products = await measureProducts(graph, sizes, threadsOfReplica(threads, replicas), async () => {
    for (let i = 0; i < YARDSTICK_STEPS; i++) await step();
  });
  return { ...products, stepSeconds: median(steps) };
}

process.once("message", (request: MeasureRequest) => {
  measure(request).then(
    (result) => process.send?.({ result }, () => process.disconnect()),
    (error: Error) => process.send?.({ failure: error.stack ?? error.message }, () => process.disconnect()),
  );
});
