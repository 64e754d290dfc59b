// Dropout masks in SIMD against the draws of JavaScript, and against values that were drawn before there was any.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fillMask, Random } from "../random.js";
import { fastestMaskFill } from "./mask-kernel.js";
import { simdAvailable } from "./wasm-kernel.js";

test("draws of any length, place and probability are those of JavaScript, bit for bit", () => {
  assert.equal(fastestMaskFill !== fillMask, simdAvailable());
  const stream = fc.record({
    seed: fc.nat(),
    before: fc.nat(20_000),
    length: fc.oneof(fc.nat(40), fc.integer({ min: 4080, max: 4110 }), fc.nat(30_000)),
    probability: fc.oneof(fc.constantFrom(0, 1, 1e-5, 65535 / 65536, 0.5), fc.double({ min: 0, max: 1, noNaN: true })),
  });
  const agree = ({
    seed,
    before,
    length,
    probability,
  }: { [K in "seed" | "before" | "length" | "probability"]: number }) => {
    const [a, b] = [Random.fromSeed(seed), Random.fromSeed(seed)];
    // Masks may begin anywhere in a stream, and what comes after them must not depend on how they were drawn.
    for (const random of [a, b]) random.fillKeepScale(new Float32Array(before), 0.5);
    const expected = a.fillKeepScale(new Float32Array(length), probability);
    const got = b.fillKeepScale(new Float32Array(length), probability, fastestMaskFill);
    assert.deepEqual(new Uint32Array(got.buffer), new Uint32Array(expected.buffer));
    assert.equal(a.uint32(), b.uint32());
  };
  fc.assert(fc.property(stream, agree), { numRuns: 200 });
});
