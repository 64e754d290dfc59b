// SMILES → corpus beside RDKit alone on the same molecules and as many threads, in turn, so that a busy machine disturbs both alike.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { compileRdkit } from "../src/chem/rdkit.js";
import { isReject, readRecords } from "../src/data/readers/index.js";
import { median } from "../src/runtime/median.js";
import { prepare } from "../src/tasks/prepare.js";
import { peakMemoryMB, report } from "./measure.js";
import type { AloneRequest } from "./rdkit-alone.js";

const ROUNDS = 5;
/** Parsing as RDKit's users call it, the same with the pickle that holds the features, and the least that gives one. */
const YARDSTICKS = {
  parse: { details: "{}", pickle: false },
  "parse and pickle": { details: "{}", pickle: true },
  "least parse and pickle": { details: '{"removeHs":false,"assignStereo":false}', pickle: true },
} as const;
type Yardstick = keyof typeof YARDSTICKS;

const [input = "data/nci-xtb/nci-xtb.sdf.gz", limit = "20000"] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "moleblend-prepare-"));
const list = join(folder, "molecules.smi");
const smiles: string[] = [];
for await (const record of readRecords(input)) {
  if (isReject(record)) continue;
  const text = record.format === "smiles" ? record.text : record.properties["SMILES"];
  if (text) smiles.push(text);
  if (smiles.length === Number(limit)) break;
}
writeFileSync(list, `${smiles.join("\n")}\n`);
const code = await compileRdkit();

interface Rate {
  readonly perSecond: number;
  /** Of all threads of this process: holds also when other work takes a share of the cores. */
  readonly perCpuSecond: number;
}

async function rate(work: () => Promise<unknown>): Promise<Rate> {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return {
    perSecond: (smiles.length / (performance.now() - start)) * 1e3,
    perCpuSecond: (smiles.length / (user + system)) * 1e6,
  };
}

/** RDKit alone on all threads at once, from the moment when each has loaded it and warmed up. */
async function rdkitAlone(threads: number, yardstick: Yardstick): Promise<Rate> {
  const parts = Array.from({ length: threads }, (_, t) => smiles.filter((_, i) => i % threads === t));
  const workers = parts.map((part) => {
    const workerData: AloneRequest = { code, smiles: part, ...YARDSTICKS[yardstick] };
    return new Worker(new URL("./rdkit-alone.js", import.meta.url), { workerData });
  });
  const answer = (worker: Worker) =>
    new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  await Promise.all(workers.map(answer));
  const measured = await rate(() => {
    const done = workers.map(answer);
    for (const worker of workers) worker.postMessage("go");
    return Promise.all(done);
  });
  await Promise.all(workers.map((worker) => worker.terminate()));
  return measured;
}

for (const threads of [...new Set([1, availableParallelism()])]) {
  const found: Record<string, number[]> = {};
  const add = (name: string, value: number) => {
    found[name] = [...(found[name] ?? []), value];
  };
  for (let round = 0; round < ROUNDS; round++) {
    const corpus = await rate(() => prepare([list], join(folder, "corpus"), { workers: threads }));
    add("corpus", corpus.perSecond);
    for (const yardstick of Object.keys(YARDSTICKS) as Yardstick[]) {
      const alone = await rdkitAlone(threads, yardstick);
      add(yardstick, alone.perSecond);
      add(`corpus / ${yardstick}`, corpus.perSecond / alone.perSecond);
      add(`corpus / ${yardstick}, by CPU time`, corpus.perCpuSecond / alone.perCpuSecond);
    }
  }
  const medians = Object.fromEntries(Object.entries(found).map(([name, values]) => [name, median(values)]));
  report("SMILES to corpus beside RDKit alone, medians", { threads, molecules: smiles.length, ...medians });
}
report("SMILES to corpus", { peakMemoryMB: peakMemoryMB() });
rmSync(folder, { recursive: true });
