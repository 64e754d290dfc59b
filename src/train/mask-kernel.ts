// Dropout multipliers in WebAssembly SIMD: the same draws as JavaScript's, bit for bit, at the speed of memory.

import { fillMask, type MaskDraw, type MaskFill } from "../random.js";
import { defineFunction, f32x4, i16x8, i32, i32x4, repeatWhile, v128 } from "./wasm-encoder.js";
import { instantiate, simdAvailable } from "./wasm-kernel.js";

/** Floats written between two copies out of WebAssembly's memory: what stays in the nearest cache. */
const BLOCK = 4096;
/** A vector holds four words of two draws each. */
const WORDS = 4;
const DRAWS = 2 * WORDS;

/** One vector of words a turn; its sixteen-bit lanes already lie in the order of their draws. */
const mask = defineFunction(
  "mask",
  { bytes: "i32", seed: "i32", increment: "i32", key1: "i32", threshold: "i32", scale: "f32" },
  {
    ...{ at: "i32", counter: "v128", step: "v128", key: "v128", least: "v128", kept: "v128", word: "v128" },
    ...{ m1: "v128", m2: "v128", m3: "v128" },
  } as const,
  (p, l) => {
    const { splat, add, mul, shiftRight } = i32x4;
    const fold = (bits: number) => l.word.set(v128.xor(l.word.get, shiftRight(l.word.get, i32.constant(bits))));
    const keep = (draws: typeof l.word.get) => v128.and(draws, l.kept.get);
    const lanes = v128.constant(Uint8Array.from({ length: 16 }, (_, byte) => (byte % 4 === 0 ? byte / 4 : 0)));
    return [
      l.counter.set(add(splat(p.seed.get), mul(splat(p.increment.get), lanes))),
      l.step.set(mul(splat(p.increment.get), splat(i32.constant(WORDS)))),
      l.key.set(splat(p.key1.get)),
      l.least.set(i16x8.splat(p.threshold.get)),
      l.kept.set(f32x4.splat(p.scale.get)),
      l.m1.set(splat(i32.constant(0xed5ad4bb))),
      l.m2.set(splat(i32.constant(0xac4c1b51))),
      l.m3.set(splat(i32.constant(0x31848bab))),
      repeatWhile(i32.notEqual(l.at.get, p.bytes.get), [
        l.word.set(l.counter.get),
        fold(17),
        l.word.set(add(mul(l.word.get, l.m1.get), l.key.get)),
        fold(11),
        l.word.set(mul(l.word.get, l.m2.get)),
        fold(15),
        l.word.set(mul(l.word.get, l.m3.get)),
        fold(14),
        l.word.set(i16x8.atLeast(l.word.get, l.least.get)),
        v128.store(l.at.get, keep(i32x4.widenLow(l.word.get))),
        v128.store(l.at.get, keep(i32x4.widenHigh(l.word.get)), 16),
        l.counter.set(add(l.counter.get, l.step.get)),
        l.at.set(i32.add(l.at.get, i32.constant(4 * DRAWS))),
      ]),
    ];
  },
);

interface MaskExports {
  mask(bytes: number, seed: number, increment: number, key1: number, threshold: number, scale: number): void;
}

/** Draws through a block of WebAssembly's memory, since the result has to lie in memory that can go to another thread. */
function simdFill(): MaskFill {
  const { exports, buffer } = instantiate([mask], 4 * BLOCK);
  const run = exports as MaskExports;
  const block = new Float32Array(buffer, 0, BLOCK);
  return (out: Float32Array, draw: MaskDraw) => {
    // A threshold of 2¹⁶ drops everything and does not fit in its lane.
    if (draw.threshold > 0xffff) return fillMask(out, draw);
    const { key0, key1, increment, threshold, scale } = draw;
    for (let at = 0; at < out.length; at += BLOCK) {
      const count = Math.min(BLOCK, out.length - at);
      const seed = (Math.imul(draw.counter + at / 2, increment) + key0) | 0;
      run.mask(4 * DRAWS * Math.ceil(count / DRAWS), seed, increment, key1, threshold, scale);
      out.set(count === BLOCK ? block : block.subarray(0, count), at);
    }
  };
}

/** SIMD where there is any, else JavaScript. */
export const fastestMaskFill: MaskFill = simdAvailable() ? simdFill() : fillMask;
