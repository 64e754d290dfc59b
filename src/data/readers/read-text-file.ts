// Streams the molecules of a text file, or of an archive of text files, as records in flat memory.
import { extract } from "tar-stream";
import { DatasetError } from "../../errors.js";
import { readBytes, unpackByName } from "./byte-source.js";
import { formatByContent, formatByName, isTextFormat, type TextFormat } from "./file-format.js";
import { jsonLinesParser } from "./json-lines-parser.js";
import { LineSplitter } from "./line-splitter.js";
import { qm9XyzParser } from "./qm9-xyz-parser.js";
import type { ReaderOptions } from "./reader-options.js";
import { type Emit, isReject, type ReadItem, type RecordParser, reject } from "./record-parser.js";
import { sdfParser } from "./sdf-parser.js";
import { smilesParser } from "./smiles-parser.js";
import { tableParser } from "./table-parser.js";
import { xyzParser } from "./xyz-parser.js";

/**
 * The records of a text file: SMILES list, CSV, TSV or JSON lines with a SMILES column, SDF, XYZ, each also packed by gzip or bzip2, or
 * a tar archive of such files. Records that cannot be told apart or are cut off come as rejects; the file goes on.
 *
 * @throws DatasetError if the file cannot be read (see `readBytes`), is binary, lacks the SMILES column or breaks off in
 *   damaged gzip or bzip2; all that was readable before has been yielded by then.
 */
export async function* readTextFile(path: string, options: ReaderOptions): AsyncGenerator<ReadItem> {
  const chunks = readBytes(path, options.onBytes);
  try {
    const first = await chunks.next();
    if (first.done) throw new DatasetError(`${path}: the file is empty`);
    const named = formatByName(path);
    const format = (named === "tar" ? named : options.format) ?? named ?? formatByContent(first.value);
    if (format !== "tar" && !isTextFormat(format)) throw new DatasetError(`${path}: expected text, got ${format}`);
    const all = prepend(first.value, chunks);
    if (format === "tar") yield* readArchive(path, all, options);
    else yield* parseChunks(path, all, format, options);
  } finally {
    await chunks.return(undefined);
  }
}

async function* prepend(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

function parserOf(format: TextFormat, file: string, emit: Emit, options: ReaderOptions): RecordParser {
  const { smilesColumn, onColumns } = options;
  switch (format) {
    case "smiles":
      return smilesParser(file, emit);
    case "csv":
      return tableParser(file, emit, { smilesColumn, onColumns });
    case "tsv":
      return tableParser(file, emit, { smilesColumn, onColumns, delimiter: "\t" });
    case "sdf":
      return sdfParser(file, emit);
    case "jsonl":
      return jsonLinesParser(file, emit, smilesColumn);
    case "xyz":
      return xyzParser(file, emit);
    case "qm9-xyz":
      return qm9XyzParser(file, emit);
  }
}

async function* parseChunks(
  file: string,
  chunks: AsyncIterable<Buffer>,
  format: TextFormat,
  options: ReaderOptions,
): AsyncGenerator<ReadItem> {
  let ready: ReadItem[] = [];
  let records = 0;
  let binary = false;
  const parser = parserOf(format, file, (item) => ready.push(binary ? refuseBinary(item) : item), options);
  const splitter = new LineSplitter(file, (line, number) => parser.line(line, number));
  let started = false;
  try {
    for await (const chunk of chunks) {
      if (!started && looksBinary(chunk)) throw new DatasetError(`${file}: expected text, got binary data`);
      started = true;
      binary ||= chunk.includes(0);
      splitter.push(chunk);
      records += ready.length;
      yield* ready;
      ready = [];
    }
  } catch (error) {
    yield* ready;
    records += ready.length;
    if (error instanceof DatasetError && records > 0) {
      throw new DatasetError(`${error.message}; ${records} records before that were read`, { cause: error });
    }
    throw error;
  }
  splitter.end();
  parser.end();
  yield* ready;
}

/** Text has no zero bytes and hardly any control characters. */
function looksBinary(chunk: Buffer): boolean {
  const sample = chunk.subarray(0, 4096);
  let control = 0;
  for (const byte of sample) {
    if (byte === 0) return true;
    if (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13) control++;
  }
  return control > sample.length / 20;
}

function refuseBinary(item: ReadItem): ReadItem {
  if (isReject(item) || !item.text.includes("\0")) return item;
  return reject(item, "binary-data", "the record holds zero bytes");
}

/** Every file of an archive whose name is that of a molecule file (or all of them under a forced format). */
async function* readArchive(
  path: string,
  chunks: AsyncIterable<Buffer>,
  options: ReaderOptions,
): AsyncGenerator<ReadItem> {
  const archive = extract();
  const feeding = feed(chunks, archive);
  let found = 0;
  try {
    for await (const entry of archive) {
      const name = `${path}/${entry.header.name}`;
      const format = options.format ?? formatByName(name);
      if (entry.header.type !== "file" || format === null || format === "tar" || !isTextFormat(format)) {
        entry.resume();
        continue;
      }
      found++;
      const content = entryBytes(path, entry as AsyncIterable<Buffer>);
      yield* parseChunks(name, unpackByName(name, content), format, options);
    }
    await feeding;
  } catch (error) {
    throw archiveFailure(path, error);
  } finally {
    archive.destroy();
    await feeding;
  }
  if (found === 0) throw new DatasetError(`${path}: expected an archive of .sdf, .smi, .csv or .xyz files, found none`);
}

async function* entryBytes(path: string, entry: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* entry;
  } catch (error) {
    throw archiveFailure(path, error);
  }
}

function archiveFailure(path: string, error: unknown): DatasetError {
  if (error instanceof DatasetError) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new DatasetError(`${path}: the archive is damaged (${what})`, { cause: error });
}

/** Writes the archive's bytes into its unpacker; a failure to read them surfaces there. */
async function feed(chunks: AsyncIterable<Buffer>, archive: ReturnType<typeof extract>): Promise<void> {
  let wake = () => {};
  archive.on("drain", () => wake());
  archive.on("close", () => wake());
  try {
    for await (const chunk of chunks) {
      if (archive.destroyed) return;
      if (archive.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    archive.end(undefined);
  } catch (error) {
    archive.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}
