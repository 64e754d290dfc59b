// Streams the rows of a CSV or TSV file as they are, and joins them to the records of another file row by row.
import { DatasetError } from "../../errors.js";
import { type OnBytes, readBytes } from "./byte-source.js";
import { cellProperties } from "./columns.js";
import { type FileFormat, formatByName } from "./file-format.js";
import { LineSplitter } from "./line-splitter.js";
import { isReject, type ReadItem } from "./record-parser.js";
import { TableRows } from "./table-rows.js";

/** A row by the names of its columns, and the line where it begins. */
export interface TableRow {
  readonly cells: Readonly<Record<string, string>>;
  readonly line: number;
}

/** The rows of a table, blank lines aside. @throws DatasetError if it cannot be read; what came before was yielded */
export async function* readRows(path: string, onBytes?: OnBytes): AsyncGenerator<TableRow> {
  let names: readonly string[] = [];
  let ready: TableRow[] = [];
  const rows = new TableRows(path, /\.(tsv|tab)(\.gz)?$/i.test(path) ? "\t" : "", {
    header(cells) {
      names = cells;
    },
    row(cells, line) {
      if (cells.length > 1 || cells[0].trim() !== "") ready.push({ cells: cellProperties(names, cells), line });
    },
    unclosed(line) {
      throw new DatasetError(`${path}:${line}: a quote opens here and does not close`);
    },
  });
  const splitter = new LineSplitter(path, (line, number) => rows.line(line, number));
  for await (const chunk of readBytes(path, onBytes)) {
    splitter.push(chunk);
    yield* ready;
    ready = [];
  }
  splitter.end();
  rows.end();
  yield* ready;
}

/** The columns of a table; null for a file that is no CSV or TSV by its name. @throws DatasetError if it cannot be read */
export async function tableColumns(path: string, forced?: FileFormat): Promise<readonly string[] | null> {
  const format = forced ?? formatByName(path);
  if (format !== "csv" && format !== "tsv") return null;
  let names: readonly string[] | null = null;
  const rows = new TableRows(path, format === "tsv" ? "\t" : "", {
    header(cells) {
      names = cells;
    },
    row() {},
    unclosed() {},
  });
  const splitter = new LineSplitter(path, (line, number) => {
    if (names === null) rows.line(line, number);
  });
  for await (const chunk of readBytes(path)) {
    splitter.push(chunk);
    if (names !== null) return names;
  }
  splitter.end();
  rows.end();
  return names;
}

/** Column that names the molecule of a row, where the records have titles to check it against. */
const ID_COLUMNS = ["mol_id", "name", "title"];

/**
 * Adds the columns of row i to the properties of record i; rejected records use up their rows.
 *
 * @throws DatasetError if one ends before the other, or a row names another molecule than its record
 */
export async function* joinTable(
  items: AsyncIterable<ReadItem>,
  tablePath: string,
  onBytes?: OnBytes,
): AsyncGenerator<ReadItem> {
  const rows = readRows(tablePath, onBytes);
  let count = 0;
  try {
    for await (const item of items) {
      const next = await rows.next();
      if (next.done) {
        throw new DatasetError(`${tablePath}: expected a row for each record, got ${count}, and more in ${item.file}`);
      }
      count++;
      yield isReject(item) ? item : merge(item, next.value, tablePath);
    }
    if (!(await rows.next()).done) {
      throw new DatasetError(`${tablePath}: expected a row for each record, got more than the ${count} records`);
    }
  } finally {
    await rows.return(undefined);
  }
}

function merge<T extends ReadItem & { properties: Readonly<Record<string, string>> }>(
  item: T,
  { cells, line }: TableRow,
  tablePath: string,
): T {
  const id = ID_COLUMNS.map((column) => cells[column]).find((value) => value !== undefined && value !== "");
  if (id !== undefined && item.name !== "" && id !== item.name) {
    throw new DatasetError(
      `${tablePath}:${line}: expected the row of ${item.name} (record ${item.record}), got that of ${id}`,
    );
  }
  return { ...item, properties: { ...item.properties, ...cells } };
}
