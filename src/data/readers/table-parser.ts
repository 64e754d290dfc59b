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
const MAX_ROW_CHARACTERS = 4 << 20;

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
  return new TableParser(file, emit, options);
}

class TableParser implements RecordParser {
  private columns: Columns | null = null;
  private delimiter: string;
  private record = 0;
  /** Whole rows, and the lines where they begin, that wait to be taken apart together. */
  private rows: string[] = [];
  private rowLines: number[] = [];
  private characters = 0;
  /** Lines of a row whose quoted cell is still open. */
  private open: string[] = [];
  private openLine = 0;
  private openCharacters = 0;
  /** Blank lines not reported yet: at the end of a file they mean nothing. */
  private blank: number[] = [];

  constructor(
    private readonly file: string,
    private readonly emit: Emit,
    private readonly options: TableOptions,
  ) {
    this.delimiter = options.delimiter ?? "";
  }

  line(text: string, number: number): void {
    if (!this.delimiter && text.trim() !== "") this.delimiter = guessDelimiter(text);
    const wasOpen = this.open.length > 0;
    const staysOpen = wasOpen || text.includes('"') ? endsInQuotes(text, this.delimiter, wasOpen) : false;
    if (!wasOpen && !staysOpen) {
      this.row(text, number);
      return;
    }
    if (!wasOpen) this.openLine = number;
    this.open.push(text);
    this.openCharacters += text.length;
    if (!staysOpen) {
      this.row(this.open.join("\n"), this.openLine);
      this.open = [];
      this.openCharacters = 0;
    } else if (this.openCharacters > MAX_ROW_CHARACTERS) {
      this.flush();
      throw new DatasetError(`${this.file}:${this.openLine}: a quote opens here and does not close`);
    }
  }

  end(): void {
    this.flush();
    if (this.open.length === 0) return;
    const place = { file: this.file, line: this.openLine, record: ++this.record };
    this.emit(reject(place, "truncated-record", "a quote opens here and does not close"));
  }

  private row(text: string, line: number): void {
    if (text.trim() === "") {
      if (this.columns) this.blank.push(line);
      return;
    }
    for (const blankLine of this.blank) this.add("", blankLine);
    this.blank = [];
    this.add(text, line);
    if (this.characters > LOT_CHARACTERS || !this.columns) this.flush();
  }

  private add(text: string, line: number): void {
    this.rows.push(text);
    this.rowLines.push(line);
    this.characters += text.length;
  }

  private flush(): void {
    if (this.rows.length === 0) return;
    const { delimiter } = this;
    const parse = (text: string) => Papa.parse<string[]>(text, { delimiter, newline: "\n", quoteChar: '"' }).data;
    let cellsOfRows = parse(this.rows.join("\n"));
    // A cell like "a"b makes the library run on into the rows after it: taken one by one, only that row suffers.
    if (cellsOfRows.length !== this.rows.length) cellsOfRows = this.rows.map((row) => parse(row)[0] ?? [""]);
    cellsOfRows.forEach((cells, i) => {
      if (this.columns) this.emitRow(this.columns, cells, this.rowLines[i]);
      else this.columns = findColumns(this.file, cells, this.options.smilesColumn);
    });
    this.rows = [];
    this.rowLines = [];
    this.characters = 0;
  }

  private emitRow({ names, smiles, name }: Columns, cells: readonly string[], line: number): void {
    const text = (cells[smiles] ?? "").trim();
    const title = name < 0 ? "" : (cells[name] ?? "").trim();
    const place = { file: this.file, line, record: ++this.record, name: title };
    if (text === "") {
      const blankRow = cells.every((cell) => cell.trim() === "");
      this.emit(reject(place, "empty-line", blankRow ? "the line is empty" : `the cell "${names[smiles]}" is empty`));
      return;
    }
    const properties: Record<string, string> = {};
    for (let i = 0; i < names.length && i < cells.length; i++) if (i !== smiles) properties[names[i]] = cells[i];
    this.emit({ format: "smiles", text, ...place, properties });
  }
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

/** Whether a quoted cell is open at the end of the line, given whether one was at its start. A quote opens only at a cell's start. */
function endsInQuotes(line: string, delimiter: string, open: boolean): boolean {
  let quoted = open;
  let cellStart = !open;
  for (let i = 0; i < line.length; i++) {
    const character = line[i];
    if (quoted) {
      if (character !== '"') continue;
      if (line[i + 1] === '"') i++;
      else quoted = false;
    } else {
      if (character === '"' && cellStart) quoted = true;
      cellStart = character === delimiter;
    }
  }
  return quoted;
}
