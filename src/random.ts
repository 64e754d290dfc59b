// Seeded, splittable, counter-based random numbers: the n-th draw of a stream depends on its key and n alone.

/** Avalanche of a 32-bit word: three multiply-xorshift rounds (constants of C. Wellons' `triple32`). */
function mix(word: number): number {
  let x = word;
  x ^= x >>> 17;
  x = Math.imul(x, 0xed5ad4bb);
  x ^= x >>> 11;
  x = Math.imul(x, 0xac4c1b51);
  x ^= x >>> 15;
  x = Math.imul(x, 0x31848bab);
  return x ^ (x >>> 14);
}

const GOLDEN_RATIO = 0x9e3779b9;

/** What a mask is drawn from. */
export interface MaskDraw {
  readonly key0: number;
  readonly key1: number;
  /** Number of the first word. */
  readonly counter: number;
  /** Multiplied into the number of a word before it is hashed. */
  readonly increment: number;
  /** Draws of 16 bits below this one are dropped. */
  readonly threshold: number;
  /** Stands where nothing is dropped. */
  readonly scale: number;
}

/** Writes one multiplier a draw, the lower half of each word first. */
export type MaskFill = (out: Float32Array, draw: MaskDraw) => void;

/** One avalanche a word with both keys in it: half the work of two, for masks of millions of draws a batch. */
export function fillMask(out: Float32Array, { key0, key1, counter, increment, threshold, scale }: MaskDraw): void {
  let n = counter;
  for (let i = 0; i < out.length; i += 2) {
    let x = Math.imul(n++, increment) + key0;
    x ^= x >>> 17;
    x = Math.imul(x, 0xed5ad4bb) + key1;
    x ^= x >>> 11;
    x = Math.imul(x, 0xac4c1b51);
    x ^= x >>> 15;
    x = Math.imul(x, 0x31848bab);
    x ^= x >>> 14;
    out[i] = (x & 0xffff) < threshold ? 0 : scale;
    if (i + 1 < out.length) out[i + 1] = x >>> 16 < threshold ? 0 : scale;
  }
}

export type Label = string | number;

/**
 * A stream of draws. `split` derives independent streams by label, so a draw can be addressed by what it is for
 * (`random.split("noise", step)`) and any step can be replayed without the ones before it.
 */
export class Random {
  private constructor(
    private readonly key0: number,
    private readonly key1: number,
    private counter: number,
  ) {}

  /** @param seed any integer; its low 53 bits count. */
  static fromSeed(seed: number): Random {
    return new Random(GOLDEN_RATIO, 0x85ebca6b, 0).split(seed);
  }

  /** A stream of its own for each list of labels; this stream does not advance. */
  split(...labels: readonly Label[]): Random {
    let key0 = this.key0;
    let key1 = this.key1;
    const absorb = (word: number) => {
      key0 = mix(Math.imul(key0 ^ word, GOLDEN_RATIO) + key1);
      key1 = mix(key1 + mix(word ^ key0) + GOLDEN_RATIO);
    };
    for (const label of labels) {
      if (typeof label === "number") {
        absorb(1);
        absorb(label | 0);
        absorb(Math.floor(label / 2 ** 32) | 0);
      } else {
        absorb(2);
        for (let i = 0; i < label.length; i++) absorb(label.charCodeAt(i));
      }
    }
    return new Random(key0, key1, 0);
  }

  /** Uniform integer in [0, 2³²). */
  uint32(): number {
    const n = this.counter++;
    return mix(mix(Math.imul(n, GOLDEN_RATIO) + this.key0) + this.key1) >>> 0;
  }

  /** Uniform in [0, 1) with 32 random bits. */
  uniform(): number {
    return this.uint32() / 2 ** 32;
  }

  /** Uniform integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** Standard normal draw (Box-Muller; two uniforms each, so the stream stays addressable). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log((this.uint32() + 0.5) / 2 ** 32));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Index drawn with the given probabilities, which sum to 1. */
  categorical(probabilities: readonly number[]): number {
    let rest = this.uniform();
    for (let i = 0; i < probabilities.length - 1; i++) {
      rest -= probabilities[i];
      if (rest < 0) return i;
    }
    return probabilities.length - 1;
  }

  /** Fisher-Yates shuffle in place. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = items[i];
      items[i] = items[j];
      items[j] = held;
    }
    return items;
  }

  /**
   * Inverted-dropout multipliers: 0 with probability `dropProbability`, else 1 / (1 - dropProbability).
   * Two elements share one 32-bit word, so the probability is rounded to 1/65536 and the scale follows it exactly.
   * @param fill draws; `fillMask` or what gives the same
   */
  fillKeepScale(out: Float32Array, dropProbability: number, fill: MaskFill = fillMask): Float32Array {
    const threshold = Math.round(dropProbability * 65536);
    const { key0, key1, counter } = this;
    const scale = Math.fround(65536 / (65536 - threshold));
    fill(out, { key0, key1, counter, increment: GOLDEN_RATIO, threshold, scale });
    this.counter += Math.ceil(out.length / 2);
    return out;
  }
}
