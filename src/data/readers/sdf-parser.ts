// Parses SD files (V2000 and V3000 MOL blocks with property tags) into records; a damaged record does not stop the rest.
import { DatasetError } from "../../errors.js";
import { type Emit, type RecordParser, reject } from "./record-parser.js";

/** No sane record is longer; without "$$$$" the rest of a file would pile up in memory. */
const MAX_RECORD_CHARACTERS = 64 << 20;

export function sdfParser(file: string, emit: Emit): RecordParser {
  let record = 0;
  let firstLine = 1;
  let block: string[] = [];
  let tags: string[] = [];
  let ends = 0; // "M  END" lines seen in this record
  let characters = 0;

  function finish(closed: boolean): void {
    const place = { file, line: firstLine, record: record + 1, name: (block[0] ?? "").trim() };
    const empty = block.every((line) => line.trim() === "");
    if (!empty || closed) {
      record++;
      if (ends === 0) {
        const how = closed ? '"$$$$" comes before "M  END"' : 'the file ends before "M  END"';
        emit(reject(place, empty ? "no-atoms" : "truncated-record", empty ? "the record is empty" : how));
      } else if (ends > 1) {
        emit(reject(place, "unparsable-record", `${ends} structures without "$$$$" between them`));
      } else {
        emit({ format: "mol", text: block.join("\n"), ...place, properties: parseTags(tags) });
      }
    }
    block = [];
    tags = [];
    ends = 0;
    characters = 0;
  }

  return {
    line(text, number) {
      if (text.startsWith("$$$$")) {
        finish(true);
        firstLine = number + 1;
        return;
      }
      characters += text.length;
      if (characters > MAX_RECORD_CHARACTERS) {
        throw new DatasetError(`${file}:${firstLine}: a record without "$$$$" after ${MAX_RECORD_CHARACTERS >> 20} MB`);
      }
      if (ends > 0) tags.push(text);
      else block.push(text);
      if (text.startsWith("M  END")) {
        if (ends === 0) block.push("");
        ends++;
      }
    },
    end() {
      finish(false);
    },
  };
}

/** `> <name>` lines, each followed by the lines of its value up to a blank line. */
function parseTags(lines: readonly string[]): Record<string, string> {
  const properties: Record<string, string> = {};
  let name: string | null = null;
  let value: string[] = [];
  const store = () => {
    if (name !== null) properties[name] = value.join("\n");
    name = null;
    value = [];
  };
  for (const line of lines) {
    const header = line.startsWith(">") ? /<([^>]*)>|\b(DT\d+)/.exec(line) : null;
    if (header) {
      store();
      name = header[1] ?? header[2];
    } else if (line.trim() === "") {
      store();
    } else if (name !== null) {
      value.push(line);
    }
  }
  store();
  return properties;
}
