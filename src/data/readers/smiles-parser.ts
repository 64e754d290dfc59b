// Parses a list of SMILES: one a line, optionally with a CXSMILES extension and a name after white space.
import { type Emit, type RecordParser, reject } from "./record-parser.js";

const HEADERS = new Set(["smiles", "canonical_smiles", "isomeric_smiles", "cxsmiles"]);

export function smilesParser(file: string, emit: Emit): RecordParser {
  let record = 0;
  let blankLines = 0;
  return {
    line(text, number) {
      const content = text.trim();
      if (content === "") {
        blankLines++;
        return;
      }
      // Blank lines count only once something follows: at the end of a file they mean nothing.
      for (; blankLines > 0; blankLines--) {
        emit(reject({ file, line: number - blankLines, record: ++record }, "empty-line", "the line is empty"));
      }
      if (number === 1 && HEADERS.has(content.split(/\s/, 1)[0].toLowerCase())) return;
      const [smiles, name] = splitName(content);
      emit({ format: "smiles", text: smiles, name, file, line: number, record: ++record, properties: {} });
    },
    end() {},
  };
}

/** `CCO |(0,0,0;1,0,0;2,0,0)| ethanol` → the SMILES with its extension, and the name. */
function splitName(content: string): readonly [smiles: string, name: string] {
  const gap = /\s+/.exec(content);
  if (!gap) return [content, ""];
  const rest = content.slice(gap.index + gap[0].length);
  const close = rest.startsWith("|") ? rest.indexOf("|", 1) : -1;
  if (close < 0) return [content.slice(0, gap.index), rest];
  return [`${content.slice(0, gap.index)} ${rest.slice(0, close + 1)}`, rest.slice(close + 1).trim()];
}
