// How well each head recovers what it was not shown, on molecules it was not trained on, beside a trivial guess.
import { spdClass } from "../blend/batch.js";
import type { Policy } from "../blend/policy.js";
import type { BatchTensor } from "../blend/tensors.js";
import { type BatchList, planBatches } from "../data/batches.js";
import type { Corpus } from "../data/corpus.js";
import { EDGE_CLASSES, SPD_CLASSES } from "../data/fields.js";
import { releaseTensors } from "../data/release-memory.js";
import type { LossWeights, ModelConfig } from "../model/config.js";
import { evaluationGraph } from "../model/graphs.js";
import { DISTANCE_CENTRE, DISTANCE_SCALE } from "../model/losses.js";
import { Random } from "../random.js";
import { graphRelations } from "../relations/graph.js";
import { Session, type SessionOptions, type Tensor } from "../runtime/session.js";
import { type BatchRecipe, makeBatch } from "./make-batch.js";
import { type LossValues, lossValues } from "./trainer.js";

/** Of an evaluated batch: its logits alone take half a kilobyte a pair, and larger batches are no faster. */
const BATCH_TOKENS = 1024;

/** A measure and what a constant guess that knows the answers' statistics would reach; larger is better in both. */
export interface Measure {
  readonly value: number;
  readonly baseline: number;
  /** Entries measured. */
  readonly count: number;
}

/**
 * Null for a head whose modality the policy never hides.
 * - spd, edge: share of right classes; the guess is the most frequent class.
 * - geometry: share of the variance of the distance explained, the guess being the mean distance by path length; or the
 *   mean cosine with the displacement, the guess being the mean direction.
 * - denoise: mean cosine with the noise; the guess is the mean direction.
 */
export interface HeldOut {
  readonly spd: Measure | null;
  readonly edge: Measure | null;
  readonly geometry: Measure | null;
  readonly denoise: Measure | null;
  readonly losses: LossValues;
}

/** Counts the right answers among one-hot targets. */
class Accuracy {
  private right = 0;
  private readonly frequency: Float64Array;

  constructor(private readonly classes: number) {
    this.frequency = new Float64Array(classes);
  }

  add(logits: ArrayLike<number>, target: ArrayLike<number>): void {
    for (let at = 0; at < target.length; at += this.classes) {
      let truth = -1;
      let best = 0;
      for (let k = 0; k < this.classes; k++) {
        if (target[at + k] === 1) truth = k;
        if (logits[at + k] > logits[at + best]) best = k;
      }
      if (truth < 0) continue;
      this.frequency[truth]++;
      if (best === truth) this.right++;
    }
  }

  measure(): Measure | null {
    const count = this.frequency.reduce((sum, n) => sum + n, 0);
    return count === 0 ? null : { value: this.right / count, baseline: Math.max(...this.frequency) / count, count };
  }
}

/** Mean cosine with target vectors, which carry a weight that cancels. */
class Direction {
  private cosines = 0;
  private count = 0;
  private readonly mean = new Float64Array(3);

  add(predicted: ArrayLike<number>, target: ArrayLike<number>): void {
    for (let at = 0; at < target.length; at += 3) {
      const length = Math.hypot(target[at], target[at + 1], target[at + 2]);
      if (length === 0) continue;
      const norm = Math.max(Math.hypot(predicted[at], predicted[at + 1], predicted[at + 2]), 1e-8);
      for (let c = 0; c < 3; c++) {
        this.cosines += (target[at + c] / length) * (predicted[at + c] / norm);
        this.mean[c] += target[at + c] / length;
      }
      this.count++;
    }
  }

  measure(): Measure | null {
    const { count } = this;
    // The mean cosine of unit vectors with the direction of their mean is the length of their mean.
    return count === 0 ? null : { value: this.cosines / count, baseline: Math.hypot(...this.mean) / count, count };
  }
}

/** Share of variance explained, beside that of the mean by path length class. */
class Distance {
  private error = 0;
  private readonly byClass = Array.from({ length: SPD_CLASSES + 1 }, () => ({ n: 0, sum: 0, squares: 0 }));

  /** @param classes path length class of each pair, -1 for none */
  add(
    predicted: ArrayLike<number>,
    target: ArrayLike<number>,
    weight: ArrayLike<number>,
    classes: ArrayLike<number>,
  ): void {
    for (let i = 0; i < target.length; i++) {
      if (weight[i] === 0) continue;
      this.error += (predicted[i] * DISTANCE_SCALE + DISTANCE_CENTRE - target[i]) ** 2;
      const group = this.byClass[classes[i] + 1];
      group.n++;
      group.sum += target[i];
      group.squares += target[i] ** 2;
    }
  }

  measure(): Measure | null {
    const sum = (of: (group: { n: number; sum: number; squares: number }) => number) =>
      this.byClass.reduce((total, group) => total + of(group), 0);
    const count = sum((group) => group.n);
    if (count === 0) return null;
    const variance = sum((group) => group.squares) - sum((group) => group.sum) ** 2 / count;
    const within = sum((group) => (group.n > 0 ? group.squares - group.sum ** 2 / group.n : 0));
    return { value: 1 - this.error / variance, baseline: 1 - within / variance, count };
  }
}

/** Everything hidden is asked for, and nothing that is shown: copying what one sees is no achievement. */
export function heldOutPolicy(policy: Policy): Policy {
  const { spd, edge, geometry, noise } = policy.recover;
  const hidden = (recovery: typeof spd) => (recovery === "none" ? "none" : "hidden");
  return { ...policy, recover: { spd: hidden(spd), edge: hidden(edge), geometry: hidden(geometry), noise } };
}

const data = (tensor: BatchTensor | Tensor | undefined): ArrayLike<number> => tensor?.data as ArrayLike<number>;

/** Path length class of every pair of a padded batch, -1 for none. [batch, atoms, atoms] */
function pathClasses(corpus: Corpus, molecules: Int32Array): Int8Array {
  const graphs = Array.from(molecules, (index) => {
    const { atomFeatures, bonds, bondFeatures } = corpus.arrays(index);
    return graphRelations(atomFeatures, bonds, bondFeatures);
  });
  const n = Math.max(...graphs.map((graph) => graph.atoms));
  const classes = new Int8Array(graphs.length * n * n).fill(-1);
  graphs.forEach(({ atoms, distance }, b) => {
    for (let i = 0; i < atoms; i++) {
      for (let j = 0; j < atoms; j++) classes[(b * n + i) * n + j] = spdClass(distance[i * atoms + j]);
    }
  });
  return classes;
}

/** Batches of these molecules for all evaluations of a run. */
export function planHeldOut(molecules: Int32Array, corpus: Corpus, seed: number): BatchList {
  return planBatches(molecules, corpus.atomCounts, { maxTokens: BATCH_TOKENS }, seed, 0).batches;
}

export class HeldOutEvaluator {
  private constructor(
    private readonly session: Session,
    private readonly config: ModelConfig,
    private readonly recipe: BatchRecipe,
    private readonly seed: number,
  ) {}

  static async create(
    config: ModelConfig,
    weights: LossWeights,
    recipe: BatchRecipe,
    seed: number,
    options: SessionOptions,
  ): Promise<HeldOutEvaluator> {
    const session = await Session.create(evaluationGraph(config, weights), options);
    return new HeldOutEvaluator(session, config, { ...recipe, dropout: [] }, seed);
  }

  /** @param batches molecule numbers of each batch; the same batches always meet the same draws */
  async evaluate(corpus: Corpus, batches: BatchList, parameters: Readonly<Record<string, Tensor>>): Promise<HeldOut> {
    const spd = new Accuracy(SPD_CLASSES);
    const edge = new Accuracy(EDGE_CLASSES);
    const noise = new Direction();
    const geometry = this.config.geometryTarget === "distance" ? new Distance() : new Direction();
    const { policy } = this.recipe.blend;
    const asked = { ...this.recipe, blend: { ...this.recipe.blend, policy: heldOutPolicy(policy) } };
    const random = Random.fromSeed(this.seed).split("held-out");
    const sums = new Float64Array(5);
    let index = 0;
    for (const molecules of batches) {
      const batch = makeBatch(corpus, molecules, asked, random.split(index++));
      const results = await this.session.run({ ...batch, ...parameters });
      Array.from(data(results["losses"])).forEach((value, term) => {
        sums[term] += value / batches.length;
      });
      spd.add(data(results["spd"]), data(batch["spd_target"]));
      edge.add(data(results["edge"]), data(batch["edge_target"]));
      noise.add(data(results["noise"]), data(batch["noise_target"]));
      if (geometry instanceof Direction) geometry.add(data(results["geometry"]), data(batch["displacement_target"]));
      else {
        const classes = pathClasses(corpus, molecules);
        geometry.add(
          data(results["geometry"]),
          data(batch["distance_target"]),
          data(batch["distance_weight"]),
          classes,
        );
      }
      releaseTensors(batch);
      releaseTensors(results);
    }
    return {
      spd: spd.measure(),
      edge: edge.measure(),
      geometry: geometry.measure(),
      denoise: noise.measure(),
      losses: lossValues(sums),
    };
  }

  async close(): Promise<void> {
    await this.session.close();
  }
}
