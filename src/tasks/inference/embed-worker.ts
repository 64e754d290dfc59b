// Thread that embeds batches with a session of its own: threads that share nothing use all cores better than one session on all.
import { parentPort, workerData } from "node:worker_threads";
import { atomCount, type Molecule } from "../../chem/molecule.js";
import { openCorpus } from "../../data/corpus.js";
import { unpackMolecules } from "../../data/packed-molecules.js";
import { layoutParameters, taskSpecs } from "../../model/parameters.js";
import { embeddingGraph, readsGeometry } from "../../model/task-graphs.js";
import { Random } from "../../random.js";
import { Session } from "../../runtime/session.js";
import { makeTaskBatch } from "../../train/task-batch.js";
import type { TaskBatchReply, TaskBatchRequest } from "../../train/task-batch-pool.js";
import { parameterTensors } from "../../train/trainer.js";
import { type EmbedSetup, poolStates } from "./embedding.js";

async function serve({ corpusDir, config, mode, layer, pool, parameters }: EmbedSetup): Promise<void> {
  const corpus = corpusDir === null ? null : await openCorpus(corpusDir);
  const session = await Session.create(embeddingGraph(config, [layer], readsGeometry(mode)), { threads: 1 });
  const { slots } = layoutParameters(taskSpecs(config, 1, readsGeometry(mode)));
  const weights = parameterTensors(slots, parameters);
  const recipe = { mode, readout: "cls", dropout: [] } as const;
  const random = Random.fromSeed(0);
  const membersOf = (molecules: TaskBatchRequest["molecules"]): readonly Molecule[] => {
    if (!(molecules instanceof Int32Array)) return unpackMolecules(molecules);
    if (!corpus) throw new TypeError("rows were asked for, but the thread has no corpus");
    return Array.from(molecules, (row) => corpus.get(row));
  };
  parentPort?.on("message", async ({ id, molecules }: TaskBatchRequest) => {
    try {
      const members = membersOf(molecules);
      const results = await session.run({ ...makeTaskBatch(members, recipe, random), ...weights });
      const data = poolStates(
        results[`states.${layer}`].data as Float32Array,
        members.map(atomCount),
        config.width,
        pool,
      );
      const tensors = { pooled: { data, shape: [data.length / config.width, config.width] } };
      parentPort?.postMessage({ id, tensors } satisfies TaskBatchReply, [data.buffer as ArrayBuffer]);
    } catch (error) {
      const { name, message } = error as Error;
      parentPort?.postMessage({ id, failure: { name, message } } satisfies TaskBatchReply);
    }
  });
}

await serve(workerData as EmbedSetup);
