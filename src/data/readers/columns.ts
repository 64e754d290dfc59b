// Which column of a table holds the SMILES and which the name, and how a row becomes a record; for every kind of table.
import { DatasetError } from "../../errors.js";
import { type ReadItem, reject } from "./record-parser.js";

/** Names a SMILES column goes by, the likeliest first. */
const SMILES_COLUMNS = [
  "smiles",
  "canonical_smiles",
  "isomeric_smiles",
  "cxsmiles",
  "rdkit_smiles",
  "structure",
  "smi",
  "mol",
];
const NAME_COLUMNS = ["name", "title", "id", "compound_id", "mol_id", "cmpdname", "molecule_chembl_id", "zinc_id"];

/** The columns of a table, and the numbers of those with a meaning of their own. */
export interface Columns {
  readonly names: readonly string[];
  readonly smiles: number;
  /** -1 where there is none. */
  readonly name: number;
}

/** @throws DatasetError if there is no SMILES column, or not the one asked for */
export function findColumns(file: string, names: readonly string[], wanted: string | undefined): Columns {
  const columns = tryColumns(names, wanted);
  if (columns) return columns;
  const what = wanted === undefined ? "a SMILES column" : `the column "${wanted}"`;
  const has = names.slice(0, 40).join(", ") + (names.length > 40 ? `, ... (${names.length} in all)` : "");
  throw new DatasetError(`${file}: expected ${what}, got the columns ${has}`);
}

/** The same, or null where there is no SMILES column. */
export function tryColumns(names: readonly string[], wanted: string | undefined): Columns | null {
  const lower = names.map((name) => name.toLowerCase());
  const first = (candidates: readonly string[]) => {
    const found = candidates.find((candidate) => lower.includes(candidate));
    return found === undefined ? -1 : lower.indexOf(found);
  };
  const smiles = wanted === undefined ? first(SMILES_COLUMNS) : names.indexOf(wanted);
  return smiles < 0 ? null : { names, smiles, name: first(NAME_COLUMNS) };
}

/** The record of a row, or the reject of one without a structure. Cells beyond the columns are left out. */
export function rowItem(
  { names, smiles, name }: Columns,
  cells: readonly string[],
  place: { readonly file: string; readonly line: number; readonly record: number },
): ReadItem {
  const text = (cells[smiles] ?? "").trim();
  const named = { ...place, name: name < 0 ? "" : (cells[name] ?? "").trim() };
  if (text === "") {
    const blankRow = cells.every((cell) => cell.trim() === "");
    return reject(named, "empty-line", blankRow ? "the line is empty" : `the cell "${names[smiles]}" is empty`);
  }
  return { format: "smiles", text, ...named, properties: cellProperties(names, cells, smiles) };
}

/** The cells of a row by the names of their columns. */
export function cellProperties(
  names: readonly string[],
  cells: readonly string[],
  without = -1,
): Record<string, string> {
  const properties: Record<string, string> = {};
  for (let i = 0; i < names.length && i < cells.length; i++) if (i !== without) properties[names[i]] = cells[i];
  return properties;
}

/** A typed value as the cell of a table: missing is empty, true and false are 1 and 0, lists and records are JSON. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "1" : "0";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? String(inner) : inner));
}
