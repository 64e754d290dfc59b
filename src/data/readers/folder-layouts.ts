// Knows the folders that data sets come in: PCQM4Mv2 of OGB, QM9 as SDF with a table or as xyz files, Uni-Mol's LMDB databases.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatasetError } from "../../errors.js";
import { readFailure } from "./byte-source.js";
import { formatByName } from "./file-format.js";
import { type FileProgress, firstExisting, sumProgress } from "./folder-files.js";
import { readLmdb } from "./lmdb-reader.js";
import { findPcqm, type PcqmFiles, readPcqm } from "./pcqm.js";
import { readTextFile } from "./read-text-file.js";
import type { ReaderOptions } from "./reader-options.js";
import type { ReadItem } from "./record-parser.js";
import { readSdf } from "./sdf-with-table.js";

type Layout =
  | { readonly kind: "pcqm"; readonly files: PcqmFiles }
  | { readonly kind: "qm9-sdf"; readonly sdf: string; readonly table: string | null }
  | { readonly kind: "qm9-xyz"; readonly paths: readonly string[] }
  | { readonly kind: "lmdb"; readonly paths: readonly string[] };

const KNOWN = "raw/data.csv.gz (PCQM4Mv2), gdb9.sdf or dsgdb9nsd_*.xyz (QM9), *.lmdb or data.mdb (Uni-Mol)";

/** @throws DatasetError where the folder is none that is known, or the part asked for is not there */
function findLayout(folder: string, part: string | undefined): Layout {
  const files = findPcqm(folder);
  if (files) return { kind: "pcqm", files };
  const names = listFolder(folder);
  const databases = names.filter((name) => name.endsWith(".lmdb") || name === "data.mdb");
  if (databases.length > 0) return { kind: "lmdb", paths: choosePart(folder, databases, part) };
  if (part !== undefined)
    throw new DatasetError(`${folder}: part ${JSON.stringify(part)} asked for, but it has no split`);
  const sdf = firstExisting(folder, ["gdb9.sdf", "gdb9.sdf.gz"]);
  if (sdf) return { kind: "qm9-sdf", sdf, table: firstExisting(folder, ["gdb9.sdf.csv", "gdb9.sdf.csv.gz"]) };
  const molecules = names.filter((name) => formatByName(name) === "qm9-xyz").sort();
  if (molecules.length > 0) return { kind: "qm9-xyz", paths: molecules.map((name) => join(folder, name)) };
  throw new DatasetError(`${folder}: expected the folder of a data set, with ${KNOWN}; got none of these`);
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw readFailure(folder, error);
  }
}

/** `train.lmdb`, `valid.lmdb`, `test.lmdb`: all of them in this order, or the one asked for. */
function choosePart(folder: string, names: readonly string[], part: string | undefined): string[] {
  const usual = ["train.lmdb", "valid.lmdb", "test.lmdb"];
  const rank = (name: string) => (usual.indexOf(name) + usual.length + 1) % (usual.length + 1);
  const chosen = names.filter((name) => part === undefined || name === `${part}.lmdb`);
  if (chosen.length === 0) {
    throw new DatasetError(`${folder}: expected the part ${JSON.stringify(part)}, got ${names.join(", ")}`);
  }
  return chosen.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)).map((name) => join(folder, name));
}

function filesOf(layout: Layout): readonly string[] {
  switch (layout.kind) {
    case "pcqm":
      return [layout.files.table, layout.files.geometries].filter((path) => path !== null);
    case "qm9-sdf":
      return [layout.sdf, layout.table].filter((path) => path !== null);
    default:
      return layout.paths;
  }
}

/** Bytes that reading a folder will report in all. @throws DatasetError where the folder is none that is known */
export function folderBytes(folder: string, part: string | undefined): number {
  return filesOf(findLayout(folder, part)).reduce((sum, path) => sum + statSync(path).size, 0);
}

/** The records of a data set's folder. @throws DatasetError where the folder is none that is known, or a file of it is damaged */
export async function* readFolder(folder: string, options: ReaderOptions): AsyncGenerator<ReadItem> {
  const layout = findLayout(folder, options.part);
  const total = filesOf(layout).reduce((sum, path) => sum + statSync(path).size, 0);
  yield* readLayout(layout, options, sumProgress(options.onBytes, total));
}

async function* readLayout(layout: Layout, options: ReaderOptions, progress: FileProgress): AsyncGenerator<ReadItem> {
  switch (layout.kind) {
    case "pcqm":
      yield* readPcqm(layout.files, options, progress);
      return;
    case "qm9-sdf":
      yield* readSdf(layout.sdf, layout.table ?? undefined, { ...options, derive: "qm9" }, progress);
      return;
    case "qm9-xyz":
      for (const path of layout.paths) yield* readTextFile(path, { format: "qm9-xyz", onBytes: progress(path) });
      return;
    case "lmdb":
      for (const path of layout.paths) yield* readLmdb(path, { ...options, onBytes: progress(path) });
  }
}
