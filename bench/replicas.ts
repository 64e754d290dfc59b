// Training steps by number of replicas: one model with all threads of the runtime, then 2, 4, 8 … that share each batch.
import { availableParallelism } from "node:os";
import { bench } from "../src/tasks/bench.js";
import { report } from "./measure.js";

const [input = "data/nci-xtb/nci-xtb.sdf.gz", ...presets] = process.argv.slice(2);
const threads = availableParallelism();

for (let replicas = 1; replicas <= threads; replicas *= 2) {
  const { results } = await bench({
    input,
    presets: presets.length > 0 ? presets : ["mini", "base"],
    cacheDir: "runs/corpora",
    steps: 80,
    threads,
    replicas,
  });
  for (const { nodes: _, yardstick: __, ...result } of results)
    report(`replicas, ${result.preset}`, { threads, ...result });
}
