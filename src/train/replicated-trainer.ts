// A model under training as several replicas in threads, which share each batch: on many cores they leave one runtime far behind.
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { BatchTensors } from "../blend/tensors.js";
import { memoryOf } from "../data/release-memory.js";
import { MoleblendError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import type { LossTerm } from "../model/graphs.js";
import { layoutParameters, type ParameterSlot } from "../model/parameters.js";
import type { SessionOptions } from "../runtime/session.js";
import type { AdamReport } from "./adam.js";
import {
  createTrainer,
  type FinetuningPlan,
  type LearnerPlan,
  type PretrainingPlan,
  specsOf,
  termsOf,
} from "./learner-plan.js";
import { partOf, type SharedModel, shareModel } from "./replica-group.js";
import type { Learner, ModelState } from "./trainer.js";

/** What a thread is told when it starts; plain data. */
export interface ReplicaSetup {
  readonly replica: number;
  readonly shared: SharedModel;
  readonly plan: LearnerPlan;
  /** Inside an operator of this replica. */
  readonly threads: number;
}

/** What a replica is asked for. All are asked the same, and each answers once. */
export type ReplicaRequest =
  | { readonly ask: "backward"; readonly part: BatchTensors | null }
  | { readonly ask: "accumulate" | "moments" | "close" }
  | {
      readonly ask: "update";
      readonly update: number;
      readonly learningRate: number;
      readonly accumulatedBatches: number;
    }
  | { readonly ask: "load"; readonly m: Float32Array; readonly v: Float32Array };

export interface ReplicaReply {
  readonly value: Readonly<Record<string, number>> | AdamReport | Moments | null;
  /** What it failed with. */
  readonly failure?: string;
}

type Moments = Omit<ModelState, "parameters">;

/** From this width on one model has all threads: its replicas take a gigabyte each and gain little. */
const WIDE = 512;
const THREADS_OF_A_REPLICA = 2;
const MOST = 8;
/** How long the replicas beside one that failed are waited for. */
const PATIENCE_MS = 60_000;

/** Replicas that train a model of this width fastest, by measurement on 2 to 16 cores (docs/performance.md). */
export function replicasFor({ width }: Pick<ModelConfig, "width">, threads: number): number {
  return width >= WIDE ? 1 : Math.max(1, Math.min(MOST, Math.floor(threads / THREADS_OF_A_REPLICA)));
}

/** Threads inside an operator that each replica has of those of the runtime in all. */
export function threadsOfReplica(threads: number, replicas: number): number {
  return Math.max(1, Math.floor(threads / replicas));
}

/** Writes the state that a model begins with; parameters and moments are 0 before. */
export type Begin = (state: ModelState, slots: readonly ParameterSlot[]) => void;

/**
 * @param options `threads` are those of the runtime in all; only a single model writes a profile
 * @throws what `Session.create` and `begin` throw; no thread is left then
 */
export function createLearner(
  plan: PretrainingPlan,
  options: SessionOptions,
  replicas: number,
  begin: Begin,
): Promise<Learner>;
export function createLearner(
  plan: FinetuningPlan,
  options: SessionOptions,
  replicas: number,
  begin: Begin,
): Promise<Learner<"loss">>;
export async function createLearner(
  plan: LearnerPlan,
  options: SessionOptions,
  replicas: number,
  begin: Begin,
): Promise<Learner<LossTerm | "loss">> {
  const learner: Learner<LossTerm | "loss"> =
    replicas === 1
      ? await createTrainer(plan, options)
      : await ReplicatedTrainer.create(plan, options.threads, replicas);
  try {
    await learner.load((state) => begin(state, learner.slots));
  } catch (error) {
    await learner.close();
    throw error;
  }
  return learner;
}

interface Thread {
  readonly worker: Worker;
  /** Takes the answer that is waited for. */
  settle: { readonly resolve: (value: ReplicaReply["value"]) => void; readonly reject: (error: Error) => void } | null;
}

export class ReplicatedTrainer<Term extends string = LossTerm> implements Learner<Term> {
  readonly #parameters: Float32Array<ArrayBuffer>;
  /** A replica failed: others may wait for it for ever. */
  #broken = false;

  private constructor(
    readonly slots: readonly ParameterSlot[],
    private readonly terms: readonly Term[],
    private readonly shared: SharedModel,
    private readonly threads: readonly Thread[],
  ) {
    this.#parameters = new Float32Array(shared.count);
  }

  get replicas(): number {
    return this.threads.length;
  }

  /** @param all threads of the runtime, in all replicas together */
  static async create<Term extends string>(
    plan: LearnerPlan,
    all: number | undefined,
    replicas: number,
  ): Promise<ReplicatedTrainer<Term>> {
    const { slots, length } = layoutParameters(specsOf(plan));
    const shared = shareModel(length, replicas);
    const own = threadsOfReplica(all ?? replicas, replicas);
    const threads = Array.from({ length: replicas }, (_, replica): Thread => {
      const workerData: ReplicaSetup = { replica, shared, plan, threads: own };
      const thread: Thread = {
        worker: new Worker(new URL("./replica-worker.js", import.meta.url), { workerData }),
        settle: null,
      };
      thread.worker.on("message", (reply: ReplicaReply) => {
        const { failure } = reply;
        if (failure !== undefined) thread.settle?.reject(new MoleblendError(`replica ${replica}: ${failure}`));
        else thread.settle?.resolve(reply.value);
      });
      thread.worker.on("error", (error) => thread.settle?.reject(error as Error));
      return thread;
    });
    const trainer = new ReplicatedTrainer(slots, termsOf(plan) as readonly Term[], shared, threads);
    try {
      await trainer.#answers();
    } catch (error) {
      await trainer.close();
      throw error;
    }
    return trainer;
  }

  async backward(...parts: readonly BatchTensors[]): Promise<Readonly<Record<Term, number>>> {
    const all = await this.#ask((replica) => ({ ask: "backward", part: parts[replica] ?? null }));
    const losses = all as Readonly<Record<Term, number>>[];
    const sums = this.terms.map((term) => [term, losses.reduce((sum, own) => sum + own[term], 0)]);
    return Object.fromEntries(sums) as Record<Term, number>;
  }

  async accumulate(): Promise<void> {
    await this.#ask(() => ({ ask: "accumulate" }));
  }

  async update(update: number, learningRate: number, accumulatedBatches = 0): Promise<AdamReport> {
    const [report] = await this.#ask(() => ({ ask: "update", update, learningRate, accumulatedBatches }));
    return report as AdamReport;
  }

  parameters(): Float32Array<ArrayBuffer> {
    this.#parameters.set(new Float32Array(this.shared.parameters));
    return this.#parameters;
  }

  async state(): Promise<ModelState> {
    const moments = (await this.#ask(() => ({ ask: "moments" }))) as Moments[];
    const [m, v] = (["m", "v"] as const).map((name) => {
      const whole = new Float32Array(this.shared.count);
      for (const [replica, own] of moments.entries()) whole.set(own[name], partOf(replica, this.shared).begin);
      return whole;
    });
    return { parameters: this.parameters(), m, v };
  }

  async load(fill: (state: ModelState) => void): Promise<void> {
    const { count, parameters } = this.shared;
    const state = { parameters: this.#parameters, m: new Float32Array(count), v: new Float32Array(count) };
    fill(state);
    new Float32Array(parameters).set(state.parameters);
    await this.#ask((replica) => {
      const { begin, end } = partOf(replica, this.shared);
      return { ask: "load", m: state.m.slice(begin, end), v: state.v.slice(begin, end) };
    });
  }

  async close(): Promise<void> {
    try {
      if (!this.#broken) await this.#ask(() => ({ ask: "close" }));
    } finally {
      await Promise.all(this.threads.map(({ worker }) => worker.terminate()));
    }
  }

  /** Asks all replicas, hands them the memory of their parts, and waits for all answers. */
  #ask(request: (replica: number) => ReplicaRequest): Promise<ReplicaReply["value"][]> {
    const answers = this.#answers();
    this.threads.forEach(({ worker }, replica) => {
      const message = request(replica);
      worker.postMessage(message, message.ask === "backward" && message.part ? memoryOf(message.part) : []);
    });
    return answers;
  }

  /**
   * The answers of all. When one failed, the others are waited for: a thread that is ended within the runtime takes the process with
   * it. Only in an update they may wait for the failed one for ever, but then not within the runtime.
   */
  async #answers(): Promise<ReplicaReply["value"][]> {
    const answers = this.threads.map(
      (thread) =>
        new Promise<ReplicaReply["value"]>((resolve, reject) => {
          thread.settle = { resolve, reject };
        }),
    );
    try {
      return await Promise.all(answers);
    } catch (error) {
      this.#broken = true;
      await Promise.race([Promise.allSettled(answers), sleep(PATIENCE_MS, undefined, { ref: false })]);
      throw error;
    }
  }
}
