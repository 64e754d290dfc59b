// Streams the molecules of Uni-Mol's LMDB databases: pickled dicts with a SMILES, atoms, conformers and labels.
import { DatasetError } from "../../errors.js";
import { LmdbFile } from "../lmdb-file.js";
import { isNumberArray, type PlainValue } from "../python/plain-values.js";
import { readPlainPickle } from "../python/read-plain.js";
import { readFailure } from "./byte-source.js";
import { cellText } from "./columns.js";
import type { ReaderOptions } from "./reader-options.js";
import { type ReadItem, reject } from "./record-parser.js";
import { smilesWithCoordinates } from "./smiles-coordinates.js";

interface Place {
  readonly file: string;
  readonly line: number;
  readonly record: number;
  readonly name: string;
}

/**
 * One record for each conformer of each entry (one without geometry where there are none), in the order of the keys;
 * `line` and `record` are the number of the entry, from 1. `smi` gives the graph, `coordinates` ([atoms, 3], Å) the geometry; `atoms` are matched to
 * the SMILES by the order of the heavy atoms. Numbers and lists of numbers become properties (`target`; `target_0`, `target_1`, ... where there are several).
 *
 * @throws DatasetError if the file is no LMDB database, or damaged
 */
export async function* readLmdb(path: string, options: ReaderOptions): AsyncGenerator<ReadItem> {
  let database: LmdbFile;
  try {
    database = await LmdbFile.open(path);
  } catch (error) {
    throw readFailure(path, error);
  }
  let entries = 0;
  try {
    for await (const { key, value } of database.entries()) {
      entries++;
      const place = { file: path, line: entries, record: entries, name: key.toString("utf8") };
      yield* entryItems(place, value, options);
      options.onBytes?.(Math.round((database.bytes * entries) / database.size), database.bytes);
    }
    if (entries === 0) throw new DatasetError(`${path}: the database has no entries`);
    options.onBytes?.(database.bytes, database.bytes);
  } finally {
    await database.close();
  }
}

function entryItems(place: Place, value: Buffer, options: ReaderOptions): readonly ReadItem[] {
  let entry: PlainValue;
  try {
    entry = readPlainPickle(value);
  } catch (error) {
    if (!(error instanceof DatasetError)) throw error;
    return [reject(place, "unparsable-record", error.message)];
  }
  if (!(entry instanceof Map)) return [reject(place, "unparsable-record", "expected a pickled dict")];
  const field = options.smilesColumn ?? "smi";
  const smiles = entry.get(field);
  if (typeof smiles !== "string" || smiles.trim() === "") {
    const has = [...entry.keys()].join(", ");
    return [reject(place, "unparsable-record", `expected a SMILES in "${field}", got the fields ${has}`)];
  }
  const properties = entryProperties(entry, field);
  const conformers = conformersOf(entry.get("coordinates"));
  const atoms = entry.get("atoms");
  if (conformers === null || (conformers.length > 0 && !isStringList(atoms))) {
    return [
      reject(
        place,
        "unparsable-record",
        'expected "atoms" and "coordinates" as lists of atoms and of [atoms, 3] arrays',
      ),
    ];
  }
  if (conformers.length === 0) return [{ format: "smiles", text: smiles, ...place, properties }];
  return conformers.map((coordinates) => {
    const matched = smilesWithCoordinates(smiles.trim(), atoms as readonly string[], coordinates);
    if ("reason" in matched) return reject(place, "unparsable-record", matched.reason);
    return { format: "smiles", text: matched.text, ...place, properties };
  });
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/** Numbers, strings and short lists of numbers. */
function entryProperties(entry: ReadonlyMap<PlainValue, PlainValue>, without: string): Record<string, string> {
  const properties: Record<string, string> = {};
  for (const [key, value] of entry) {
    if (typeof key !== "string" || key === without || key === "atoms" || key === "coordinates") continue;
    const list = isNumberArray(value) ? Array.from(value.values) : Array.isArray(value) ? value : null;
    if (list === null) {
      if (typeof value !== "object" || value === null) properties[key] = cellText(value);
    } else if (list.length === 1) {
      properties[key] = cellText(list[0]);
    } else {
      list.forEach((item, i) => {
        properties[`${key}_${i}`] = cellText(item);
      });
    }
  }
  return properties;
}

/** A list of [atoms, 3] arrays, one such array, or one [conformers, atoms, 3] array; null for anything else. */
function conformersOf(value: PlainValue | undefined): readonly (readonly number[])[] | null {
  if (value === undefined || value === null) return [];
  if (isNumberArray(value)) {
    const numbers = Array.from(value.values, Number);
    if (value.shape.length === 2 && value.shape[1] === 3) return [numbers];
    if (value.shape.length !== 3 || value.shape[2] !== 3) return null;
    const size = value.shape[1] * 3;
    return Array.from({ length: value.shape[0] }, (_, i) => numbers.slice(i * size, (i + 1) * size));
  }
  if (!Array.isArray(value)) return null;
  const conformers: (readonly number[])[] = [];
  for (const item of value) {
    const inner = isNumberArray(item) ? conformersOf(item) : conformerOfLists(item);
    if (inner?.length !== 1) return null;
    conformers.push(inner[0]);
  }
  return conformers;
}

/** Coordinates as Python lists. */
function conformerOfLists(value: unknown): readonly (readonly number[])[] | null {
  if (!Array.isArray(value)) return null;
  const triples = value.every(
    (row) => Array.isArray(row) && row.length === 3 && row.every((x) => typeof x === "number"),
  );
  return triples ? [(value as number[][]).flat()] : null;
}
