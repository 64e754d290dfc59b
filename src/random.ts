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

/** One avalanche with both keys in it: half the work of two, for masks of millions of draws a batch. */
function keyedMix(counter: number, key0: number, key1: number): number {
  let x = Math.imul(counter, GOLDEN_RATIO) + key0;
  x ^= x >>> 17;
  x = Math.imul(x, 0xed5ad4bb) + key1;
  x ^= x >>> 11;
  x = Math.imul(x, 0xac4c1b51);
  x ^= x >>> 15;
  x = Math.imul(x, 0x31848bab);
  return x ^ (x >>> 14);
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
   */
  fillKeepScale(out: Float32Array, dropProbability: number): Float32Array {
    const threshold = Math.round(dropProbability * 65536);
    const scale = Math.fround(65536 / (65536 - threshold));
    const { key0, key1 } = this;
    let n = this.counter;
    for (let i = 0; i < out.length; i += 2) {
      const word = keyedMix(n++, key0, key1);
      out[i] = (word & 0xffff) < threshold ? 0 : scale;
      if (i + 1 < out.length) out[i + 1] = word >>> 16 < threshold ? 0 : scale;
    }
    this.counter = n;
    return out;
  }
}
