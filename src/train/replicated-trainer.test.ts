// Replicas that share a batch against one model that has it whole: the same losses and updates but for rounding.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { aceticAcid, chain, type Example, ethanol, methane, salt } from "../blend/molecules.test.support.js";
import type { GeometryTarget } from "../blend/policy.js";
import type { BatchTensors } from "../blend/tensors.js";
import { CheckpointError, MoleblendError } from "../errors.js";
import { REFERENCE_DROPOUT, REFERENCE_LOSS_WEIGHTS } from "../model/config.js";
import { LOSS_TERMS } from "../model/graphs.js";
import { dropoutInputs } from "../model/inputs.js";
import { initialise } from "../model/parameters.js";
import { batchOf, distance, tiny } from "../model/tiny.test.support.js";
import { Random } from "../random.js";
import { ADAM_DEFAULTS } from "./adam.js";
import type { PretrainingPlan } from "./learner-plan.js";
import { dropoutTensors } from "./make-batch.js";
import { createLearner, ReplicatedTrainer, replicasFor } from "./replicated-trainer.js";
import { splitBatch } from "./split-batch.js";
import type { Learner, ModelState } from "./trainer.js";

const FIRST = [ethanol, aceticAcid, chain(6), methane, salt, chain(3)];
/** Fewer than there are replicas. */
const FEW = [aceticAcid, ethanol];

const places = (target: GeometryTarget) => dropoutInputs(tiny(target), REFERENCE_DROPOUT);
const split = (examples: readonly Example[], target: GeometryTarget, replicas: number) =>
  splitBatch(batch(examples, target), replicas, places(target));

function batch(examples: readonly Example[], target: GeometryTarget): BatchTensors {
  const tensors = batchOf(examples, { target });
  const [molecules, tokens] = tensors["token_features"].shape;
  const dropout = places(target);
  const size = { batch: molecules, tokens, atoms: tokens - 1 };
  return { ...tensors, ...dropoutTensors({ dropout, droppath: "samples" }, size, Random.fromSeed(5)) };
}

const planFor = (target: GeometryTarget): PretrainingPlan => ({
  kind: "pretraining",
  model: tiny(target),
  dropout: REFERENCE_DROPOUT,
  lossWeights: REFERENCE_LOSS_WEIGHTS,
  // Low enough that every update is clipped.
  adam: { ...ADAM_DEFAULTS, maxGradientNorm: 0.1 },
  accumulate: true,
});

async function withLearner<Result>(
  replicas: number,
  target: GeometryTarget,
  use: (learner: Learner) => Promise<Result>,
): Promise<Result> {
  const learner = await createLearner(planFor(target), { threads: 1 }, replicas, ({ parameters }, slots) =>
    initialise(slots, parameters, Random.fromSeed(2), "moleblend"),
  );
  try {
    return await use(learner);
  } finally {
    await learner.close();
  }
}

const copyOf = ({ parameters, m, v }: ModelState) => ({
  parameters: parameters.slice(),
  m: m.slice(),
  v: v.slice(),
});

/** Two plain updates and one of two batches: everything they report, and where they end. */
function train(replicas: number, target: GeometryTarget) {
  return withLearner(replicas, target, async (learner) => {
    assert.equal(learner.replicas, replicas);
    const numbers: number[] = [];
    const backward = async (examples: readonly Example[]) => {
      const losses = await learner.backward(...split(examples, target, replicas));
      numbers.push(...LOSS_TERMS.map((term) => losses[term]));
    };
    const report = async (update: number, accumulated = 0) => {
      const { gradientNorm, clipCoefficient, applied } = await learner.update(update, 1e-3, accumulated);
      assert.ok(applied && clipCoefficient < 1);
      numbers.push(gradientNorm);
    };
    await backward(FIRST);
    await report(1);
    await backward(FEW);
    await report(2);
    for (const examples of [FIRST, FEW]) {
      await backward(examples);
      await learner.accumulate();
    }
    await report(3, 2);
    return { numbers, state: copyOf(await learner.state()), parameters: learner.parameters().slice() };
  });
}

describe("replicas of a model", () => {
  for (const target of ["distance", "displacement"] as const) {
    it(`train like one model, ${target} target`, async () => {
      const [one, two, three] = [await train(1, target), await train(2, target), await train(3, target)];
      for (const several of [two, three]) {
        several.numbers.forEach((value, i) => {
          assert.ok(
            Math.abs(value - one.numbers[i]) <= 1e-5 * Math.abs(one.numbers[i]) + 1e-6,
            `number ${i}: ${value}`,
          );
        });
        assert.ok(distance(several.state.m, one.state.m) < 1e-6);
        assert.ok(distance(several.state.v, one.state.v) < 1e-8);
        // Adam turns rounding into steps where a gradient is nothing but rounding.
        const apart = several.state.parameters.filter((value, i) => Math.abs(value - one.state.parameters[i]) > 1e-5);
        assert.ok(apart.length < 0.01 * one.state.parameters.length, `${apart.length} parameters differ`);
        assert.deepEqual(several.parameters, several.state.parameters);
      }
    });
  }

  it("end with the same bits every time, and go on from a state as if there had been no break", async () => {
    const first = await train(2, "distance");
    assert.deepEqual(await train(2, "distance"), first);
    const step = async (learner: Learner) => {
      await learner.backward(...split(FIRST, "distance", 2));
      await learner.update(4, 1e-3);
      return copyOf(await learner.state());
    };
    const resumed = () =>
      withLearner(2, "distance", async (learner) => {
        await learner.load((state) => {
          for (const name of ["parameters", "m", "v"] as const) state[name].set(first.state[name]);
        });
        return step(learner);
      });
    const went = await resumed();
    assert.ok(distance(went.parameters, first.state.parameters) > 0);
    assert.deepEqual(await resumed(), went);
  });

  it("end when what they should begin with is no good", async () => {
    const refuse = () => {
      throw new CheckpointError("another model");
    };
    await assert.rejects(createLearner(planFor("distance"), {}, 2, refuse), CheckpointError);
  });

  it("say which of them failed and why, and end", async () => {
    const learner = await ReplicatedTrainer.create(planFor("distance"), 2, 2);
    const [whole, damaged] = split(FIRST, "distance", 2);
    const { distance: _, ...rest } = damaged;
    await assert.rejects(learner.backward(whole, rest), (error: Error) => {
      assert.ok(error instanceof MoleblendError);
      assert.match(error.message, /^replica 1: .*"distance"/);
      return true;
    });
    await learner.close();
  });
});

describe("replicasFor", () => {
  it("is one where threads are few or the model is wide", () => {
    const narrow = [1, 2, 3, 4, 7, 8, 16, 64].map((threads) => replicasFor({ width: 256 }, threads));
    assert.deepEqual(narrow, [1, 1, 1, 2, 3, 4, 8, 8]);
    assert.deepEqual(
      [1, 16, 64].map((threads) => replicasFor({ width: 768 }, threads)),
      [1, 1, 1],
    );
  });
});
