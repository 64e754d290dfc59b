// Tables as Parquet files, a row group for each call that brings rows.
import { fileWriter, ParquetWriter } from "hyparquet-writer";
import type { Cell, TableColumns, TableRow, TableWriter } from "./table-writer.js";

type ColumnType = "STRING" | "INT32" | "DOUBLE" | "FLOAT" | "BOOLEAN";

interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly cell: (row: TableRow) => Cell;
}

/** Types that a Parquet file stores them as. */
const PHYSICAL = {
  STRING: "BYTE_ARRAY",
  INT32: "INT32",
  DOUBLE: "DOUBLE",
  FLOAT: "FLOAT",
  BOOLEAN: "BOOLEAN",
} as const;

function typeOf(cell: Cell | undefined, numbers: ColumnType): ColumnType {
  if (typeof cell === "boolean") return "BOOLEAN";
  return typeof cell === "number" ? numbers : "STRING";
}

/** Keys that are numbers are counts; lists are float32, as the model gives them; all other numbers are float64. */
function columnsOf({ keys, values, remarks = [] }: TableColumns, first: TableRow | undefined): Column[] {
  const list = "list" in values;
  const names = list ? Array.from({ length: values.length }, (_, i) => `${values.list}${i}`) : values;
  return [
    ...keys.map((name, i) => ({
      ...{ name, type: typeOf(first?.keys[i], "INT32"), cell: (row: TableRow) => row.keys[i] },
    })),
    ...names.map((name, i) => ({
      ...{ name, type: list ? ("FLOAT" as const) : ("DOUBLE" as const), cell: (row: TableRow) => row.values[i] },
    })),
    ...remarks.map((name, i) => ({
      ...{ name, type: typeOf(first?.remarks?.[i], "DOUBLE"), cell: (row: TableRow) => row.remarks?.[i] ?? "" },
    })),
  ];
}

function createWriter(path: string, columns: readonly Column[]): ParquetWriter {
  return new ParquetWriter({
    writer: fileWriter(path),
    schema: [
      { name: "root", num_children: columns.length },
      ...columns.map(({ name, type }) => ({
        ...{ name, type: PHYSICAL[type], repetition_type: "REQUIRED" as const },
        ...(type === "STRING" ? { converted_type: "UTF8" as const } : {}),
      })),
    ],
  });
}

/** The types of the columns are those of the first row; a table without rows has columns of text where it cannot know. */
export function openParquet(path: string, layout: TableColumns): TableWriter {
  let file: { readonly writer: ParquetWriter; readonly columns: readonly Column[] } | null = null;
  const begin = (first: TableRow | undefined) => {
    const columns = columnsOf(layout, first);
    file = { writer: createWriter(path, columns), columns };
    return file;
  };
  return {
    async write(rows) {
      if (rows.length === 0) return;
      const { writer, columns } = file ?? begin(rows[0]);
      const columnData = columns.map(({ name, cell }) => ({ name, data: rows.map(cell) }));
      await writer.write({ columnData, rowGroupSize: rows.length });
    },
    async close() {
      const { writer } = file ?? begin(undefined);
      await writer.finish();
    },
  };
}
