// Parses CSV and TSV with a SMILES column; the other columns become the properties of the record.
import { type Columns, findColumns, rowItem } from "./columns.js";
import { type Emit, type RecordParser, reject } from "./record-parser.js";
import { TableRows } from "./table-rows.js";

export interface TableOptions {
  readonly delimiter?: string | undefined;
  readonly smilesColumn?: string | undefined;
  /** Told the names of all columns once they are known. */
  readonly onColumns?: ((names: readonly string[]) => void) | undefined;
}

/** @throws DatasetError from `line` if the header has no SMILES column, or not the one asked for */
export function tableParser(file: string, emit: Emit, options: TableOptions): RecordParser {
  let columns: Columns | null = null;
  let record = 0;
  return new TableRows(file, options.delimiter ?? "", {
    header(names) {
      columns = findColumns(file, names, options.smilesColumn);
      options.onColumns?.(names);
    },
    row(cells, line) {
      if (columns) emit(rowItem(columns, cells, { file, line, record: ++record }));
    },
    unclosed(line) {
      emit(reject({ file, line, record: ++record }, "truncated-record", "a quote opens here and does not close"));
    },
  });
}
