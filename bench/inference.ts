// Molecules a second of `embed` and `predict` with new models of each size, from SMILES and from stored features, beside reading them alone.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FINGERPRINT_BYTES, morganFingerprint } from "../src/chem/fingerprint.js";
import { loadRdkit } from "../src/chem/rdkit.js";
import { openCorpus } from "../src/data/corpus.js";
import { isReject, readRecords } from "../src/data/readers/index.js";
import { NO_DROPOUT, preset } from "../src/model/config.js";
import { initialise } from "../src/model/parameters.js";
import type { TaskConfig } from "../src/model/task-graphs.js";
import { Random } from "../src/random.js";
import { median } from "../src/runtime/median.js";
import { embed } from "../src/tasks/embed.js";
import { openSource } from "../src/tasks/inference/molecule-source.js";
import { predict } from "../src/tasks/predict.js";
import { prepare } from "../src/tasks/prepare.js";
import { saveFinetuned, taskSlots } from "../src/train/finetuned-model.js";
import { peakMemoryMB, report } from "./measure.js";

const [input = "data/nci-xtb/nci-xtb.sdf.gz", limit = "4000"] = process.argv.slice(2);
/** A model this much slower than mini is given as much fewer molecules. */
const SHARES = { mini: 1, base: 1, paper: 0.1 } as const;
const RUNS = 3;
const TRAINING = 1000;
const READING = { hydrogens: false, maxAtoms: 256 };

interface Molecules {
  readonly smiles: string;
  readonly corpus: string;
  readonly fingerprints: Uint8Array;
}

async function makeInputs(folder: string, count: number): Promise<Molecules> {
  const texts: string[] = [];
  for await (const record of readRecords(input)) {
    if (isReject(record)) continue;
    const text = record.format === "smiles" ? record.text : record.properties["SMILES"];
    if (text) texts.push(text);
    if (texts.length === count) break;
  }
  const [smiles, dir] = [join(folder, `${count}.smi`), join(folder, `corpus-${count}`)];
  writeFileSync(smiles, `${texts.join("\n")}\n`);
  await prepare([smiles], dir);
  const [rdkit, corpus] = [await loadRdkit(), await openCorpus(dir)];
  const training = Math.min(TRAINING, corpus.size);
  const fingerprints = new Uint8Array(training * FINGERPRINT_BYTES);
  for (let row = 0; row < training; row++)
    fingerprints.set(morganFingerprint(rdkit, corpus.get(row)), row * FINGERPRINT_BYTES);
  corpus.close();
  return { smiles, corpus: dir, fingerprints };
}

async function makeModel(dir: string, name: string, seeds: number, fingerprints: Uint8Array): Promise<string> {
  const model = preset(name);
  const task: TaskConfig = { kind: "regression", outputs: 1, readout: "mean", mode: "2d" };
  const { slots, length } = taskSlots(model, task);
  await saveFinetuned(dir, {
    ...{ model, task, metric: "rmse", conformers: 1, reading: READING, fingerprints, pretrained: null },
    targets: [{ name: "x", mean: 0, std: 1 }],
    dropout: { ...NO_DROPOUT, attention: 0.1, activation: 0.1 },
    seeds: Array.from({ length: seeds }, (_, i) => {
      const parameters = new Float32Array(length);
      initialise(slots, parameters, Random.fromSeed(i + 1), "moleblend");
      return { seed: i + 1, bestEpoch: 1, validation: {}, parameters };
    }),
  });
  return dir;
}

/** Reads all molecules as `embed` and `predict` do, and drops them. */
async function readAlone(path: string): Promise<number> {
  const began = performance.now();
  const source = await openSource([path], { ...READING, geometry: false });
  let molecules = 0;
  for await (const chunk of source.chunks()) molecules += chunk.length;
  await source.close();
  return (1000 * molecules) / (performance.now() - began);
}

type Rate = (path: string) => Promise<number>;

function ratesOf(folder: string, single: string, several: string): Record<string, Rate> {
  const out = join(folder, "out.csv");
  const predicting =
    (model: string, samples: number, similarity: boolean): Rate =>
    async (path) =>
      (await predict({ models: [model], inputs: [path], out, samples, similarity })).moleculesPerSecond;
  return {
    "reading alone": readAlone,
    embed: async (path) =>
      (await embed({ model: single, inputs: [path], out: join(folder, "out.npy"), pool: "mean" })).moleculesPerSecond,
    predict: predicting(single, 0, false),
    "predict, similarity": predicting(single, 0, true),
    "predict, 3 models": predicting(several, 0, false),
    "predict, 1 draw with dropout": predicting(single, 1, false),
  };
}

const folder = mkdtempSync(join(tmpdir(), "moleblend-inference-"));
try {
  for (const [name, share] of Object.entries(SHARES)) {
    const molecules = Math.max(1, Math.round(Number(limit) * share));
    const { smiles, corpus, fingerprints } = await makeInputs(folder, molecules);
    const single = await makeModel(join(folder, `${name}-1`), name, 1, fingerprints);
    const several = await makeModel(join(folder, `${name}-3`), name, 3, fingerprints);
    const rates = ratesOf(folder, single, several);
    for (const [source, path] of [
      ["SMILES", smiles],
      ["corpus", corpus],
    ]) {
      const measured = new Map(Object.keys(rates).map((task): [string, number[]] => [task, []]));
      // In turn, so that another load of the machine falls on all of them.
      for (let run = 0; run < RUNS; run++)
        for (const [task, rate] of Object.entries(rates)) measured.get(task)?.push(await rate(path));
      for (const [task, all] of measured) {
        const [moleculesPerSecond, least, most] = [median(all), Math.min(...all), Math.max(...all)];
        const ofEmbed = moleculesPerSecond / median(measured.get("embed") ?? []);
        report("inference", { preset: name, source, task, molecules, moleculesPerSecond, least, most, ofEmbed });
      }
    }
  }
  report("inference, memory", { peakMemoryMB: peakMemoryMB() });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
