// The split of labelled molecules: gathers what the method needs (scaffolds, a column, files) and asks for it.

import { loadRdkit, type Rdkit, RdkitFailure } from "../../chem/rdkit.js";
import { murckoScaffold } from "../../chem/scaffold.js";
import { writeSmiles } from "../../chem/write-smiles.js";
import type { Corpus } from "../../data/corpus.js";
import type { ReaderOptions } from "../../data/readers/index.js";
import { type SplitMethod, splitForTask, type TaskSplit } from "../../data/task-split.js";
import { ConfigError } from "../../errors.js";
import { rowRecords } from "./labelled-corpus.js";

export interface SplitRequest {
  readonly method: SplitMethod;
  readonly seed: number;
  readonly validation?: number;
  readonly test?: number;
  readonly fold?: number;
  readonly folds?: number;
  /** Column that says train, validation or test; for the method `given`. */
  readonly column?: string;
  /** Files that are the validation and the test part; for the method `given`. */
  readonly files?: { readonly validation: readonly string[]; readonly test: readonly string[] };
}

/** @param entries rows of each entry @param labels first label of each entry, NaN where missing */
export async function splitEntries(
  corpus: Corpus,
  entries: readonly Int32Array[],
  labels: Float64Array,
  request: SplitRequest,
  reader: ReaderOptions,
): Promise<TaskSplit> {
  const { method, seed, validation, test, fold, folds } = request;
  const first = entries.map(([row]) => row);
  const keys = corpus.readStructureKeys();
  const byScaffold = method === "scaffold" || method === "random-scaffold";
  const rdkit = byScaffold ? await loadRdkit() : null;
  const assignments = method === "given" ? await assignmentsOf(corpus, request, reader) : null;
  return splitForTask({
    method,
    seed,
    keys: BigUint64Array.from(first, (row) => keys[row]),
    labels,
    fractions: { ...(validation === undefined ? {} : { validation }), ...(test === undefined ? {} : { test }) },
    ...(rdkit ? { scaffolds: first.map((row) => scaffoldOf(rdkit, corpus, row)) } : {}),
    ...(assignments ? { assignments: first.map((row) => assignments[row]) } : {}),
    ...(fold === undefined ? {} : { fold }),
    ...(folds === undefined ? {} : { folds }),
  });
}

/** A molecule that RDKit does not read back is a family of its own. */
function scaffoldOf(rdkit: Rdkit, corpus: Corpus, row: number): string {
  try {
    return murckoScaffold(rdkit, writeSmiles(corpus.get(row)));
  } catch (error) {
    if (error instanceof RdkitFailure) return `molecule ${row}`;
    throw error;
  }
}

/** The part of every row of the corpus. */
async function assignmentsOf(
  corpus: Corpus,
  { column, files }: SplitRequest,
  reader: ReaderOptions,
): Promise<readonly string[]> {
  const parts: string[] = [];
  if (column !== undefined) {
    for await (const record of rowRecords(corpus, reader, [column])) {
      const text = record.properties[column];
      if (text === undefined) {
        const there = Object.keys(record.properties).slice(0, 40).join(", ");
        throw new ConfigError(`split column "${column}": expected one of the columns ${there || "of the file"}`);
      }
      parts.push(text);
    }
    return parts;
  }
  if (!files) {
    throw new ConfigError("given split: expected a column (--split-column) or files (--validation-file, --test-file)");
  }
  const { sources } = corpus.manifest;
  const partOf = (path: string) =>
    files.test.includes(path) ? "test" : files.validation.includes(path) ? "validation" : "train";
  for await (const record of rowRecords(corpus, reader)) {
    const source = sources
      .filter(({ path }) => record.file.startsWith(path))
      .sort((a, b) => b.path.length - a.path.length)[0];
    parts.push(partOf(source?.path ?? record.file));
  }
  return parts;
}
