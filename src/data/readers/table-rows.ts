// Cuts the lines of a CSV or TSV file into rows of cells, keeping quoted cells with line breaks together.
import Papa from "papaparse";
import { DatasetError } from "../../errors.js";

/** Rows are handed to the CSV library in lots of about this many characters. */
const LOT_CHARACTERS = 1 << 18;
const MAX_ROW_CHARACTERS = 4 << 20;

/** What is done with the rows; `line` is where the row begins. A blank line between rows is a row with one empty cell. */
export interface RowHandler {
  header(cells: readonly string[]): void;
  row(cells: readonly string[], line: number): void;
  /** The file ends within a quoted cell. */
  unclosed(line: number): void;
}

/** @throws DatasetError from `line` if a quote stays open for 4 MB */
export class TableRows {
  private delimiter: string;
  private started = false;
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

  /** @param delimiter "" for the likeliest in the header */
  constructor(
    private readonly file: string,
    delimiter: string,
    private readonly handler: RowHandler,
  ) {
    this.delimiter = delimiter;
  }

  line(text: string, number: number): void {
    if (!this.delimiter && text.trim() !== "") this.delimiter = guessDelimiter(text);
    const wasOpen = this.open.length > 0;
    const staysOpen = wasOpen || text.includes('"') ? endsInQuotes(text, this.delimiter, wasOpen) : false;
    if (!wasOpen && !staysOpen) {
      this.add(text, number);
      return;
    }
    if (!wasOpen) this.openLine = number;
    this.open.push(text);
    this.openCharacters += text.length;
    if (!staysOpen) {
      this.add(this.open.join("\n"), this.openLine);
      this.open = [];
      this.openCharacters = 0;
    } else if (this.openCharacters > MAX_ROW_CHARACTERS) {
      this.flush();
      throw new DatasetError(`${this.file}:${this.openLine}: a quote opens here and does not close`);
    }
  }

  end(): void {
    this.flush();
    if (this.open.length > 0) this.handler.unclosed(this.openLine);
  }

  private add(text: string, line: number): void {
    if (text.trim() === "") {
      if (this.started) this.blank.push(line);
      return;
    }
    for (const blankLine of this.blank) this.queue("", blankLine);
    this.blank = [];
    this.queue(text, line);
    if (this.characters > LOT_CHARACTERS || !this.started) this.flush();
  }

  private queue(text: string, line: number): void {
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
    const lines = this.rowLines;
    this.rows = [];
    this.rowLines = [];
    this.characters = 0;
    cellsOfRows.forEach((cells, i) => {
      if (this.started) this.handler.row(cells, lines[i]);
      else this.handler.header(cells.map((cell) => cell.trim()));
      this.started = true;
    });
  }
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
