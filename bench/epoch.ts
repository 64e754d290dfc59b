// Data side of an epoch over growing parts of one corpus: time and memory must not depend on its size but by its length.

import { planBatches } from "../src/data/batches.js";
import { openCorpus } from "../src/data/corpus.js";
import { loadBatches } from "../src/train/batch-loader.js";
import { pretrainSettings } from "../src/train/settings.js";
import { peakMemoryMB, report } from "./measure.js";

const [dir, ...sizes] = process.argv.slice(2);
if (!dir) {
  console.error("usage: node dist/bench/epoch.js CORPUS [SIZE ...]   (CORPUS: a folder made by `moleblend prepare`)");
  process.exit(2);
}
const corpus = await openCorpus(dir);
const settings = pretrainSettings("base");
const recipe = {
  blend: settings.blend,
  target: settings.model.geometryTarget,
  // Dropout multipliers belong to the model, and cost the same for every corpus.
  dropout: [],
  droppath: settings.droppath,
};
const points: { readonly size: number; readonly seconds: number }[] = [];
for (const size of (sizes.length > 0 ? sizes.map(Number) : [10_000, 100_000, 1_000_000]).filter(
  (n) => n <= corpus.size,
)) {
  const start = performance.now();
  const stride = corpus.size / size;
  const molecules = Int32Array.from({ length: size }, (_, i) => Math.floor(i * stride));
  const { batches } = planBatches(molecules, corpus.atomCounts, settings.batches, 1, 0);
  const planned = (performance.now() - start) / 1000;
  const source = loadBatches(
    batches.map((members, i) => ({ molecules: members, labels: [i] })),
    { corpusDir: dir, recipe, seed: 1, workers: 2 },
  );
  for await (const _ of source);
  const seconds = (performance.now() - start) / 1000;
  points.push({ size, seconds });
  report("epoch, data side", {
    size,
    seconds,
    planSeconds: planned,
    moleculesPerSecond: size / seconds,
    peakMemoryMB: peakMemoryMB(),
  });
}
if (points.length > 1) {
  const logs = points.map(({ size, seconds }) => ({ x: Math.log(size), y: Math.log(seconds) }));
  const mean = (pick: (point: { x: number; y: number }) => number) =>
    logs.reduce((sum, point) => sum + pick(point), 0) / logs.length;
  const [mx, my] = [mean(({ x }) => x), mean(({ y }) => y)];
  const slope =
    logs.reduce((sum, { x, y }) => sum + (x - mx) * (y - my), 0) / logs.reduce((sum, { x }) => sum + (x - mx) ** 2, 0);
  report("epoch, data side: exponent of time in size", { exponent: slope });
}
corpus.close();
