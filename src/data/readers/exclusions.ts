// Reads a list of molecules to leave out, such as QM9's uncharacterized.txt, and finds them among the records.
import type { RawRecord } from "../../chem/molecule.js";
import { DatasetError } from "../../errors.js";
import { readBytes } from "./byte-source.js";
import { LineSplitter } from "./line-splitter.js";

/** A row of the list: an index that is followed by nothing, or by columns about the molecule (SMILES, deviations). */
const INDEXED = /^\s*(\d+)(?:\s+\S+\s+\S+.*)?\s*$/;
const NAMED = /^\s*([A-Za-z]\w*_\d+)\s*$/;

/**
 * Whether a record is on the list. A line names a molecule by its number (the record's name is that number, or ends in it as `gdb_21`
 * does) or by its whole name (`gdb_21`); all else in the file is headings.
 *
 * @throws DatasetError if the file cannot be read or names no molecule
 */
export async function readExclusions(path: string): Promise<(record: RawRecord) => boolean> {
  const numbers = new Set<string>();
  const names = new Set<string>();
  const splitter = new LineSplitter(path, (line) => {
    const number = INDEXED.exec(line)?.[1];
    if (number !== undefined) numbers.add(String(Number(number)));
    const name = NAMED.exec(line)?.[1];
    if (name !== undefined) names.add(name);
  });
  for await (const chunk of readBytes(path)) splitter.push(chunk);
  splitter.end();
  if (numbers.size + names.size === 0) {
    throw new DatasetError(
      `${path}: expected lines that begin with the number of a molecule, or hold its name; got none`,
    );
  }
  return (record) => {
    const name = record.name || (record.properties["mol_id"] ?? "");
    if (names.has(name)) return true;
    const number = /^(?:[A-Za-z]\w*[_ ])?(\d+)$/.exec(name)?.[1];
    return number !== undefined && numbers.has(String(Number(number)));
  };
}
