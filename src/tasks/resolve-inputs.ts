// Finds out which columns of the inputs are labels, where a data set is known by name.

import { columnsOfSet, labelledSet } from "../data/labelled-sets.js";
import { type ReaderOptions, tableColumns } from "../data/readers/index.js";
import { ConfigError } from "../errors.js";
import type { PrepareOptions } from "./prepare.js";

/**
 * The labels to keep and how the inputs are read. What the caller names explicitly wins over what is known of the set.
 *
 * @throws ConfigError for a data set that is not known
 * @throws DatasetError when an input lacks a column of the set, or cannot be read
 */
export async function resolveInputs(
  inputs: readonly string[],
  options: PrepareOptions,
): Promise<{ readonly labels: readonly string[]; readonly reader: ReaderOptions }> {
  const { dataset, labels = [], reader = {} } = options;
  if (dataset === undefined) return { labels, reader };
  const set = labelledSet(dataset);
  const derive = set.name === "qm9" ? { derive: "qm9" as const } : {};
  const found = await Promise.all(
    inputs.map(async (path) => columnsOfSet(set, path, await tableColumns(path, reader.format))),
  );
  const [first, ...others] = found;
  const same = (columns: typeof first) =>
    columns.smiles === first.smiles && columns.labels.join("\n") === first.labels.join("\n");
  if (!others.every(same)) {
    throw new ConfigError(
      `${inputs.join(", ")}: expected the same columns of ${set.name}, got several copies; prepare them one by one`,
    );
  }
  return {
    labels: labels.length > 0 ? labels : first.labels,
    reader: { smilesColumn: first.smiles, ...reader, ...derive },
  };
}
