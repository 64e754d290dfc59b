// Tables written row by row: CSV, JSON lines, Parquet, and NumPy arrays with the names beside them.
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { ConfigError } from "../../errors.js";
import { csvLine } from "../finetune/predictions-file.js";
import { openParquet } from "./parquet-table.js";

export const TABLE_FORMATS = ["csv", "jsonl", "parquet", "npy"] as const;
export type TableFormat = (typeof TABLE_FORMATS)[number];

export type Cell = string | number | boolean;

/** One row: what identifies it, and its numbers. */
export interface TableRow {
  readonly keys: readonly Cell[];
  readonly values: ArrayLike<number>;
  /** What stands behind the numbers. */
  readonly remarks?: readonly Cell[];
}

export interface TableColumns {
  readonly keys: readonly string[];
  /** A name for each number; or one name for all of them together, as a list. */
  readonly values: readonly string[] | { readonly list: string; readonly length: number };
  readonly remarks?: readonly string[];
}

export interface TableWriter {
  write(rows: readonly TableRow[]): Promise<void>;
  close(): Promise<void>;
}

/** The format that a path asks for by its name; CSV for standard output. @throws ConfigError for a name that says nothing */
export function tableFormat(path: string | null, wanted: TableFormat | undefined): TableFormat {
  if (wanted) return wanted;
  if (path === null) return "csv";
  const found = TABLE_FORMATS.find((format) => path.toLowerCase().endsWith(`.${format}`));
  if (found) return found;
  throw new ConfigError(
    `${path}: expected a name that ends in ${TABLE_FORMATS.map((f) => `.${f}`).join(", ")}, or a format`,
  );
}

/** @param path null for standard output */
export async function openTable(path: string | null, format: TableFormat, columns: TableColumns): Promise<TableWriter> {
  if (format === "npy" || format === "parquet") {
    if (path === null) throw new ConfigError(`${format}: expected a file to write to, not standard output`);
    return format === "npy" ? openNpy(path, columns) : openParquet(path, columns);
  }
  const stream = path === null ? process.stdout : createWriteStream(path);
  if (path !== null) await once(stream, "open");
  const text = format === "csv" ? csvText(columns) : jsonText(columns);
  const write = (chunk: string) => writeText(stream, chunk);
  if (text.header) await write(text.header);
  return {
    write: (rows) => write(rows.map(text.row).join("")),
    close: async () => {
      if (path === null) return;
      stream.end();
      await finished(stream);
    },
  };
}

/** Waits where the receiver is slower than we are. */
async function writeText(stream: Writable, text: string): Promise<void> {
  if (text !== "" && !stream.write(text)) await once(stream, "drain");
}

interface RowText {
  readonly header: string;
  readonly row: (row: TableRow) => string;
}

function csvText({ keys, values, remarks = [] }: TableColumns): RowText {
  const names = "list" in values ? Array.from({ length: values.length }, (_, i) => `${values.list}${i}`) : values;
  return {
    header: csvLine([...keys, ...names, ...remarks]),
    row: (row) => csvLine([...row.keys, ...Array.from(row.values), ...(row.remarks ?? [])].map(plainCell)),
  };
}

const plainCell = (cell: Cell): string | number => (typeof cell === "boolean" ? String(cell) : cell);

function jsonText({ keys, values, remarks = [] }: TableColumns): RowText {
  const number = (value: number) => (Number.isFinite(value) ? value : null);
  return {
    header: "",
    row: (row) => {
      const record: Record<string, unknown> = {};
      keys.forEach((name, i) => {
        record[name] = row.keys[i];
      });
      if ("list" in values) record[values.list] = Array.from(row.values, number);
      else
        values.forEach((name, i) => {
          record[name] = number(row.values[i]);
        });
      remarks.forEach((name, i) => {
        const value = row.remarks?.[i];
        record[name] = typeof value === "number" ? number(value) : value;
      });
      return `${JSON.stringify(record)}\n`;
    },
  };
}

/** NumPy's header is filled up to this length, so that the number of rows can be written in when it is known. */
const NPY_HEADER = 128;

function npyHeader(rows: number, width: number): Buffer {
  const description = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${width}), }`;
  const header = Buffer.alloc(NPY_HEADER, " ");
  header.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  header.writeUInt16LE(NPY_HEADER - 10, 8);
  header.write(description, 10, "latin1");
  header.write("\n", NPY_HEADER - 1);
  return header;
}

/** PATH holds the numbers as float32; PATH.csv says which row is what. */
async function openNpy(path: string, columns: TableColumns): Promise<TableWriter> {
  const width = "list" in columns.values ? columns.values.length : columns.values.length;
  const names = await openTable(`${path}.csv`, "csv", {
    keys: columns.keys,
    values: [],
    ...(columns.remarks ? { remarks: columns.remarks } : {}),
  });
  const file = await open(path, "w");
  let count = 0;
  await file.write(npyHeader(0, width));
  return {
    async write(rows) {
      const data = new Float32Array(rows.length * width);
      rows.forEach((row, i) => {
        data.set(Float32Array.from(row.values), i * width);
      });
      count += rows.length;
      await file.writeFile(Buffer.from(data.buffer));
      await names.write(rows.map(({ keys, remarks }) => ({ keys, values: [], ...(remarks ? { remarks } : {}) })));
    },
    async close() {
      await file.write(npyHeader(count, width), 0, NPY_HEADER, 0);
      await file.close();
      await names.close();
    },
  };
}
