// The victim of the kill test: a process that goes on from the newest checkpoint and writes one after the other.

import { Random } from "../random.js";
import { loadLatest, saveCheckpoint } from "./checkpoint.js";
import type { NamedTensor } from "./safetensors.js";

const [directory] = process.argv.slice(2);
const loaded = loadLatest(directory);
let step = loaded?.state.step ?? 0;
loaded?.close();

function tensor(name: string, value: number): NamedTensor {
  const data = new Float32Array(20_000 + Random.fromSeed(value).below(200_000)).fill(value);
  return { name, dtype: "F32", shape: [data.length], data };
}

const random = Random.fromSeed(process.pid);
process.stdout.write("ready\n");
for (;;) {
  // Every third time the same step is written again, which replaces a finished checkpoint.
  if (step === 0 || random.uniform() < 0.67) step++;
  await saveCheckpoint(
    directory,
    {
      state: { step, epoch: 1, batchInEpoch: step, seed: 5, config: { size: "tiny" }, metrics: { loss: step } },
      model: [tensor("w", step), tensor("b", step)],
      optimizer: [tensor("m", step), tensor("v", step)],
    },
    { keep: 2 },
  );
  process.stdout.write(`saved ${step}\n`);
}
