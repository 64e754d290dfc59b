// Training steps by preset beside the matrix products of a step alone.
import { bench } from "../src/tasks/bench.js";
import { report } from "./measure.js";

const [input = "data/nci-xtb/nci-xtb.sdf.gz", ...presets] = process.argv.slice(2);
const { results, data } = await bench({
  input,
  presets: presets.length > 0 ? presets : ["mini", "base", "paper"],
  cacheDir: "runs/corpora",
  yardstick: true,
});
for (const { nodes: _, ...result } of results) report(`training step, ${result.preset}`, { ...result });
report("data, one core", { ...data });
