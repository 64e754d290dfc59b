// A model small enough for tests, with parameters of such a size that no part of it is negligible, and its sessions.
import { buildBatch } from "../blend/batch.js";
import type { MoleculeDraw } from "../blend/draws.js";
import { draw, type Example, graphsOf } from "../blend/molecules.test.support.js";
import { type GeometryTarget, type Policy, policy } from "../blend/policy.js";
import type { BatchTensors } from "../blend/tensors.js";
import type { Graph } from "../onnx/graph.js";
import { Random } from "../random.js";
import { Session, type Tensor } from "../runtime/session.js";
import { type DropoutConfig, type ModelConfig, NO_DROPOUT, REFERENCE_LOSS_WEIGHTS } from "./config.js";
import { LOSS_TERMS, type LossTerm, probingGraph } from "./graphs.js";
import { type InitScheme, initialise, layoutParameters, parameterSpecs } from "./parameters.js";

export const TINY: ModelConfig = {
  layers: 2,
  width: 16,
  heads: 4,
  feedForward: 24,
  kernels: 8,
  geometryHidden: 12,
  geometryTarget: "distance",
};

export const tiny = (geometryTarget: GeometryTarget): ModelConfig => ({ ...TINY, geometryTarget });

/** Parameters by name; `strong`: weights of 0.15 instead of 0.02 and biases that are not zero. */
export function parametersOf(config: ModelConfig, scheme: InitScheme | "strong"): Record<string, Tensor> {
  const { slots, length } = layoutParameters(parameterSpecs(config));
  const flat = new Float32Array(length);
  const random = Random.fromSeed(11);
  initialise(slots, flat, random, scheme === "strong" ? "moleblend" : scheme);
  if (scheme === "strong") {
    for (const { name, init, offset, size } of slots) {
      const values = flat.subarray(offset, offset + size);
      const stream = random.split("strong", name);
      if (init === "normal") values.set(values.map((value) => 7 * value));
      else if (!init.startsWith("gbf")) values.set(values.map((value) => value + 0.1 * stream.normal()));
    }
  }
  return Object.fromEntries(
    slots.map(({ name, shape, offset, size }) => [name, { data: flat.subarray(offset, offset + size), shape }]),
  );
}

export const open = (graph: Graph) => Session.create(graph, { threads: 1 });

export interface Probe {
  readonly session: Session;
  /** Losses, predictions and intermediates by name. */
  run(batch: BatchTensors): Promise<Readonly<Record<string, Tensor>>>;
}

export async function openProbe(config: ModelConfig, dropout: DropoutConfig = NO_DROPOUT): Promise<Probe> {
  const session = await open(probingGraph(config, dropout, REFERENCE_LOSS_WEIGHTS));
  const parameters = parametersOf(config, "strong");
  return { session, run: (batch) => session.run({ ...batch, ...parameters }) };
}

export interface BatchOptions {
  readonly target?: GeometryTarget;
  readonly policy?: Policy;
  /** Instead of fresh ones. */
  readonly draws?: readonly MoleculeDraw[];
}

export function batchOf(examples: readonly Example[], options: BatchOptions = {}): BatchTensors {
  const chosen = options.policy ?? policy("blend");
  const draws = options.draws ?? draw(examples, { policy: chosen });
  return buildBatch(graphsOf(examples), draws, chosen, options.target ?? "distance");
}

export function lossesOf(outputs: Readonly<Record<string, Tensor>>): Record<LossTerm, number> {
  const values = outputs["losses"].data;
  return Object.fromEntries(LOSS_TERMS.map((term, i) => [term, Number(values[i])])) as Record<LossTerm, number>;
}

/** Largest |a - b|; infinite where lengths differ or a value is not finite. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= most)) most = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  return most;
}
