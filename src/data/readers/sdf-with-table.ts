// Reads SD files together with a table of their properties, row by row, and derives QM9's energies where they are asked for.
import { withQm9Energies } from "../qm9.js";
import type { FileProgress } from "./folder-files.js";
import { readTextFile } from "./read-text-file.js";
import type { ReaderOptions } from "./reader-options.js";
import { isReject, type ReadItem } from "./record-parser.js";
import { joinTable } from "./table-file.js";

/** @throws DatasetError if a file cannot be read, or the table does not fit the SD file */
export async function* readSdf(
  path: string,
  table: string | undefined,
  options: ReaderOptions,
  progress: FileProgress,
): AsyncGenerator<ReadItem> {
  const structures = readTextFile(path, { ...options, onBytes: progress(path) });
  const items = table === undefined ? structures : joinTable(structures, table, progress(table));
  for await (const item of items) {
    if (isReject(item) || options.derive !== "qm9") yield item;
    else {
      const elements = item.format === "mol" ? blockElements(item.text) : null;
      yield { ...item, properties: withQm9Energies(item.properties, elements) };
    }
  }
}

/** Element symbols of a V2000 block; null for others. */
export function blockElements(block: string): string[] | null {
  const lines = block.split("\n", 1004);
  if (!(lines[3] ?? "").includes("V2000")) return null;
  const atoms = Number.parseInt(lines[3].slice(0, 3), 10) || 0;
  return lines.slice(4, 4 + atoms).map((line) => line.slice(31, 34).trim());
}
