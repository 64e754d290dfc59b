// Sessions: symbolic batches, outputs written in place, and feeds that do not fit.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Graph } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import { Session, type Tensor } from "./session.js";

function sums(): Graph {
  const graph = new Graph("sums");
  const x = graph.input("x", "float32", ["batch", 2]);
  const y = graph.input("y", "float32", ["batch", 2]);
  graph.output("sum", ops.add(x, y));
  graph.output("total", ops.reduceSum(ops.mul(x, y), [0, 1], false));
  return graph;
}

const matrix = (...values: number[]): Tensor => ({ data: Float32Array.from(values), shape: [values.length / 2, 2] });

let session: Session;
let inPlace: Session;
before(async () => {
  session = await Session.create(sums(), { threads: 1 });
  inPlace = await Session.create(sums(), { threads: 1, inPlace: true });
});
after(async () => {
  await session.close();
  await inPlace.close();
});

test("one session serves every size of a symbol", async () => {
  for (const batch of [1, 3, 2, 1]) {
    const x = matrix(...Array.from({ length: 2 * batch }, (_, i) => i));
    const { sum, total } = await session.run({ x, y: x });
    assert.deepEqual(
      Array.from(sum.data, Number),
      Array.from(x.data, Number).map((value) => 2 * value),
    );
    assert.deepEqual([...sum.shape], [batch, 2]);
    assert.deepEqual([...total.shape], []);
  }
});

/** Two outputs as views of one array, with elements around them that must not change. */
function arena(): { flat: Float32Array; into: Record<string, Tensor> } {
  const flat = new Float32Array(8).fill(-1);
  return {
    flat,
    into: { sum: { data: flat.subarray(1, 5), shape: [2, 2] }, total: { data: flat.subarray(6, 7), shape: [] } },
  };
}

test("outputs are written into views of a larger array, and into nothing else", async () => {
  const { flat, into } = arena();
  const feeds = { x: matrix(1, 2, 3, 4), y: matrix(1, 1, 1, 1) };
  const outputs = await session.run(feeds, into);
  assert.equal(outputs["sum"], into["sum"]);
  assert.deepEqual([...flat], [-1, 2, 3, 4, 5, -1, 10, -1]);
  const other = arena();
  await inPlace.runInPlace(feeds, other.into);
  assert.deepEqual(other.flat, flat);
});

test("inputs may be views too, and are read anew at every run", async () => {
  const flat = Float32Array.of(9, 1, 2, 9);
  const x = { data: flat.subarray(1, 3), shape: [1, 2] };
  const first = await session.run({ x, y: x });
  flat[1] = 5;
  const second = await session.run({ x, y: x });
  assert.deepEqual(
    [first, second].map(({ sum }) => Array.from(sum.data, Number)),
    [
      [2, 4],
      [10, 4],
    ],
  );
});

const good = matrix(1, 2, 3, 4);
const REFUSED: readonly [string, Readonly<Record<string, Tensor>>, RegExp][] = [
  ["a missing input", { x: good }, /^graph "sums", input "y": nothing was fed, expected float32\[batch, 2\]$/],
  [
    "another type",
    { x: good, y: { data: new Float64Array(4), shape: [2, 2] } },
    /input "y": expected float32, got Float64Array/,
  ],
  [
    "another width",
    { x: { data: new Float32Array(6), shape: [2, 3] }, y: good },
    /input "x": expected \[batch, 2\], got \[2, 3\]/,
  ],
  ["another rank", { x: { data: new Float32Array(4), shape: [4] }, y: good }, /got \[4\] of 4 elements/],
  ["too few elements", { x: { data: new Float32Array(3), shape: [2, 2] }, y: good }, /got \[2, 2\] of 3 elements/],
  ["sizes that contradict each other", { x: good, y: matrix(1, 2) }, /input "y".*got \[1, 2\].*batch=2 \("x"\)/],
];

for (const [what, feeds, message] of REFUSED) {
  test(`refuses ${what}`, async () => {
    await assert.rejects(session.run(feeds), { name: "ShapeError", message });
    await assert.rejects(inPlace.runInPlace(feeds, arena().into), { name: "ShapeError", message });
  });
}

test("arrays that an output does not fit are an error, not a wrong result", async () => {
  const feeds = { x: good, y: good };
  const wrong: Readonly<Record<string, Tensor>>[] = [
    { ...arena().into, sum: { data: new Float32Array(2), shape: [1, 2] } },
    { ...arena().into, sum: { data: new Float32Array(6), shape: [3, 2] } },
    { ...arena().into, total: { data: new Float64Array(1), shape: [] } },
  ];
  for (const into of wrong) {
    await assert.rejects(session.run(feeds, into));
    await assert.rejects(inPlace.runInPlace(feeds, into));
  }
  await assert.rejects(inPlace.runInPlace(feeds, { total: arena().into["total"] }), {
    name: "ShapeError",
    message: 'graph "sums": no array was given for output "sum"',
  });
});

test("every output of a run in place is written, however many runs", async () => {
  for (let i = 1; i <= 20; i++) {
    const { flat, into } = arena();
    await inPlace.runInPlace({ x: matrix(i, i, i, i), y: matrix(1, 1, 1, 1) }, into);
    assert.deepEqual([flat[1], flat[6]], [i + 1, 4 * i]);
  }
});
