// Batches made ahead of their use by threads of their own, delivered in the order asked for.
import { Worker } from "node:worker_threads";
import type { BatchTensors } from "../blend/tensors.js";
import { memoryOf, releaseMemory } from "../data/release-memory.js";
import { DatasetError } from "../errors.js";
import type { Label } from "../random.js";
import type { BatchRecipe } from "./make-batch.js";

export interface WorkerSetup {
  readonly corpusDir: string;
  readonly recipe: BatchRecipe;
  readonly seed: number;
  /** Parts that a batch comes in, at most; one by default. */
  readonly parts?: number;
}

/** Which molecules, and the labels of the random stream of the batch. */
export interface BatchOrder {
  readonly molecules: Int32Array;
  readonly labels: readonly Label[];
}

export interface BatchRequest extends BatchOrder {
  readonly id: number;
  /** Memory of the masks of a batch that is used up. */
  readonly spare: ArrayBuffer | null;
}

export type BatchReply =
  | { readonly id: number; readonly parts: readonly BatchTensors[] }
  | { readonly id: number; readonly failure: { readonly name: string; readonly message: string } };

export interface LoaderOptions extends WorkerSetup {
  /** Threads; one makes several thousand small molecules a second. */
  readonly workers?: number;
  /** Batches made ahead. */
  readonly ahead?: number;
}

const DEFAULT_AHEAD = 2;

/** What is made for a batch dies with it: a young heap of 4 MB and two of survivors loses no time to the default of 48 MB. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 12 };

/**
 * The batches of `orders`, in order, each as its parts (`splitBatch`). A batch of one part is valid until the next one is asked for:
 * then the memory of its dropout multipliers goes back to the thread, and that of its other tensors is freed. Several parts are
 * the consumer's. Ends its threads when the consumer stops, early or not.
 */
export async function* loadBatches(
  orders: Iterable<BatchOrder>,
  options: LoaderOptions,
): AsyncGenerator<readonly BatchTensors[]> {
  const { corpusDir, recipe, seed, parts = 1, workers = 1, ahead = DEFAULT_AHEAD } = options;
  const setup: WorkerSetup = { corpusDir, recipe, seed, parts };
  const ready = new Map<number, BatchReply>();
  let wake: (() => void) | null = null;
  let broken: Error | null = null;
  const threads = Array.from({ length: workers }, () => {
    const thread = new Worker(new URL("./batch-worker.js", import.meta.url), {
      workerData: setup,
      resourceLimits: RESOURCE_LIMITS,
    });
    thread.on("message", (reply: BatchReply) => {
      ready.set(reply.id, reply);
      wake?.();
    });
    thread.on("error", (error) => {
      broken = error instanceof Error ? error : new Error(String(error));
      wake?.();
    });
    return thread;
  });
  const source = orders[Symbol.iterator]();
  let asked = 0;
  let exhausted = false;
  let spare: ArrayBuffer | null = null;
  const ask = () => {
    const next = source.next();
    if (next.done) exhausted = true;
    else {
      const request: BatchRequest = { id: asked, spare, ...next.value };
      threads[asked++ % workers].postMessage(request, spare ? [spare] : []);
      spare = null;
    }
  };
  try {
    for (let delivered = 0; ; delivered++) {
      while (!exhausted && asked < delivered + Math.max(ahead, workers)) ask();
      if (delivered === asked) return;
      while (!ready.has(delivered) && !broken) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const reply = ready.get(delivered);
      if (!reply) throw broken ?? new DatasetError(`${corpusDir}: batch ${delivered} was not made`);
      ready.delete(delivered);
      if ("failure" in reply) throw asError(reply.failure, corpusDir);
      yield reply.parts;
      if (parts > 1) continue;
      const [whole] = reply.parts;
      spare = maskMemory(whole, recipe);
      releaseMemory(memoryOf(whole).filter((memory) => memory !== spare));
    }
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

/** The piece of memory in which all dropout multipliers of a batch lie; null where there are none. */
export function maskMemory(tensors: BatchTensors, { dropout: [first] }: BatchRecipe): ArrayBuffer | null {
  return first ? (tensors[first.name].data.buffer as ArrayBuffer) : null;
}

/** What a thread failed with: a damaged corpus speaks for itself, anything else is a defect. */
function asError({ name, message }: { readonly name: string; readonly message: string }, corpusDir: string): Error {
  return name === DatasetError.name ? new DatasetError(message) : new Error(`${corpusDir}: ${name}: ${message}`);
}
