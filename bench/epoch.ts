// Data side of an epoch of corpora of growing size, each in a process of its own: time must grow with the size, memory must not.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { planBatches } from "../src/data/batches.js";
import { type Corpus, openCorpus } from "../src/data/corpus.js";
import { CorpusWriter } from "../src/data/corpus-writer.js";
import { packMolecules } from "../src/data/packed-molecules.js";
import { releaseMemory } from "../src/data/release-memory.js";
import { splitCorpus } from "../src/data/split.js";
import { loadBatches } from "../src/train/batch-loader.js";
import { pretrainSettings } from "../src/train/settings.js";
import { peakMemoryMB, report } from "./measure.js";

/** Asks a process of this script for one epoch instead of all of them. */
const ONE_EPOCH = "--one-epoch";
const SIZES = [10_000, 100_000, 1_000_000];
const WORKERS = 2;
const SEED = 1;
/** Molecules that are copied at a time. */
const PACKET = 1024;

/** Batches that every process makes at least, in further epochs of a small corpus: memory grows for the first seconds of any. */
const LEAST_BATCHES = 3000;

interface Epoch {
  readonly size: number;
  /** Of the first epoch. */
  readonly seconds: number;
  /** Of them, until the first batch is asked for. */
  readonly planSeconds: number;
  readonly moleculesPerSecond: number;
  readonly peakMemoryMB: number;
}

async function oneEpoch(dir: string): Promise<Epoch> {
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const settings = pretrainSettings("base");
  const corpus = await openCorpus(dir);
  const keys = corpus.readStructureKeys();
  const { train } = splitCorpus(keys, { validation: 0 }, SEED);
  releaseMemory([keys.buffer]);
  const plan = (epoch: number) => planBatches(train, corpus.atomCounts, settings.batches, SEED, epoch).batches;
  const batches = plan(0);
  const planSeconds = elapsed();
  const recipe = {
    blend: settings.blend,
    target: settings.model.geometryTarget,
    // Dropout multipliers belong to the model, and cost the same for every corpus.
    dropout: [],
    droppath: settings.droppath,
  };
  function* orders() {
    let number = 0;
    for (let epoch = 0; epoch === 0 || number < LEAST_BATCHES; epoch++) {
      for (const molecules of epoch === 0 ? batches : plan(epoch)) yield { molecules, labels: [number++] };
    }
  }
  let made = 0;
  let seconds = 0;
  for await (const _ of loadBatches(orders(), { corpusDir: dir, recipe, seed: SEED, workers: WORKERS })) {
    if (++made === batches.length) seconds = elapsed();
  }
  const size = train.length;
  return { size, seconds, planSeconds, moleculesPerSecond: size / seconds, peakMemoryMB: peakMemoryMB() };
}

/** Writes a corpus of `size` molecules from all over another one. */
function writePart(corpus: Corpus, size: number, dir: string): void {
  const writer = new CorpusWriter(dir);
  const stride = corpus.size / size;
  for (let begin = 0; begin < size; begin += PACKET) {
    const length = Math.min(PACKET, size - begin);
    const molecules = Array.from({ length }, (_, i) => corpus.get(Math.floor((begin + i) * stride), []));
    writer.appendPacked(packMolecules(molecules, []));
  }
  writer.finish({ sources: [], rdkitVersion: corpus.manifest.rdkitVersion, options: {}, notes: {} });
}

function epochOf(corpus: Corpus, size: number): Epoch {
  const folder = mkdtempSync(join(tmpdir(), "moleblend-epoch-"));
  try {
    const dir = join(folder, "corpus");
    writePart(corpus, size, dir);
    const script = fileURLToPath(import.meta.url);
    const answer = execFileSync(process.execPath, [script, ONE_EPOCH, dir], { stdio: ["ignore", "pipe", "inherit"] });
    return JSON.parse(answer.toString());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Slope of the line of least squares through points. */
function slope(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [mx, my] = [mean(xs), mean(ys)];
  return mean(xs.map((x, i) => (x - mx) * (ys[i] - my))) / mean(xs.map((x) => (x - mx) ** 2));
}

async function main(dir: string, sizes: readonly number[]): Promise<void> {
  const corpus = await openCorpus(dir);
  const epochs: Epoch[] = [];
  for (const size of sizes.filter((n) => n <= corpus.size)) {
    const epoch = epochOf(corpus, size);
    epochs.push(epoch);
    report("epoch, data side", { ...epoch });
  }
  corpus.close();
  if (epochs.length < 2) return;
  const [counts, seconds] = [epochs.map(({ size }) => size), epochs.map((epoch) => epoch.seconds)];
  const peaks = epochs.map((epoch) => epoch.peakMemoryMB);
  report("epoch, data side: growth", {
    exponentOfTime: slope(counts.map(Math.log), seconds.map(Math.log)),
    peakGrowth: peaks[peaks.length - 1] / peaks[0] - 1,
    peakBytesPerMolecule: slope(counts, peaks) * 2 ** 20,
  });
}

const [dir, ...rest] = process.argv.slice(2);
if (dir === ONE_EPOCH) console.log(JSON.stringify(await oneEpoch(rest[0])));
else if (dir) await main(dir, rest.length > 0 ? rest.map(Number) : SIZES);
else {
  console.error("usage: node dist/bench/epoch.js CORPUS [SIZE ...]   (CORPUS: a folder made by `moleblend prepare`)");
  process.exit(2);
}
