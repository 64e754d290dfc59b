// From gradients and attention to the contribution of each atom and each pair of one molecule.

/** What the explanation graph gives for one molecule of `tokens` tokens, the graph token first. */
export interface ExplanationArrays {
  readonly tokens: number;
  readonly heads: number;
  readonly width: number;
  /** [tokens * width] */
  readonly embedding: Float32Array;
  readonly embeddingGradient: Float32Array;
  /** [heads * tokens * tokens] */
  readonly bias: Float32Array;
  readonly biasGradient: Float32Array;
  /** Attention of each layer, first to last. Each [heads * tokens * tokens] */
  readonly attention: readonly Float32Array[];
}

/** Contributions of one molecule, in logits (classification) or the units of the output; atoms numbered from 0. */
export interface Attribution {
  /** Gradient × embedding of each atom. [atoms] */
  readonly own: Float64Array;
  /** Gradient × relation bias of both directions of each pair, symmetric; the diagonal is an atom's with itself. [atoms * atoms] */
  readonly pairs: Float64Array;
  /** Own, its pair with itself and with the graph token, and half of each of its pairs. [atoms] */
  readonly atoms: Float64Array;
  /** How much attention comes to the readout from each atom over all layers; sums to 1. [atoms] */
  readonly rollout: Float64Array;
}

/**
 * A softmax does not change when a row of its logits is shifted, so a bias counts by how far it is from the mean of its row;
 * otherwise its contribution would depend on an arbitrary zero.
 */
function biasContributions({ tokens, heads, bias, biasGradient }: ExplanationArrays): Float64Array {
  const contributions = new Float64Array(tokens * tokens);
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < tokens; i++) {
      const row = (h * tokens + i) * tokens;
      let mean = 0;
      for (let j = 0; j < tokens; j++) mean += bias[row + j] / tokens;
      for (let j = 0; j < tokens; j++) contributions[i * tokens + j] += biasGradient[row + j] * (bias[row + j] - mean);
    }
  }
  return contributions;
}

/**
 * Attention roll-out (Abnar and Zuidema 2020, arXiv 2005.00928): the product over the layers of the mean attention of the heads,
 * half of it replaced by the identity for the residual path.
 */
function rollOut({ tokens, heads, attention }: ExplanationArrays): Float64Array {
  let flow = new Float64Array(tokens * tokens);
  for (let i = 0; i < tokens; i++) flow[i * tokens + i] = 1;
  for (const weights of attention) {
    const next = new Float64Array(tokens * tokens);
    for (let i = 0; i < tokens; i++) {
      for (let k = 0; k < tokens; k++) {
        let share = i === k ? 0.5 : 0;
        for (let h = 0; h < heads; h++) share += (0.5 * weights[(h * tokens + i) * tokens + k]) / heads;
        for (let j = 0; j < tokens; j++) next[i * tokens + j] += share * flow[k * tokens + j];
      }
    }
    flow = next;
  }
  return flow;
}

/** @param readout which tokens the prediction is read from */
export function attribute(arrays: ExplanationArrays, readout: "cls" | "mean" | "sum"): Attribution {
  const { tokens, width, embedding, embeddingGradient } = arrays;
  const atoms = tokens - 1;
  const own = new Float64Array(atoms);
  for (let atom = 0; atom < atoms; atom++) {
    const first = (atom + 1) * width;
    for (let c = first; c < first + width; c++) own[atom] += embedding[c] * embeddingGradient[c];
  }
  const bias = biasContributions(arrays);
  const pairs = new Float64Array(atoms * atoms);
  const total = own.slice();
  const at = (i: number, j: number) => bias[(i + 1) * tokens + j + 1];
  for (let i = 0; i < atoms; i++) {
    total[i] += bias[i + 1] + bias[(i + 1) * tokens];
    for (let j = 0; j < atoms; j++) {
      pairs[i * atoms + j] = i === j ? at(i, i) : at(i, j) + at(j, i);
      total[i] += i === j ? pairs[i * atoms + j] : pairs[i * atoms + j] / 2;
    }
  }
  const flow = rollOut(arrays);
  const rollout = new Float64Array(atoms);
  const readers = readout === "cls" ? [0] : Array.from({ length: atoms }, (_, i) => i + 1);
  for (const reader of readers) for (let i = 0; i < atoms; i++) rollout[i] += flow[reader * tokens + i + 1];
  const sum = rollout.reduce((all, value) => all + value, 0);
  return { own, pairs, atoms: total, rollout: rollout.map((value) => value / sum) };
}

/** The mean of the attributions of several models of the same molecule. */
export function meanAttribution(all: readonly Attribution[]): Attribution {
  const mean = (of: (one: Attribution) => Float64Array) =>
    of(all[0]).map((_, i) => all.reduce((sum, one) => sum + of(one)[i], 0) / all.length);
  return {
    own: mean(({ own }) => own),
    pairs: mean(({ pairs }) => pairs),
    atoms: mean(({ atoms }) => atoms),
    rollout: mean(({ rollout }) => rollout),
  };
}

export interface PairContribution {
  readonly first: number;
  readonly second: number;
  readonly value: number;
}

/** Pairs of different atoms by the size of their contribution, the largest first. */
export function strongestPairs({ pairs, own }: Attribution, count: number): PairContribution[] {
  const atoms = own.length;
  const list: PairContribution[] = [];
  for (let first = 0; first < atoms; first++)
    for (let second = first + 1; second < atoms; second++)
      list.push({ first, second, value: pairs[first * atoms + second] });
  return list.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, count);
}
