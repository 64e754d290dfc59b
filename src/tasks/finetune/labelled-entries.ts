// The molecules of a corpus that a task can use: with a label of some target, and with coordinates where the model sees nothing else.
import type { Corpus } from "../../data/corpus.js";
import { DatasetError } from "../../errors.js";
import { readsGeometry, type TaskMode } from "../../model/task-graphs.js";
import { groupConformers, type TaskData } from "../../train/task-data.js";

export interface LabelledEntries extends Omit<TaskData, "split"> {
  /** Rows left out because every label is missing. */
  readonly unlabelled: number;
  /** Rows with a label left out because 3d shows nothing of a molecule without coordinates. */
  readonly unlocated: number;
}

const rowsOf = (entries: readonly Int32Array[]) => entries.reduce((sum, rows) => sum + rows.length, 0);

/**
 * Conformers joined to entries, each with its labels.
 * @param targets columns of the labels
 * @throws DatasetError where no entry is left, or the mode needs coordinates and no molecule has any
 */
export function labelledEntries(corpus: Corpus, targets: readonly string[], mode: TaskMode): LabelledEntries {
  if (readsGeometry(mode) && !corpus.has3d.includes(1)) {
    throw new DatasetError(
      `${corpus.dir}: mode ${mode} needs coordinates and no molecule has any; give SDF or XYZ files, have conformers made when preparing, or use --mode 2d`,
    );
  }
  const columns = targets.map((name) => corpus.labelColumn(name));
  const labelled = groupConformers(corpus, columns).filter(([row]) =>
    columns.some((column) => !Number.isNaN(column[row])),
  );
  if (labelled.length === 0) throw new DatasetError(`${corpus.dir}: every label of ${targets.join(", ")} is missing`);
  const entries = mode === "3d" ? labelled.filter(([row]) => corpus.has3d[row]) : labelled;
  if (entries.length === 0) {
    throw new DatasetError(
      `${corpus.dir}: mode 3d needs coordinates and no molecule with a label of ${targets.join(", ")} has any; use --mode 2d`,
    );
  }
  const values = Float64Array.from(entries.flatMap(([row]) => columns.map((column) => column[row])));
  return {
    entries,
    labels: { names: targets, values },
    unlabelled: corpus.size - rowsOf(labelled),
    unlocated: rowsOf(labelled) - rowsOf(entries),
  };
}
