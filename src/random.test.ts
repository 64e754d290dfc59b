import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "./random.js";

const draws = (random: Random, count: number) => Array.from({ length: count }, () => random.uint32());

test("a stream is a function of its seed and labels alone", () => {
  const a = Random.fromSeed(7).split("noise", 3);
  const parent = Random.fromSeed(7);
  draws(parent, 100);
  assert.deepEqual(draws(a, 50), draws(parent.split("noise", 3), 50));
});

test("other seeds, labels and label types give other streams", () => {
  const root = Random.fromSeed(1);
  const streams = [
    root,
    Random.fromSeed(2),
    root.split("a"),
    root.split("b"),
    root.split(1),
    root.split("1"),
    root.split("a", "b"),
    root.split("ab"),
    root.split(2 ** 32 + 1),
  ];
  assert.equal(new Set(streams.map((stream) => draws(stream, 4).join())).size, streams.length);
});

/** χ² of counts that should be equal, for 255 degrees of freedom: mean 255, standard deviation 22.6. */
function chiSquare(values: Iterable<number>): number {
  const counts = new Float64Array(256);
  let total = 0;
  for (const value of values) {
    counts[value]++;
    total++;
  }
  return counts.reduce((sum, count) => sum + (count - total / 256) ** 2 / (total / 256), 0);
}

test("every byte of a draw is uniform, along a stream and across neighbouring streams", () => {
  const random = Random.fromSeed(3);
  const along = draws(random, 100_000);
  const across = Array.from({ length: 100_000 }, (_, i) => random.split("step", i).uint32());
  for (const words of [along, across]) {
    for (const shift of [0, 8, 16, 24]) {
      const statistic = chiSquare(words.map((word) => (word >>> shift) & 255));
      assert.ok(statistic > 150 && statistic < 390, `byte at ${shift}: χ² ${statistic}`);
    }
  }
});

test("normal draws have the moments of N(0, 1)", () => {
  const random = Random.fromSeed(4);
  const values = Array.from({ length: 200_000 }, () => random.normal());
  const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / values.length;
  assert.ok(Math.abs(moment(1)) < 0.01);
  assert.ok(Math.abs(moment(2) - 1) < 0.02);
  assert.ok(Math.abs(moment(3)) < 0.04);
  assert.ok(Math.abs(moment(4) - 3) < 0.12);
});

test("dropout multipliers: the share, the scale, no pattern between neighbours or streams", () => {
  const random = Random.fromSeed(5);
  for (const p of [0.1, 0.25, 0.5]) {
    const out = random.split("mask", p * 100).fillKeepScale(new Float32Array(200_001), p);
    const other = random.split("mask", p * 100, 1).fillKeepScale(new Float32Array(200_001), p);
    const dropped = out.filter((value) => value === 0).length / out.length;
    assert.ok(Math.abs(dropped - p) < 5 * Math.sqrt((p * (1 - p)) / out.length), `dropped ${dropped} instead of ${p}`);
    assert.deepEqual([...new Set(out)].sort(), [0, Math.fround(65536 / (65536 - Math.round(p * 65536)))]);
    const together = (pairs: (i: number) => boolean) => Array.from(out.keys()).filter(pairs).length / out.length;
    const limit = 5 * Math.sqrt((p * p * (1 - p * p)) / out.length);
    for (const lag of [1, 2, 3, 8, 64]) {
      assert.ok(
        Math.abs(together((i) => out[i] === 0 && out[i + lag] === 0) - p * p) < limit + lag / out.length,
        `lag ${lag}`,
      );
    }
    assert.ok(Math.abs(together((i) => out[i] === 0 && other[i] === 0) - p * p) < limit, "two streams");
  }
});

test("categorical, below, shuffle", () => {
  const random = Random.fromSeed(6);
  const counts = [0, 0, 0];
  for (let i = 0; i < 30_000; i++) counts[random.categorical([0.2, 0.2, 0.6])]++;
  assert.ok(Math.abs(counts[0] / 30_000 - 0.2) < 0.015 && Math.abs(counts[2] / 30_000 - 0.6) < 0.015);
  assert.ok(Array.from({ length: 1000 }, () => random.below(7)).every((n) => Number.isInteger(n) && n >= 0 && n < 7));
  const shuffled = random.shuffle(Int32Array.from({ length: 100 }, (_, i) => i));
  assert.deepEqual(
    [...shuffled].sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert.notDeepEqual([...shuffled.slice(0, 10)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});
