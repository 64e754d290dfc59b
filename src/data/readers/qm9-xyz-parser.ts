// Parses QM9's own xyz files: properties in the comment line, charges beside the coordinates, frequencies, SMILES and InChI below.
import { QM9_XYZ_COLUMNS, withQm9Energies } from "../qm9.js";
import { type Emit, type RecordParser, reject } from "./record-parser.js";

/** Lines below the atoms: frequencies, SMILES (of GDB-17, of the relaxed geometry), InChI (the same two). */
const LINES_BELOW = 3;

/**
 * The files hold no bonds: the record asks for them to be perceived from the geometry (all molecules of QM9 are neutral).
 * Properties: A, B, C, the twelve targets in the units of the files, those derived by `withQm9Energies`, `mol_id`, and the two SMILES.
 */
export function qm9XyzParser(file: string, emit: Emit): RecordParser {
  let record = 0;
  let firstLine = 0;
  let lines: string[] = [];
  let atoms = 0;
  return {
    line(text, number) {
      if (lines.length === 0) {
        if (text.trim() === "") return;
        firstLine = number;
        atoms = /^\s*\d{1,4}\s*$/.test(text) ? Number(text) : -1;
      }
      // After a line that is no number of atoms there is no telling where the next molecule begins.
      if (atoms < 0 && lines.length > 0) return;
      lines.push(text);
      if (atoms < 0 || lines.length < atoms + 2 + LINES_BELOW) return;
      emit(parseMolecule({ file, line: firstLine, record: ++record }, lines, atoms));
      lines = [];
    },
    end() {
      if (lines.length === 0) return;
      const place = { file, line: firstLine, record: ++record };
      if (atoms < 0) {
        const got = JSON.stringify(lines[0].slice(0, 40));
        emit(reject(place, "unparsable-record", `QM9 xyz: expected a number of atoms, got ${got}`));
      } else if (lines.length >= atoms + 4) {
        emit(parseMolecule(place, lines, atoms)); // only the InChI is missing
      } else {
        const got = `the file ends after ${lines.length} of ${atoms + 2 + LINES_BELOW} lines`;
        emit(reject(place, "truncated-record", `QM9 xyz: ${got}`));
      }
    },
  };
}

function parseMolecule(
  place: { readonly file: string; readonly line: number; readonly record: number },
  lines: readonly string[],
  count: number,
) {
  const [tag, index, ...values] = lines[1].trim().split(/\s+/);
  if (tag !== "gdb" || !/^\d+$/.test(index ?? "") || values.length < QM9_XYZ_COLUMNS.length) {
    const expected = `"gdb", an index and ${QM9_XYZ_COLUMNS.length} values`;
    const got = JSON.stringify(lines[1].slice(0, 40));
    return reject(place, "unparsable-record", `QM9 xyz: expected ${expected} in the second line, got ${got}`);
  }
  const name = `gdb_${index}`;
  const rows = lines.slice(2, 2 + count).map((line) => plainExponents(line).trim().split(/\s+/));
  const bad = rows.findIndex((row) => row.length < 4);
  if (bad >= 0)
    return reject({ ...place, name }, "unparsable-record", `QM9 xyz: expected "element x y z charge" for atom ${bad}`);
  const [gdbSmiles, relaxedSmiles] = lines[count + 3].trim().split(/\s+/);
  const targets = Object.fromEntries(QM9_XYZ_COLUMNS.map((column, i) => [column, plainExponents(values[i])]));
  const elements = rows.map((row) => row[0]);
  const properties = {
    ...{ mol_id: name, smiles_gdb: gdbSmiles ?? "", smiles_relaxed: relaxedSmiles ?? "" },
    ...withQm9Energies(targets, elements),
  };
  const atoms = rows.map((row) => row.slice(0, 4).join(" "));
  const text = [String(count), `name=${name} bonds="perceive" charge=0`, ...atoms].join("\n");
  return { format: "xyz" as const, text, name, ...place, properties };
}

/** QM9 writes 1.5e-6 as `1.5*^-6` in places. */
function plainExponents(text: string): string {
  return text.replaceAll("*^", "e");
}
