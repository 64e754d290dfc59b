// Parses XYZ files into records; after a damaged one it goes on at the next line that is a number of atoms.
import { type Emit, type RecordParser, reject } from "./record-parser.js";

const COUNT = /^\s*(\d{1,7})\s*$/;

export function xyzParser(file: string, emit: Emit): RecordParser {
  let record = 0;
  let firstLine = 0;
  let lines: string[] = [];
  let wanted = 0;
  let lost = false;

  function start(text: string, number: number): void {
    const count = COUNT.exec(text);
    if (count) {
      lost = false;
      firstLine = number;
      lines = [text];
      wanted = Number(count[1]) + 2;
    } else if (text.trim() !== "" && !lost) {
      lost = true;
      const got = JSON.stringify(text.slice(0, 40));
      emit(
        reject({ file, line: number, record: ++record }, "unparsable-record", `expected a number of atoms, got ${got}`),
      );
    }
  }

  function finish(): void {
    const properties = parseComment(lines[1] ?? "");
    const name = properties["name"] ?? properties["Name"] ?? "";
    emit({ format: "xyz", text: lines.join("\n"), name, file, line: firstLine, record: ++record, properties });
    wanted = 0;
  }

  return {
    line(text, number) {
      if (wanted === 0) {
        start(text, number);
        return;
      }
      if (lines.length >= 2 && COUNT.test(text)) {
        const reason = `${lines.length - 2} of ${wanted - 2} atoms before the next record`;
        emit(reject({ file, line: firstLine, record: ++record }, "truncated-record", reason));
        start(text, number);
        return;
      }
      lines.push(text);
      if (lines.length === wanted) finish();
    },
    end() {
      if (wanted === 0) return;
      const reason = `the file ends after ${Math.max(0, lines.length - 2)} of ${wanted - 2} atoms`;
      emit(reject({ file, line: firstLine, record: ++record }, "truncated-record", reason));
    },
  };
}

/** The `key=value` and `key="a value"` pairs of an extended-XYZ comment line. */
function parseComment(comment: string): Record<string, string> {
  const properties: Record<string, string> = {};
  for (const match of comment.matchAll(/([A-Za-z_][\w.-]*)=(?:"([^"]*)"|(\S+))/g)) {
    properties[match[1]] = match[2] ?? match[3];
  }
  return properties;
}
