// Parses CSV and TSV with a SMILES column; the other columns become the properties of the record.
import Papa from "papaparse";
import { DatasetError } from "../../errors.js";
import { type Emit, type RecordParser, reject } from "./record-parser.js";

/** Names a SMILES column goes by, the likeliest first. */
const SMILES_COLUMNS = [
  "smiles",
  "canonical_smiles",
  "isomeric_smiles",
  "cxsmiles",
  "rdkit_smiles",
  "structure",
  "mol",
];
const NAME_COLUMNS = ["name", "title", "id", "compound_id", "mol_id", "cmpdname", "molecule_chembl_id", "zinc_id"];

/** Rows are handed to the CSV library in lots of about this many characters. */
const LOT_CHARACTERS = 1 << 18;
const MAX_ROW_CHARACTERS = 16 << 20;

export interface TableOptions {
  readonly delimiter?: string | undefined;
  readonly smilesColumn?: string | undefined;
}

interface Columns {
  readonly names: readonly string[];
  readonly smiles: number;
  readonly name: number;
}

/** @throws DatasetError from `line` if the header has no SMILES column, or not the one asked for. */
export function tableParser(file: string, emit: Emit, options: TableOptions): RecordParser {
  let columns: Columns | null = null;
  let delimiter = options.delimiter ?? "";
  let record = 0;
  let rows: string[] = [];
  let rowLines: number[] = [];
  let characters = 0;
  let open: { text: string; line: number } | null = null;
  const blank: number[] = [];

  function flush(): void {
    if (rows.length === 0) return;
    const parsed = Papa.parse<string[]>(rows.join("\n"), { delimiter, newline: "\n", quoteChar: '"' });
    parsed.data.forEach((cells, i) => {
      const line = rowLines[i];
      if (!columns) columns = findColumns(file, cells, options.smilesColumn);
      else emitRow(columns, cells, line);
    });
    rows = [];
    rowLines = [];
    characters = 0;
  }

  function emitRow({ names, smiles, name }: Columns, cells: readonly string[], line: number): void {
    const text = (cells[smiles] ?? "").trim();
    const place = { file, line, record: ++record, name: name < 0 ? "" : (cells[name] ?? "").trim() };
    if (text === "") {
      const blankRow = cells.every((cell) => cell.trim() === "");
      emit(reject(place, "empty-line", blankRow ? "the line is empty" : `the cell "${names[smiles]}" is empty`));
      return;
    }
    const properties: Record<string, string> = {};
    for (let i = 0; i < names.length && i < cells.length; i++) if (i !== smiles) properties[names[i]] = cells[i];
    emit({ format: "smiles", text, ...place, properties });
  }

  function row(text: string, line: number): void {
    if (text.trim() === "") {
      // Held back: at the end of a file blank lines mean nothing.
      if (columns || rows.length > 0) blank.push(line);
      return;
    }
    if (!columns && rows.length === 0) delimiter ||= guessDelimiter(text);
    for (const blankLine of blank.splice(0)) {
      rows.push("");
      rowLines.push(blankLine);
    }
    rows.push(text);
    rowLines.push(line);
    characters += text.length;
    if (characters > LOT_CHARACTERS || !columns) flush();
  }

  return {
    line(text, number) {
      const whole: { text: string; line: number } = open
        ? { text: `${open.text}\n${text}`, line: open.line }
        : { text, line: number };
      delimiter ||= whole.text.trim() === "" ? "" : guessDelimiter(whole.text);
      open = text.includes('"') || open ? (endsInQuotes(whole.text, delimiter) ? whole : null) : null;
      if (!open) row(whole.text, whole.line);
      else if (whole.text.length > MAX_ROW_CHARACTERS) {
        throw new DatasetError(`${file}:${whole.line}: a quote opens here and does not close`);
      }
    },
    end() {
      flush();
      if (!open) return;
      emit(
        reject(
          { file, line: open.line, record: ++record },
          "truncated-record",
          "a quote opens here and does not close",
        ),
      );
    },
  };
}

function findColumns(file: string, header: readonly string[], wanted: string | undefined): Columns {
  const names = header.map((name) => name.trim());
  const lower = names.map((name) => name.toLowerCase());
  const first = (candidates: readonly string[]) => {
    const found = candidates.find((candidate) => lower.includes(candidate));
    return found === undefined ? -1 : lower.indexOf(found);
  };
  const smiles = wanted === undefined ? first(SMILES_COLUMNS) : names.indexOf(wanted);
  if (smiles < 0) {
    const what = wanted === undefined ? "a SMILES column" : `the column "${wanted}"`;
    const has = names.slice(0, 40).join(", ") + (names.length > 40 ? `, ... (${names.length} in all)` : "");
    throw new DatasetError(`${file}: expected ${what}, got the columns ${has}`);
  }
  return { names, smiles, name: first(NAME_COLUMNS) };
}

function guessDelimiter(header: string): string {
  const bare = header.replace(/"[^"]*"/g, "");
  const counted = [",", "\t", ";", "|"].map((candidate) => bare.split(candidate).length);
  const best = counted.indexOf(Math.max(...counted));
  return counted[best] > 1 ? [",", "\t", ";", "|"][best] : ",";
}

/** Whether a quoted cell is still open at the end of the text. A quote opens a cell only at its start. */
function endsInQuotes(text: string, delimiter: string): boolean {
  let quoted = false;
  let cellStart = true;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (quoted) {
      if (character === '"') {
        if (text[i + 1] === '"') i++;
        else quoted = false;
      }
    } else if (character === '"' && cellStart) {
      quoted = true;
    }
    cellStart = !quoted && (character === delimiter || character === "\n");
  }
  return quoted;
}
