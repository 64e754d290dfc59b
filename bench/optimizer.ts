// Clipping and Adam over 50 M parameters, in WebAssembly SIMD and in plain JavaScript.
import { ADAM_DEFAULTS, adamStep } from "../src/train/adam.js";
import { createArena } from "../src/train/arena.js";
import { report, time } from "./measure.js";

const PARAMETERS = 50_120_106;

for (const kind of ["wasm-simd", "javascript"] as const) {
  const arena = createArena(PARAMETERS, { kind });
  arena.parameters.fill(0.1);
  arena.gradients.fill(0.01);
  let update = 0;
  const step = () =>
    adamStep(arena, { ...ADAM_DEFAULTS, maxGradientNorm: 5 }, { update: ++update, learningRate: 1e-4 });
  const { median, least, most } = await time(step, 7, 2);
  report("Adam with clipping, 50 M parameters", {
    kind,
    milliseconds: median * 1000,
    spread: [least * 1000, most * 1000],
    nanosecondsPerParameter: (median * 1e9) / PARAMETERS,
  });
}
