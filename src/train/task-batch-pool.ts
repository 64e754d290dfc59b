// Threads that make the batches of fine-tuned models, ahead of their use and in the order asked for.
import { Worker } from "node:worker_threads";
import type { BatchTensors } from "../blend/tensors.js";
import type { PackedMolecules } from "../data/packed-molecules.js";
import { DatasetError } from "../errors.js";
import type { Label } from "../random.js";
import type { TaskRecipe } from "./task-batch.js";

export interface TaskBatchSetup {
  /** Corpus whose rows are asked for; null where molecules are sent. */
  readonly corpusDir: string | null;
  readonly recipe: TaskRecipe;
  readonly seed: number;
}

/** Rows of the corpus or molecules, and the labels of the random stream of the batch. */
export interface TaskBatchOrder {
  readonly molecules: Int32Array | PackedMolecules;
  readonly labels: readonly Label[];
  /** Adds a tensor "fingerprints" [batch, FINGERPRINT_BYTES], which no graph takes. */
  readonly fingerprints?: boolean;
}

export interface TaskBatchRequest extends TaskBatchOrder {
  readonly id: number;
}

export type TaskBatchReply =
  | { readonly id: number; readonly tensors: BatchTensors }
  | { readonly id: number; readonly failure: { readonly name: string; readonly message: string } };

interface Pending {
  readonly resolve: (tensors: BatchTensors) => void;
  readonly reject: (error: Error) => void;
}

/** Batches made ahead of the one in use, and how many of them a thread has at least. */
const AHEAD = 3;
const AHEAD_PER_THREAD = 2;

/** The thread that makes batches; others answer the same requests with tensors of their own. */
const WORKER = new URL("./task-batch-worker.js", import.meta.url);

/** Starts its threads at once; `close` ends them. */
export class TaskBatchPool {
  readonly #threads: readonly Worker[];
  readonly #pending = new Map<number, Pending>();
  #asked = 0;
  #broken: Error | null = null;

  constructor(
    private readonly setup: TaskBatchSetup | Pick<TaskBatchSetup, "corpusDir">,
    workers = 1,
    script = WORKER,
  ) {
    this.#threads = Array.from({ length: workers }, () => {
      const thread = new Worker(script, { workerData: setup });
      thread.on("message", (reply: TaskBatchReply) => this.#settle(reply));
      thread.on("error", (error) => this.#fail(error instanceof Error ? error : new Error(String(error))));
      return thread;
    });
  }

  make(order: TaskBatchOrder): Promise<BatchTensors> {
    return new Promise((resolve, reject) => {
      if (this.#broken) {
        reject(this.#broken);
        return;
      }
      const id = this.#asked++;
      this.#pending.set(id, { resolve, reject });
      const { molecules, labels, fingerprints = false } = order;
      const request: TaskBatchRequest = { id, molecules, labels, fingerprints };
      this.#threads[id % this.#threads.length].postMessage(request);
    });
  }

  /** The batches of `orders`, each with its order. */
  async *inOrder<Order extends TaskBatchOrder>(
    orders: Iterable<Order> | AsyncIterable<Order>,
  ): AsyncGenerator<{ readonly order: Order; readonly tensors: BatchTensors }> {
    const ahead = Math.max(AHEAD, AHEAD_PER_THREAD * this.#threads.length);
    const waiting: { readonly order: Order; readonly tensors: Promise<BatchTensors> }[] = [];
    for await (const order of orders) {
      const tensors = this.make(order);
      // Its turn comes later; until then a failure must not count as unhandled.
      tensors.catch(() => undefined);
      waiting.push({ order, tensors });
      if (waiting.length <= ahead) continue;
      const next = waiting.shift();
      if (next) yield { order: next.order, tensors: await next.tensors };
    }
    for (const next of waiting) yield { order: next.order, tensors: await next.tensors };
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  #settle(reply: TaskBatchReply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ("tensors" in reply) pending?.resolve(reply.tensors);
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
