// A pool of threads that featurize batches of records, or this thread alone.

import { Worker } from "node:worker_threads";
import { compileRdkit, loadRdkit } from "../chem/rdkit.js";
import type { ReadItem } from "../data/readers/index.js";
import { DatasetError } from "../errors.js";
import { openConformerSource } from "./conformer-source.js";
import {
  type BatchResult,
  type FeaturizeSettings,
  featurizeBatch,
  type PackedBatchResult,
  packResult,
  unpackResult,
} from "./featurize-batch.js";
import type { WorkerReply, WorkerRequest, WorkerSetup } from "./featurize-worker.js";

export interface Featurizer {
  /** Batches worth having under way at a time. */
  readonly inFlight: number;
  run(items: readonly ReadItem[]): Promise<BatchResult>;
  /** The same with the molecules as they come from a thread, for what takes them in whole. */
  runPacked(items: readonly ReadItem[]): Promise<PackedBatchResult>;
  close(): Promise<void>;
}

/** Batches that wait in front of a thread while it works, so that it never idles. */
const QUEUED_PER_WORKER = 2;

/** @param workers threads; 0 featurizes in this one */
export async function openFeaturizer(workers: number, settings: FeaturizeSettings): Promise<Featurizer> {
  if (workers > 0) return new WorkerPool(workers, { settings, code: await compileRdkit() });
  const rdkit = await loadRdkit();
  const source = settings.conformers ? await openConformerSource(rdkit, settings.conformers, "main") : null;
  const run = async (items: readonly ReadItem[]) => featurizeBatch(rdkit, items, settings, source);
  return {
    inFlight: 1,
    run,
    runPacked: async (items) => packResult(await run(items), settings),
    close: async () => source?.close(),
  };
}

interface Pending {
  readonly resolve: (result: PackedBatchResult) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

/** Threads are started when there is work for them; a batch goes to the least busy one. */
class WorkerPool implements Featurizer {
  readonly inFlight: number;
  private readonly threads: Thread[] = [];
  private nextId = 0;
  private failure: Error | undefined;

  constructor(
    private readonly workers: number,
    private readonly setup: WorkerSetup,
  ) {
    this.inFlight = workers * QUEUED_PER_WORKER;
  }

  async run(items: readonly ReadItem[]): Promise<BatchResult> {
    return unpackResult(await this.runPacked(items));
  }

  runPacked(items: readonly ReadItem[]): Promise<PackedBatchResult> {
    return new Promise((resolve, reject) => {
      if (this.failure) {
        reject(this.failure);
        return;
      }
      const thread = this.pickThread();
      const request: WorkerRequest = { id: this.nextId++, items };
      thread.pending.set(request.id, { resolve, reject });
      thread.worker.postMessage(request);
    });
  }

  async close(): Promise<void> {
    this.failure ??= new DatasetError("the featurizing threads were closed");
    await Promise.all(this.threads.map(({ worker }) => worker.terminate()));
    this.threads.length = 0;
  }

  private pickThread(): Thread {
    const idlest = this.threads.reduce<Thread | undefined>(
      (best, thread) => (best && best.pending.size <= thread.pending.size ? best : thread),
      undefined,
    );
    if (idlest && (idlest.pending.size === 0 || this.threads.length >= this.workers)) return idlest;
    return this.startThread();
  }

  private startThread(): Thread {
    const worker = new Worker(new URL("./featurize-worker.js", import.meta.url), { workerData: this.setup });
    const thread: Thread = { worker, pending: new Map() };
    worker.on("message", (reply: WorkerReply) => {
      const pending = thread.pending.get(reply.id);
      thread.pending.delete(reply.id);
      if ("error" in reply) pending?.reject(new DatasetError(reply.error));
      else pending?.resolve(reply.result);
    });
    worker.on("error", (error) => this.fail(thread, `a featurizing thread failed: ${error.message}`, error));
    worker.on("exit", (code) => this.fail(thread, `a featurizing thread ended with code ${code}`));
    this.threads.push(thread);
    return thread;
  }

  /** A dead thread cannot answer: what it was asked for fails, and so does everything after it. */
  private fail(thread: Thread, message: string, cause?: unknown): void {
    this.failure ??= new DatasetError(message, { cause });
    for (const pending of thread.pending.values()) pending.reject(this.failure);
    thread.pending.clear();
  }
}
