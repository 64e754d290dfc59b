// What the machine allows: the rate of a large matrix product in the runtime, and the bandwidth of a copy in memory.
import { Graph } from "../src/onnx/graph.js";
import * as ops from "../src/onnx/ops.js";
import { Session } from "../src/runtime/session.js";
import { report, time } from "./measure.js";

const SIZE = 1024;
const COPY_BYTES = 256 * 2 ** 20;

for (const threads of [1, 2]) {
  const graph = new Graph("product");
  const [a, b] = ["a", "b"].map((name) => graph.input(name, "float32", [SIZE, SIZE]));
  graph.output("c", ops.matMul(a, b));
  const session = await Session.create(graph, { threads, inPlace: true });
  const matrix = () => ({ data: new Float32Array(SIZE * SIZE).fill(0.5), shape: [SIZE, SIZE] });
  const feeds = { a: matrix(), b: matrix() };
  const into = { c: matrix() };
  const { median, least, most } = await time(() => session.runInPlace(feeds, into), 9, 3);
  const flops = 2 * SIZE ** 3;
  report("matrix product 1024³, fp32", {
    threads,
    gigaflops: flops / median / 1e9,
    spread: [flops / most / 1e9, flops / least / 1e9],
  });
  await session.close();
}
const source = new Uint8Array(COPY_BYTES).fill(1);
const target = new Uint8Array(COPY_BYTES);
const { median } = await time(() => target.set(source), 9, 2);
report("copy in memory, one thread", { gigabytesPerSecond: (2 * COPY_BYTES) / median / 1e9 });
