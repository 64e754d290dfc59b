// Where the columns of an Arrow file lie, found from its footer, so that single values can be read from the file.

import { DataType, Message, type Schema } from "apache-arrow";
import { Footer } from "apache-arrow/ipc/metadata/file";
import { DatasetError } from "../errors.js";
import type { FilePool } from "./stored-file.js";

/** Bytes of the file at which a column begins. */
export interface ColumnPlace {
  readonly values: number;
  /** Where each row begins among the values, in elements, int32 [rows + 1]; the values themselves for a column of numbers. */
  readonly offsets: number;
}

/** A file ends with the footer, its length as int32, and this. */
const MAGIC = "ARROW1";
const TAIL_BYTES = 4 + MAGIC.length;
/** Before the metadata of a message: a mark and the length, int32 both. */
const PREFIX_BYTES = 8;

/**
 * @param rows how many there must be, in one record batch
 * @param columns their types, as Arrow writes them (`List<Uint8>`); further columns may stand beside them
 * @throws DatasetError when the file is not laid out as this package writes it
 */
export function locateColumns<Column extends string>(
  path: string,
  files: FilePool,
  rows: number,
  columns: Readonly<Record<Column, string>>,
): Record<Column, ColumnPlace> {
  const footer = readFooter(path, files);
  checkColumns(path, footer.schema, columns);
  const block = footer.getRecordBatch(0);
  if (!block || footer.numRecordBatches !== 1) throw foreign(path, "1 record batch", footer.numRecordBatches);
  const metadata = new Uint8Array(block.metaDataLength - PREFIX_BYTES);
  files.read(path, metadata, block.offset + PREFIX_BYTES);
  const message = Message.decode(metadata);
  if (!message.isRecordBatch()) throw foreign(path, "a record batch", message.headerType);
  const { length, compression, buffers } = message.header();
  if (length !== rows) throw foreign(path, `${rows} rows`, length);
  if (compression) throw foreign(path, "no compression", compression.type);
  const body = block.offset + block.metaDataLength;
  let buffer = 0;
  const place = () => body + buffers[buffer++].offset;
  const places = footer.schema.fields.map(({ name, type }) => {
    place(); // Which rows are null: those have no values here.
    const nested = DataType.isList(type);
    const offsets = nested || DataType.isUtf8(type) ? place() : null;
    if (nested) place(); // Which elements are null: none.
    const values = place();
    return [name, { values, offsets: offsets ?? values }] as const;
  });
  return Object.fromEntries(places) as Record<Column, ColumnPlace>;
}

function readFooter(path: string, files: FilePool): Footer {
  const end = files.sizeOf(path) - TAIL_BYTES;
  const tail = new DataView(new ArrayBuffer(TAIL_BYTES));
  if (end > 0) files.read(path, tail, end);
  const length = tail.getInt32(0, true);
  const magic = new TextDecoder().decode(new Uint8Array(tail.buffer, 4));
  if (magic !== MAGIC || length <= 0 || length > end) throw foreign(path, "the footer of an Arrow file", "none");
  const bytes = new Uint8Array(length);
  files.read(path, bytes, end - length);
  return Footer.decode(bytes);
}

function checkColumns(path: string, { fields }: Schema, columns: Readonly<Record<string, string>>): void {
  const types = new Map(fields.map(({ name, type }) => [name, type]));
  const names = Object.keys(columns);
  const missing = names.filter((name) => !types.has(name));
  if (missing.length > 0) throw foreign(path, `columns ${names.join(", ")}`, `no ${missing.join(", ")}`);
  for (const name of names) {
    const got = String(types.get(name));
    if (got !== columns[name]) throw foreign(path, `column ${name} of type ${columns[name]}`, got);
  }
  // The others are stepped over, which takes to know how many buffers they have.
  for (const [name, type] of types) {
    const known = DataType.isUtf8(type) || DataType.isInt(type) || DataType.isFloat(type) || DataType.isList(type);
    if (!known) throw foreign(path, `column ${name} of numbers, text or lists`, String(type));
  }
}

function foreign(path: string, expected: string, got: string | number): DatasetError {
  return new DatasetError(
    `${path}: expected ${expected}, got ${got}: the file is not laid out as this package writes it`,
  );
}
