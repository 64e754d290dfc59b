// Thread that holds one replica of a model and does what the thread that directs them asks for.
import { parentPort, workerData } from "node:worker_threads";
import { releaseTensors } from "../data/release-memory.js";
import { createTrainer, termsOf } from "./learner-plan.js";
import { partOf, ReplicaGroup } from "./replica-group.js";
import type { ReplicaReply, ReplicaRequest, ReplicaSetup } from "./replicated-trainer.js";

const { replica, shared, plan, threads } = workerData as ReplicaSetup;
const group = new ReplicaGroup(shared, replica);
const { begin, end } = partOf(replica, shared);
const trainer = await createTrainer(plan, { threads, group });
const { arena } = trainer;

async function answer(request: ReplicaRequest): Promise<ReplicaReply["value"]> {
  switch (request.ask) {
    case "backward": {
      const { part } = request;
      if (!part) {
        // More replicas than molecules: this one has nothing to add.
        arena.gradients.fill(0);
        return Object.fromEntries(termsOf(plan).map((term) => [term, 0]));
      }
      const losses = await trainer.backward(part);
      releaseTensors(part);
      return losses;
    }
    case "accumulate":
      trainer.accumulate();
      return null;
    case "update":
      return trainer.update(request.update, request.learningRate, request.accumulatedBatches);
    case "load":
      group.read(arena);
      arena.m.set(request.m, begin);
      arena.v.set(request.v, begin);
      return null;
    case "moments":
      return { m: arena.m.slice(begin, end), v: arena.v.slice(begin, end) };
    case "close":
      await trainer.close();
      return null;
  }
}

parentPort?.on("message", async (request: ReplicaRequest) => {
  try {
    parentPort?.postMessage({ value: await answer(request) } satisfies ReplicaReply);
  } catch (error) {
    parentPort?.postMessage({ value: null, failure: (error as Error).message } satisfies ReplicaReply);
  }
});
parentPort?.postMessage({ value: null } satisfies ReplicaReply);
