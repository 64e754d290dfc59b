// What the readers of data set folders share: finding files, and one progress for several of them.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { OnBytes } from "./byte-source.js";

/** The first of the names that exists below a folder, as a path. */
export function firstExisting(folder: string, names: readonly string[]): string | null {
  return names.map((name) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** The callback for one of several files that are read, perhaps at once. */
export type FileProgress = (path: string) => OnBytes;

/** Sums up the bytes of several files. */
export function sumProgress(onBytes: OnBytes | undefined, total: number): FileProgress {
  const read = new Map<string, number>();
  let sum = 0;
  return (path) => (bytes) => {
    sum += bytes - (read.get(path) ?? 0);
    read.set(path, bytes);
    onBytes?.(sum, total);
  };
}
