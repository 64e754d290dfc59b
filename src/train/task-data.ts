// Labelled molecules of a task: which rows are one structure, their labels and their split.
import type { Corpus } from "../data/corpus.js";
import type { Split } from "../data/split.js";
import type { LabelTable } from "./task-labels.js";

export interface TaskData {
  /** Rows of each entry: conformers of one structure with the same labels, or a single molecule. Ascending by first row. */
  readonly entries: readonly Int32Array[];
  /** Labels by entry. */
  readonly labels: LabelTable;
  /** Numbers of entries. */
  readonly split: Split;
}

/**
 * Joins rows with coordinates that are one structure with the same labels. Rows without coordinates stay on their own, so that a
 * table of SMILES has a prediction for each of its rows.
 */
export function groupConformers(corpus: Corpus, columns: readonly Float64Array[]): readonly Int32Array[] {
  const keys = corpus.readStructureKeys();
  const groups = new Map<string, number[]>();
  for (let row = 0; row < corpus.size; row++) {
    const key = corpus.has3d[row] ? `${keys[row]} ${columns.map((column) => column[row]).join(" ")}` : `row ${row}`;
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups.values()].map((rows) => Int32Array.from(rows));
}

/** The labels of some entries, row by row. */
export function entryLabels({ names, values }: LabelTable, entries: Int32Array): Float64Array {
  const width = names.length;
  const chosen = new Float64Array(entries.length * width);
  entries.forEach((entry, i) => {
    chosen.set(values.subarray(entry * width, (entry + 1) * width), i * width);
  });
  return chosen;
}
