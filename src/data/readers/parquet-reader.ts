// Streams the rows of a Parquet file as records, one row group after another, reading only the columns that are wanted.
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { DatasetError } from "../../errors.js";
import { openFile, readFailure } from "./byte-source.js";
import { type Columns, cellText, findColumns, rowItem } from "./columns.js";
import type { ReaderOptions } from "./reader-options.js";
import type { ReadItem } from "./record-parser.js";

/** Rows decoded at a time: row groups of a million rows exist. */
const LOT_ROWS = 1 << 17;

/**
 * The rows of a Parquet file with a SMILES column, in any of the format's compressions. `line` and `record` are the number
 * of the row, from 1.
 *
 * @throws DatasetError if the file is damaged, no Parquet, or lacks the SMILES column
 */
export async function* readParquet(path: string, options: ReaderOptions): AsyncGenerator<ReadItem> {
  const handle = await openFile(path);
  let row = 0;
  try {
    const { size } = await handle.stat();
    let read = 0;
    const file: AsyncBuffer = {
      byteLength: size,
      async slice(start, end = size) {
        const buffer = new ArrayBuffer(Math.max(0, end - start));
        const { bytesRead } = await handle.read(new Uint8Array(buffer), 0, buffer.byteLength, start);
        read = Math.min(size, read + bytesRead);
        options.onBytes?.(read, size);
        return bytesRead === buffer.byteLength ? buffer : buffer.slice(0, bytesRead);
      },
    };
    const metadata = await parquetMetadataAsync(file);
    const names = parquetSchema(metadata).children.map((column) => column.element.name);
    const columns = narrow(findColumns(path, names, options.smilesColumn), options.properties);
    options.onColumns?.(names);
    for (const [rowStart, rowEnd] of lots(metadata)) {
      const rows = await parquetReadObjects({
        ...{ file, metadata, compressors, rowStart, rowEnd, useOffsetIndex: true },
        columns: [...columns.names],
      });
      for (const values of rows) {
        row++;
        const cells = columns.names.map((name) => cellText((values as Record<string, unknown>)[name]));
        yield rowItem(columns, cells, { file: path, line: row, record: row });
      }
    }
    options.onBytes?.(size, size);
  } catch (error) {
    throw parquetFailure(path, row, error);
  } finally {
    await handle.close();
  }
}

/** Only the columns with a meaning and the wanted ones, where the caller says which it wants. */
export function narrow(columns: Columns, wanted: readonly string[] | undefined): Columns {
  if (!wanted) return columns;
  const kept = columns.names.filter((name, i) => i === columns.smiles || i === columns.name || wanted.includes(name));
  const at = (column: number) => (column < 0 ? -1 : kept.indexOf(columns.names[column]));
  return { names: kept, smiles: at(columns.smiles), name: at(columns.name) };
}

function* lots(metadata: FileMetaData): Generator<readonly [start: number, end: number]> {
  let start = 0;
  for (const group of metadata.row_groups) {
    const end = start + Number(group.num_rows);
    for (; start < end; start = Math.min(end, start + LOT_ROWS)) yield [start, Math.min(end, start + LOT_ROWS)];
  }
}

function parquetFailure(path: string, rows: number, error: unknown): unknown {
  const failure = readFailure(path, error);
  if (failure instanceof DatasetError) return failure;
  const what = error instanceof Error ? error.message : String(error);
  const before = rows > 0 ? `; ${rows} records before that were read` : "";
  return new DatasetError(`${path}: expected a Parquet file, got damaged or foreign data (${what})${before}`, {
    cause: error,
  });
}
