// Streams the molecules of a file or of a data set's folder, whatever the format, as records of text.
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { DatasetError } from "../../errors.js";
import { readArrow } from "./arrow-reader.js";
import { readFailure } from "./byte-source.js";
import { binaryFormatByContent, type FileFormat, formatByName } from "./file-format.js";
import { folderBytes, readFolder } from "./folder-layouts.js";
import { readLmdb } from "./lmdb-reader.js";
import { readParquet } from "./parquet-reader.js";
import { readTextFile } from "./read-text-file.js";
import type { ReaderOptions } from "./reader-options.js";
import type { ReadItem } from "./record-parser.js";
import { readSdf } from "./sdf-with-table.js";

/**
 * The records of a file (SMILES list, CSV, TSV, JSON lines, SDF, XYZ, QM9's xyz, Parquet, Arrow IPC, Uni-Mol's LMDB; text also
 * packed by gzip or bzip2, or in a tar archive), or of the folder of a data set (see `folder-layouts.ts`). Records that cannot be
 * told apart or are cut off come as rejects; the file goes on. Of an SD file `x.sdf` that has a table `x.sdf.csv` beside it, the columns become properties.
 *
 * @throws DatasetError if the file cannot be read, lacks the SMILES column, or is damaged; all that was readable before
 *   has been yielded by then
 */
export async function* readRecords(path: string, options: ReaderOptions = {}): AsyncGenerator<ReadItem> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() && !options.format) {
    yield* readFolder(path, options);
    return;
  }
  const format = options.format ?? formatByName(path) ?? binaryFormatOf(path);
  switch (format) {
    case "parquet":
      yield* readParquet(path, options);
      return;
    case "arrow":
      yield* readArrow(path, options);
      return;
    case "lmdb":
      yield* readLmdb(path, options);
      return;
    default:
      yield* readText(path, options);
  }
}

function readText(path: string, options: ReaderOptions): AsyncGenerator<ReadItem> {
  const { part, propertiesTable } = options;
  if (part !== undefined)
    throw new DatasetError(`${path}: part ${JSON.stringify(part)} asked for, but a file has no parts`);
  // The table is read along; the progress is that of the file itself.
  const table = propertiesTable ?? tableBeside(path);
  const progress = (file: string) => (read: number, total: number) => {
    if (file === path) options.onBytes?.(read, total);
  };
  return table === undefined && !options.derive ? readTextFile(path, options) : readSdf(path, table, options, progress);
}

function tableBeside(path: string): string | undefined {
  if (!/\.sdf(\.gz|\.bz2)?$/i.test(path)) return undefined;
  return [`${path}.csv`, `${path}.csv.gz`, `${path.replace(/\.(gz|bz2)$/i, "")}.csv`].find((table) =>
    existsSync(table),
  );
}

function binaryFormatOf(path: string): FileFormat | null {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return null;
  try {
    const descriptor = openSync(path, "r");
    try {
      const first = Buffer.alloc(32);
      return binaryFormatByContent(first.subarray(0, readSync(descriptor, first, 0, first.length, 0)));
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw readFailure(path, error);
  }
}

/** Bytes that reading an input will report in all; 0 for what cannot be read, of which the reader says so in its own words. */
export function inputBytes(path: string, options: ReaderOptions = {}): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.size;
  try {
    return folderBytes(path, options.part);
  } catch (error) {
    if (error instanceof DatasetError) return 0;
    throw error;
  }
}
