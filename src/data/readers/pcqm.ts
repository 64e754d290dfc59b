// Reads PCQM4Mv2 as OGB lays it out: a table of SMILES and gaps, and an SD file with geometries of its first rows.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { RawRecord } from "../../chem/molecule.js";
import { DatasetError } from "../../errors.js";
import { isNumberArray } from "../python/plain-values.js";
import { readPlainTorchFile } from "../python/read-plain.js";
import { type FileProgress, firstExisting } from "./folder-files.js";
import { readTextFile } from "./read-text-file.js";
import type { ReaderOptions } from "./reader-options.js";
import { isReject, type ReadItem, reject } from "./record-parser.js";
import { blockElements } from "./sdf-with-table.js";
import { smilesElements } from "./smiles-coordinates.js";
import { readRows, type TableRow } from "./table-file.js";

/** HOMO-LUMO gap in eV; the rows of the hidden test sets have none. */
export const PCQM_LABEL = "homolumogap";

export interface PcqmFiles {
  /** Columns idx, smiles, homolumogap. */
  readonly table: string;
  /** Record i is row i of the table; rows beyond it are 2D only. */
  readonly geometries: string | null;
  readonly split: string | null;
}

/** The files of the data set in a folder, or null where it is something else. */
export function findPcqm(folder: string): PcqmFiles | null {
  const table = firstExisting(folder, ["raw/data.csv.gz", "raw/data.csv", "data.csv.gz", "data.csv"]);
  if (!table) return null;
  const endings = ["", ".gz", ".tar.gz", ".tgz"].map((ending) => `pcqm4m-v2-train.sdf${ending}`);
  // The download lies beside the folder that OGB makes.
  const places = [...endings, ...endings.map((name) => `raw/${name}`), ...endings.map((name) => `../${name}`)];
  const split = join(folder, "split_dict.pt");
  return { table, geometries: firstExisting(folder, places), split: existsSync(split) ? split : null };
}

/**
 * One record for each row, in order: with the structure and geometry of the SD file where it has one, else from the SMILES.
 * Memory: one byte a row where a part is asked for, nothing else that grows.
 *
 * @throws DatasetError if the SD file has more records than the table has rows, or a part is asked for that the split does not have
 */
export async function* readPcqm(
  files: PcqmFiles,
  options: ReaderOptions,
  progress: FileProgress,
): AsyncGenerator<ReadItem> {
  const wanted = options.part === undefined ? null : rowsOfPart(files, options.part);
  const geometries = files.geometries
    ? readTextFile(files.geometries, { format: "sdf", onBytes: progress(files.geometries) })
    : null;
  options.onColumns?.(["idx", "smiles", PCQM_LABEL]);
  let row = 0;
  let more = geometries !== null;
  try {
    for await (const cells of readRows(files.table, progress(files.table))) {
      const geometry = more ? await geometries?.next() : undefined;
      more &&= !geometry?.done;
      if (wanted?.(row) ?? true) yield rowRecord(files.table, cells, row, geometry?.value);
      row++;
    }
    if (more && !(await geometries?.next())?.done) {
      throw new DatasetError(`${files.geometries}: expected at most the ${row} records that ${files.table} has rows`);
    }
    if (row === 0) throw new DatasetError(`${files.table}: expected rows, got none`);
  } finally {
    await geometries?.return(undefined);
  }
}

function rowRecord(table: string, { cells, line }: TableRow, row: number, geometry: ReadItem | undefined): ReadItem {
  const place = { file: table, line, record: row + 1, name: cells["idx"] ?? "" };
  const smiles = (cells["smiles"] ?? "").trim();
  if (cells["idx"] !== String(row)) {
    return reject(
      place,
      "unparsable-record",
      `expected the row of index ${row}, got ${JSON.stringify(cells["idx"] ?? "")}`,
    );
  }
  if (!geometry) {
    if (smiles === "") return reject(place, "empty-line", 'the cell "smiles" is empty');
    return { format: "smiles", text: smiles, ...place, properties: cells };
  }
  if (isReject(geometry)) return { ...geometry, name: place.name };
  const { file, line: blockLine } = geometry;
  const record: RawRecord = { ...geometry, record: row + 1, name: place.name, properties: cells };
  const [inTable, inBlock] = [heavyAtoms(smilesElements(smiles)), heavyAtoms(blockElements(geometry.text) ?? [])];
  if (inTable === inBlock) return record;
  const reason = `its row in ${table} has the heavy atoms ${inTable}, the structure ${inBlock}`;
  return reject({ ...place, file, line: blockLine }, "unparsable-record", reason);
}

/** `C9 N2 O1` */
function heavyAtoms(elements: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const element of elements) if (element !== "H") counts.set(element, (counts.get(element) ?? 0) + 1);
  return [...counts]
    .map(([element, count]) => element + count)
    .sort()
    .join(" ");
}

/** Whether a row belongs to a part of `split_dict.pt`. */
function rowsOfPart(files: PcqmFiles, part: string): (row: number) => boolean {
  if (!files.split)
    throw new DatasetError(`${files.table}: part ${JSON.stringify(part)} asked for, but there is no split_dict.pt`);
  const split = readPlainTorchFile(readFileSync(files.split), files.split);
  const rows = split instanceof Map ? split.get(part) : undefined;
  if (!isNumberArray(rows)) {
    const has = split instanceof Map ? [...split.keys()].join(", ") : "no parts";
    throw new DatasetError(`${files.split}: expected the part ${JSON.stringify(part)}, got ${has}`);
  }
  const { values } = rows;
  let highest = -1;
  for (let i = 0; i < values.length; i++) highest = Math.max(highest, Number(values[i]));
  const member = new Uint8Array(highest + 1);
  for (let i = 0; i < values.length; i++) member[Number(values[i])] = 1;
  return (row) => member[row] === 1;
}
