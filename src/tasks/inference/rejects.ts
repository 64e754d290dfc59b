// Records that a model was not run on: counted by reason, and listed in a file.
import { closeSync, openSync, writeSync } from "node:fs";
import type { Reject } from "../../chem/molecule.js";

export interface RejectTally {
  add(reject: Reject): void;
  /** Rejects by code. */
  counts(): Readonly<Record<string, number>>;
  /** The file, where one was written. */
  path(): string | null;
  first(): Reject | null;
  close(): void;
}

/** @param path JSON lines; begun with the first reject, so that there is no file where there is none; null for no file */
export function openRejects(path: string | null): RejectTally {
  const counts: Record<string, number> = {};
  let descriptor: number | null = null;
  let first: Reject | null = null;
  return {
    add(reject) {
      counts[reject.code] = (counts[reject.code] ?? 0) + 1;
      first ??= reject;
      if (path === null) return;
      descriptor ??= openSync(path, "w");
      writeSync(descriptor, `${JSON.stringify(reject)}\n`);
    },
    counts: () => counts,
    path: () => (descriptor === null ? null : path),
    first: () => first,
    close() {
      if (descriptor !== null) closeSync(descriptor);
    },
  };
}
