// Trains one model a seed, with a line in the log and in the progress for each epoch.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Corpus } from "../../data/corpus.js";
import type { LoadedCheckpoint } from "../../train/checkpoint.js";
import { type FinetunedSeed, finetuneSeed } from "../../train/finetune-loop.js";
import { createProgress } from "../../train/progress.js";
import { replicasFor } from "../../train/replicated-trainer.js";
import { openRunLog } from "../../train/run-log.js";
import type { TaskData } from "../../train/task-data.js";
import type { Target } from "../../train/task-labels.js";
import type { FinetuneSettings } from "../../train/task-settings.js";
import type { FinetuneJob } from "../finetune.js";

/** What is trained on, and how. */
export interface TrainingInput {
  readonly corpus: Corpus;
  readonly data: TaskData;
  readonly targets: readonly Target[];
  readonly settings: FinetuneSettings;
}

/** Ends after the first seed that was stopped. */
export async function trainSeeds(
  job: Pick<FinetuneJob, "progress" | "threads" | "replicas" | "workers" | "shouldStop">,
  { corpus, data, targets, settings }: TrainingInput,
  seeds: readonly number[],
  pretrained: LoadedCheckpoint | null,
  run: string,
): Promise<FinetunedSeed[]> {
  const log = openRunLog(join(run, "metrics.jsonl"), 0);
  const progress = createProgress({
    label: "finetune",
    total: settings.epochs * seeds.length,
    stepUnit: "epochs",
    stream: process.stderr,
    ...(job.progress ? { mode: job.progress } : {}),
  });
  const results: FinetunedSeed[] = [];
  const threads = job.threads ?? availableParallelism();
  const replicas = job.replicas ?? replicasFor(settings.model, threads);
  let step = 0;
  try {
    for (const [index, seed] of seeds.entries()) {
      let seen = 0;
      const result = await finetuneSeed(corpus, data, targets, settings, seed, {
        threads,
        replicas,
        workers: job.workers ?? 1,
        pretrained,
        onEpoch: ({ epoch, loss, learningRate, validation, best, molecules }) => {
          const measures = Object.fromEntries(Object.entries(validation).map(([k, v]) => [`validation/${k}`, v]));
          log.append({ step: ++step, seed, epoch, loss, learningRate, best, ...measures });
          const shown = { loss, [`validation ${settings.metric}`]: validation[settings.metric] };
          progress.update(index * settings.epochs + epoch, shown, molecules - seen);
          seen = molecules;
        },
        ...(job.shouldStop ? { shouldStop: job.shouldStop } : {}),
      });
      results.push(result);
      if (!result.finished) break;
    }
  } finally {
    progress.finish();
    log.close();
  }
  return results;
}
