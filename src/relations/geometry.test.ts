// Pair geometry against hand-worked values, in place within padded batches, and random rotations.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ShapeError } from "../errors.js";
import { Random } from "../random.js";
import { pairGeometry, randomRotation, rotate } from "./geometry.js";

const positions = Float32Array.of(0, 0, 0, 3, 4, 0, 3, 4, 12);

describe("pairGeometry", () => {
  it("gives distances in Å and directions from i to j", () => {
    const distance = new Float32Array(9);
    const direction = new Float32Array(27);
    pairGeometry(positions, 3, distance, direction);
    assert.deepEqual([...distance], [0, 5, 13, 5, 0, 12, 13, 12, 0]);
    const plane = (c: number, i: number, j: number) => direction[c * 9 + i * 3 + j];
    assert.equal(plane(0, 0, 1), Math.fround(3 / (5 + 1e-5)));
    assert.equal(plane(1, 1, 0), Math.fround(-4 / (5 + 1e-5)));
    assert.equal(plane(2, 0, 2), Math.fround(12 / (13 + 1e-5)));
    assert.equal(plane(2, 1, 1), 0);
  });

  it("writes into a padded batch and leaves everything else alone", () => {
    const width = 5;
    const batchPositions = new Float32Array(2 * width * 3);
    batchPositions.set(positions, width * 3);
    const distance = new Float32Array(2 * width * width).fill(-7);
    const direction = new Float32Array(2 * 3 * width * width).fill(-7);
    pairGeometry(batchPositions, 3, distance, direction, {
      positionOffset: width * 3,
      distanceOffset: width * width,
      directionOffset: 3 * width * width,
      rowStride: width,
      planeStride: width * width,
    });
    const compact = new Float32Array(9);
    const compactDirection = new Float32Array(27);
    pairGeometry(positions, 3, compact, compactDirection);
    const inside = (i: number, j: number) => i < 3 && j < 3;
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) {
        const at = width * width + i * width + j;
        assert.equal(distance[at], inside(i, j) ? compact[i * 3 + j] : -7);
        for (let c = 0; c < 3; c++) {
          const there = 3 * width * width + c * width * width + i * width + j;
          assert.equal(direction[there], inside(i, j) ? compactDirection[c * 9 + i * 3 + j] : -7);
        }
      }
    }
    assert.ok(distance.subarray(0, width * width).every((value) => value === -7));
  });

  it("gives zero, not NaN, for atoms at the same place", () => {
    const distance = new Float32Array(4);
    const direction = new Float32Array(12);
    pairGeometry(new Float32Array(6), 2, distance, direction);
    assert.ok([...distance, ...direction].every((value) => value === 0));
  });

  it("refuses arrays that are too short", () => {
    assert.throws(() => pairGeometry(positions, 3, new Float32Array(8), new Float32Array(27)), ShapeError);
    assert.throws(() => pairGeometry(positions, 3, new Float32Array(9), new Float32Array(26)), /at least 27/);
    assert.throws(() => pairGeometry(positions, 4, new Float32Array(16), new Float32Array(48)), /positions/);
  });
});

describe("randomRotation", () => {
  it("is orthogonal with determinant 1 and the same for the same seed", () => {
    const random = Random.fromSeed(3);
    for (let trial = 0; trial < 100; trial++) {
      const r = randomRotation(random);
      for (let i = 0; i < 3; i++) {
        for (let j = 0; j < 3; j++) {
          const dot = r[i * 3] * r[j * 3] + r[i * 3 + 1] * r[j * 3 + 1] + r[i * 3 + 2] * r[j * 3 + 2];
          assert.ok(Math.abs(dot - (i === j ? 1 : 0)) < 1e-12);
        }
      }
      const determinant =
        r[0] * (r[4] * r[8] - r[5] * r[7]) - r[1] * (r[3] * r[8] - r[5] * r[6]) + r[2] * (r[3] * r[7] - r[4] * r[6]);
      assert.ok(Math.abs(determinant - 1) < 1e-12);
    }
    assert.deepEqual(randomRotation(Random.fromSeed(5)), randomRotation(Random.fromSeed(5)));
  });

  it("is uniform: entries have mean 0, mean square 1/3, and the trace has mean square 1", () => {
    const random = Random.fromSeed(11);
    const trials = 20000;
    const sums = new Float64Array(9);
    const squares = new Float64Array(9);
    let trace = 0;
    for (let trial = 0; trial < trials; trial++) {
      const r = randomRotation(random);
      r.forEach((value, at) => {
        sums[at] += value;
        squares[at] += value * value;
      });
      trace += (r[0] + r[4] + r[8]) ** 2;
    }
    for (let at = 0; at < 9; at++) {
      assert.ok(Math.abs(sums[at] / trials) < 0.02);
      assert.ok(Math.abs(squares[at] / trials - 1 / 3) < 0.02);
    }
    // Haar measure: the character of the 3-dimensional representation has norm 1.
    assert.ok(Math.abs(trace / trials - 1) < 0.05);
  });

  it("keeps distances and turns directions", () => {
    const rotation = randomRotation(Random.fromSeed(2));
    const turned = rotate(positions, rotation);
    const before = new Float32Array(9);
    const after = new Float32Array(9);
    const direction = new Float32Array(27);
    const turnedDirection = new Float32Array(27);
    pairGeometry(positions, 3, before, direction);
    pairGeometry(turned, 3, after, turnedDirection);
    for (let pair = 0; pair < 9; pair++) {
      assert.ok(Math.abs(before[pair] - after[pair]) < 1e-5);
      const vector = Float32Array.of(direction[pair], direction[9 + pair], direction[18 + pair]);
      const expected = rotate(vector, rotation);
      for (let c = 0; c < 3; c++) assert.ok(Math.abs(expected[c] - turnedDirection[c * 9 + pair]) < 1e-5);
    }
  });
});
