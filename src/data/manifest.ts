// The manifest of a corpus: what its folder holds, with counts and checksums.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatasetError } from "../errors.js";

export const CORPUS_FORMAT = "moleblend-corpus";
/** Raised whenever a corpus written before could no longer be read. */
export const CORPUS_VERSION = 1;
export const MANIFEST_FILE = "manifest.json";
export const INDEX_FILE = "index.arrow";
export const REJECTS_FILE = "rejects.jsonl";

/** One file of the corpus as it was written. */
export interface StoredFile {
  readonly file: string;
  readonly rows: number;
  readonly bytes: number;
  /** Hex digits. */
  readonly sha256: string;
}

/** One input the corpus was made from. */
export interface SourceFile {
  readonly path: string;
  readonly bytes: number;
  /** Records read from it, rejects included. */
  readonly records: number;
  /** Why it could be read in part only. */
  readonly damage?: string;
}

export interface Manifest {
  readonly format: typeof CORPUS_FORMAT;
  readonly version: number;
  readonly counts: {
    readonly molecules: number;
    readonly with3d: number;
    readonly atoms: number;
    /** Distinct structure keys. */
    readonly structures: number;
    readonly rejects: number;
  };
  /** Rejects by code. */
  readonly rejects: Readonly<Record<string, number>>;
  /** Remarks on molecules that were kept, by kind. */
  readonly notes: Readonly<Record<string, number>>;
  readonly labels: readonly string[];
  readonly shards: readonly StoredFile[];
  /** Sizes, keys and labels of all molecules, read when the corpus is opened. */
  readonly index: StoredFile;
  readonly sources: readonly SourceFile[];
  readonly rdkitVersion: string;
  readonly options: Readonly<Record<string, unknown>>;
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** @throws DatasetError when the folder is no complete corpus of this version */
export function readManifest(dir: string): Manifest {
  const path = join(dir, MANIFEST_FILE);
  if (!existsSync(path)) throw new DatasetError(missingManifest(dir));
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new DatasetError(`${path}: expected JSON, got a damaged file`, { cause });
  }
  const manifest = content as Manifest;
  if (manifest?.format !== CORPUS_FORMAT) {
    throw new DatasetError(
      `${path}: expected format ${JSON.stringify(CORPUS_FORMAT)}, got ${JSON.stringify(manifest?.format)}`,
    );
  }
  if (manifest.version !== CORPUS_VERSION) {
    throw new DatasetError(
      `${path}: expected corpus schema version ${CORPUS_VERSION}, got ${manifest.version}; prepare the corpus again with this version of moleblend`,
    );
  }
  return manifest;
}

/** Whether a folder holds a finished corpus, of any version. */
export function isCorpus(dir: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(dir, MANIFEST_FILE), "utf8")) as { format?: unknown };
    return manifest.format === CORPUS_FORMAT;
  } catch {
    return false;
  }
}

/** Begins the name of the folders in which a corpus is written until it is whole. */
export function partialPrefix(dir: string): string {
  return `${basename(dir)}.partial-`;
}

function missingManifest(dir: string): string {
  if (existsSync(dir)) {
    const shards = readdirSync(dir).some((name) => name.endsWith(".arrow"));
    return shards
      ? `${dir}: expected a corpus, got shards without ${MANIFEST_FILE}: the job that wrote them never finished; prepare it again`
      : `${dir}: expected a corpus, got a folder without ${MANIFEST_FILE}`;
  }
  const parent = dirname(dir);
  const partial = existsSync(parent) && readdirSync(parent).find((name) => name.startsWith(partialPrefix(dir)));
  return partial
    ? `${dir}: no such corpus; ${join(parent, partial)} was left by a job that has not finished; prepare it again`
    : `${dir}: no such corpus`;
}
