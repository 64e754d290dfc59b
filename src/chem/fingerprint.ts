// Circular fingerprints of molecules and how like two of them are, to tell how far a molecule is from those trained on.
import { MoleblendError } from "../errors.js";
import type { Molecule } from "./molecule.js";
import { type Rdkit, RdkitFailure } from "./rdkit.js";
import { writeSmiles } from "./write-smiles.js";

/** Morgan fingerprint of radius 2 (ECFP4), folded. */
export const FINGERPRINT_BITS = 1024;
export const FINGERPRINT_BYTES = FINGERPRINT_BITS / 8;
const DETAILS = JSON.stringify({ radius: 2, nBits: FINGERPRINT_BITS });

/** All bits 0 where RDKit cannot read back what the features hold (bonds of a kind that they do not name). [bytes] */
export function morganFingerprint(rdkit: Rdkit, molecule: Molecule): Uint8Array {
  try {
    const parsed = rdkit.parse(writeSmiles(molecule));
    try {
      return Uint8Array.from(parsed.get_morgan_fp_as_uint8array(DETAILS));
    } finally {
      parsed.delete();
    }
  } catch (error) {
    if (error instanceof RdkitFailure) return new Uint8Array(FINGERPRINT_BYTES);
    throw error;
  }
}

const BITS = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

function countBits(word: number): number {
  return BITS[word & 255] + BITS[(word >>> 8) & 255] + BITS[(word >>> 16) & 255] + BITS[word >>> 24];
}

/** Many fingerprints, to find the likest of them. */
export class FingerprintIndex {
  readonly #words: Uint32Array;
  readonly #counts: Uint16Array;
  readonly #perRow = FINGERPRINT_BYTES / 4;
  /** Rows by number of bits, so that those which cannot be likest are not looked at. */
  readonly #byCount: readonly (readonly number[])[];

  /** @param fingerprints [rows, bytes] */
  constructor(readonly fingerprints: Uint8Array) {
    if (fingerprints.length % FINGERPRINT_BYTES !== 0) {
      throw new MoleblendError(`fingerprints: expected rows of ${FINGERPRINT_BYTES} bytes, got ${fingerprints.length}`);
    }
    this.#words = new Uint32Array(Uint8Array.from(fingerprints).buffer);
    const rows = fingerprints.length / FINGERPRINT_BYTES;
    this.#counts = Uint16Array.from({ length: rows }, (_, row) => this.#bits(this.#words, row * this.#perRow));
    const byCount = Array.from({ length: FINGERPRINT_BITS + 1 }, (): number[] => []);
    this.#counts.forEach((count, row) => {
      byCount[count].push(row);
    });
    this.#byCount = byCount;
  }

  get size(): number {
    return this.#counts.length;
  }

  /** Largest Tanimoto similarity of a fingerprint with any of the index; 0 for an empty index. */
  nearest(fingerprint: Uint8Array): number {
    const query = new Uint32Array(Uint8Array.from(fingerprint).buffer);
    const own = this.#bits(query, 0);
    let best = 0;
    // Similarity is at most the ratio of the counts, which falls on both sides of `own`.
    for (let distance = 0; distance <= FINGERPRINT_BITS; distance++) {
      const fewer = own - distance;
      const more = own + distance;
      const fewerCould = fewer >= 0 && (own === 0 ? fewer === 0 : fewer / own > best);
      const moreCould = more <= FINGERPRINT_BITS && (more === 0 || own / more > best);
      if (!fewerCould && !moreCould) break;
      if (fewerCould) best = Math.max(best, this.#bestAmong(query, own, fewer));
      if (moreCould && distance > 0) best = Math.max(best, this.#bestAmong(query, own, more));
    }
    return best;
  }

  #bestAmong(query: Uint32Array, own: number, count: number): number {
    let best = 0;
    for (const row of this.#byCount[count]) {
      let common = 0;
      const at = row * this.#perRow;
      for (let i = 0; i < this.#perRow; i++) common += countBits(query[i] & this.#words[at + i]);
      const union = own + count - common;
      // Two molecules without any bit are alike.
      best = Math.max(best, union === 0 ? 1 : common / union);
    }
    return best;
  }

  #bits(words: Uint32Array, at: number): number {
    let count = 0;
    for (let i = 0; i < this.#perRow; i++) count += countBits(words[at + i]);
    return count;
  }
}
