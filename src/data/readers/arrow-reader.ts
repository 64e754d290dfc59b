// Streams the rows of an Arrow IPC file or stream (Feather 2 included) as records, one record batch after another.
import { compressionRegistry, RecordBatchReader } from "apache-arrow";
import { decompressZstd } from "hyparquet-compressors";
import { DatasetError } from "../../errors.js";
import { openFile, readFailure } from "./byte-source.js";
import { cellText, findColumns, rowItem } from "./columns.js";
import { decodeLz4Frame } from "./lz4-frame.js";
import { narrow } from "./parquet-reader.js";
import type { ReaderOptions } from "./reader-options.js";
import type { ReadItem } from "./record-parser.js";

/** Values of Arrow's enum `CompressionType` (format/Message.fbs). */
const LZ4_FRAME = 0;
const ZSTD = 1;

/**
 * The rows of an Arrow IPC file with a SMILES column, plain or compressed with LZ4 or Zstandard. `line` and `record` are the
 * number of the row, from 1.
 *
 * @throws DatasetError if the file is damaged, no Arrow IPC, or lacks the SMILES column
 */
export async function* readArrow(path: string, options: ReaderOptions): AsyncGenerator<ReadItem> {
  compressionRegistry.set(LZ4_FRAME, { decode: decodeLz4Frame });
  compressionRegistry.set(ZSTD, { decode: (data) => decompressZstd(data) });
  const handle = await openFile(path);
  let row = 0;
  try {
    const { size } = await handle.stat();
    const reader = await RecordBatchReader.from(handle);
    await reader.open();
    const names = reader.schema.fields.map((field) => field.name);
    const columns = narrow(findColumns(path, names, options.smilesColumn), options.properties);
    options.onColumns?.(names);
    let bytes = 0;
    for await (const batch of reader) {
      const vectors = columns.names.map((name) => batch.getChild(name));
      for (let i = 0; i < batch.numRows; i++) {
        row++;
        const cells = vectors.map((vector) => cellText(vector?.get(i)));
        yield rowItem(columns, cells, { file: path, line: row, record: row });
      }
      bytes = Math.min(size, bytes + batch.data.byteLength);
      options.onBytes?.(bytes, size);
    }
    options.onBytes?.(size, size);
  } catch (error) {
    throw arrowFailure(path, row, error);
  } finally {
    await handle.close().catch(() => undefined); // the library may have closed it
  }
}

function arrowFailure(path: string, rows: number, error: unknown): unknown {
  const failure = readFailure(path, error);
  if (failure instanceof DatasetError) return failure;
  const what = error instanceof Error ? error.message : String(error);
  const before = rows > 0 ? `; ${rows} records before that were read` : "";
  return new DatasetError(`${path}: expected an Arrow IPC file, got damaged or foreign data (${what})${before}`, {
    cause: error,
  });
}
