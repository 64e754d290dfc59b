// Threads that answer for batches of molecules, ahead of their use and in the order asked for.
import { Worker } from "node:worker_threads";
import type { BatchTensors } from "../blend/tensors.js";
import type { PackedMolecules } from "../data/packed-molecules.js";
import { DatasetError } from "../errors.js";
import type { Label } from "../random.js";
import type { TaskRecipe } from "./task-batch.js";

/** What every such thread is told, beside what its own script needs. */
export interface BatchThreadSetup {
  /** Corpus whose rows are asked for; null where molecules are sent. */
  readonly corpusDir: string | null;
}

/** What the threads that make batches for fine-tuning are told. */
export interface TaskBatchSetup extends BatchThreadSetup {
  readonly recipe: TaskRecipe;
  readonly seed: number;
}

/** Rows of the corpus or molecules, and the labels of the random stream of the batch. */
export interface BatchOrder {
  readonly molecules: Int32Array | PackedMolecules;
  readonly labels: readonly Label[];
}

export interface BatchRequest extends BatchOrder {
  readonly id: number;
}

export type BatchReply<Answer> =
  | { readonly id: number; readonly answer: Answer }
  | { readonly id: number; readonly failure: { readonly name: string; readonly message: string } };

interface Pending<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** Batches made ahead of the one in use, and how many of them a thread has at least. */
const AHEAD = 3;
const AHEAD_PER_THREAD = 2;

const TASK_BATCH_WORKER = new URL("./task-batch-worker.js", import.meta.url);

/** Threads that make the batches of fine-tuning. */
export function taskBatchPool(setup: TaskBatchSetup, workers = 1): BatchPool<BatchTensors> {
  return new BatchPool(TASK_BATCH_WORKER, setup, workers);
}

/** Starts its threads at once; `close` ends them. `Answer` is what the script answers (`serveBatches`). */
export class BatchPool<Answer> {
  readonly #threads: readonly Worker[];
  readonly #pending = new Map<number, Pending<Answer>>();
  readonly #open = new Set<Promise<Answer>>();
  #asked = 0;
  #broken: Error | null = null;

  constructor(
    script: URL,
    private readonly setup: BatchThreadSetup,
    workers: number,
  ) {
    this.#threads = Array.from({ length: workers }, () => {
      const thread = new Worker(script, { workerData: setup });
      thread.on("message", (reply: BatchReply<Answer>) => this.#settle(reply));
      thread.on("error", (error) => this.#fail(error instanceof Error ? error : new Error(String(error))));
      return thread;
    });
  }

  make(order: BatchOrder): Promise<Answer> {
    const answer = new Promise<Answer>((resolve, reject) => {
      if (this.#broken) {
        reject(this.#broken);
        return;
      }
      const id = this.#asked++;
      this.#pending.set(id, { resolve, reject });
      const { molecules, labels } = order;
      const request: BatchRequest = { id, molecules, labels };
      this.#threads[id % this.#threads.length].postMessage(request);
    });
    this.#open.add(answer);
    const settled = () => this.#open.delete(answer);
    answer.then(settled, settled);
    return answer;
  }

  /** The answers to `orders`, each with its order. */
  async *inOrder<Order extends BatchOrder>(
    orders: Iterable<Order> | AsyncIterable<Order>,
  ): AsyncGenerator<{ readonly order: Order; readonly answer: Answer }> {
    const ahead = Math.max(AHEAD, AHEAD_PER_THREAD * this.#threads.length);
    const waiting: { readonly order: Order; readonly answer: Promise<Answer> }[] = [];
    for await (const order of orders) {
      const answer = this.make(order);
      // Its turn comes later; until then a failure must not count as unhandled.
      answer.catch(() => undefined);
      waiting.push({ order, answer });
      if (waiting.length <= ahead) continue;
      const next = waiting.shift();
      if (next) yield { order: next.order, answer: await next.answer };
    }
    for (const next of waiting) yield { order: next.order, answer: await next.answer };
  }

  /** Waits for what was asked for: a thread that is ended within the runtime takes the process with it. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#open);
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  #settle(reply: BatchReply<Answer>): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ("answer" in reply) pending?.resolve(reply.answer);
    else pending?.reject(asError(reply.failure, this.setup.corpusDir ?? "molecules"));
  }

  #fail(error: Error): void {
    this.#broken = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/** What a thread failed with: a damaged corpus speaks for itself, anything else is a defect. */
function asError({ name, message }: { readonly name: string; readonly message: string }, source: string): Error {
  return name === DatasetError.name ? new DatasetError(message) : new Error(`${source}: ${name}: ${message}`);
}
