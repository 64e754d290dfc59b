// Parses JSON lines: an object a line with a SMILES field; its other fields become the properties of the record.
import { cellText, rowItem, tryColumns } from "./columns.js";
import { type Emit, type RecordParser, reject } from "./record-parser.js";

/** A line that is no object, or an object without the field, is a reject: the fields may differ from line to line. */
export function jsonLinesParser(file: string, emit: Emit, smilesColumn: string | undefined): RecordParser {
  let record = 0;
  let blankLines = 0;
  return {
    line(text, number) {
      if (text.trim() === "") {
        blankLines++;
        return;
      }
      for (; blankLines > 0; blankLines--) {
        emit(reject({ file, line: number - blankLines, record: ++record }, "empty-line", "the line is empty"));
      }
      const place = { file, line: number, record: ++record };
      const row = parseObject(text);
      if (typeof row === "string") {
        emit(reject(place, "unparsable-record", `JSON: ${row}`));
        return;
      }
      const names = Object.keys(row);
      const columns = tryColumns(names, smilesColumn);
      if (columns) {
        emit(rowItem(columns, Object.values(row).map(cellText), place));
        return;
      }
      const what = smilesColumn === undefined ? "a SMILES field" : `the field ${JSON.stringify(smilesColumn)}`;
      const has = names.length > 0 ? names.slice(0, 20).join(", ") : "none";
      emit(reject(place, "unparsable-record", `JSON: expected ${what}, got the fields ${has}`));
    },
    end() {},
  };
}

/** The object, or what is wrong with the line. */
function parseObject(text: string): Readonly<Record<string, unknown>> | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return `expected an object, got ${text.trim().slice(0, 40)}`;
}
