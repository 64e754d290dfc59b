// Builds the batch of a few hand-written molecules, and what comparing its numbers takes.
import assert from "node:assert/strict";
import { buildBatch } from "./batch.js";
import type { MoleculeDraw } from "./draws.js";
import { draw, type Example, graphsOf } from "./molecules.test.support.js";
import { type GeometryTarget, type Policy, policy } from "./policy.js";
import type { BatchTensors } from "./tensors.js";

export interface Built {
  readonly batch: BatchTensors;
  readonly draws: readonly MoleculeDraw[];
  readonly n: number;
}

export function build(
  examples: readonly Example[],
  { name = "blend", target = "distance" as GeometryTarget, custom = undefined as Policy | undefined } = {},
): Built {
  const chosen = custom ?? policy(name);
  const draws = draw(examples, { policy: chosen });
  const n = Math.max(...examples.map(({ atoms }) => atoms));
  return { batch: buildBatch(graphsOf(examples), draws, chosen, target), draws, n };
}

export const scalarOf = ({ batch }: Built, name: string) => batch[name].data[0];
export const sum = (values: ArrayLike<number>) => Array.from(values).reduce((total, value) => total + value, 0);
export const near = (got: number, expected: number, what: string) =>
  assert.ok(Math.abs(got - expected) < 1e-6, `${what}: expected ${expected}, got ${got}`);
