// Reads the inputs of a job one after another in batches of records, and knows how far it is and what was damaged.

import type { RawRecord } from "../chem/molecule.js";
import type { SourceFile } from "../data/manifest.js";
import { readExclusions } from "../data/readers/exclusions.js";
import { inputBytes, isReject, type ReaderOptions, type ReadItem, readRecords } from "../data/readers/index.js";
import { DatasetError } from "../errors.js";

export interface InputOptions {
  readonly labels: readonly string[];
  readonly reader: ReaderOptions;
  /** File that lists molecules to leave out. */
  readonly exclude?: string | undefined;
  /** Records that travel to a thread together. */
  readonly batchRecords?: number;
}

/** Records of a batch by default, and the characters of text at which a batch is full before that. */
const BATCH_RECORDS = 256;
const BATCH_CHARACTERS = 2 ** 20;

export class InputReader {
  readonly sources: SourceFile[] = [];
  private file = "";
  private fileBytes = 0;
  private finishedBytes = 0;
  private readonly totalBytes: number;

  constructor(
    private readonly inputs: readonly string[],
    private readonly options: InputOptions,
  ) {
    this.totalBytes = inputs.reduce((sum, path) => sum + inputBytes(path, options.reader), 0);
  }

  get records(): number {
    return this.sources.reduce((sum, source) => sum + source.records, 0);
  }

  progress(): { readonly file: string; readonly bytes: number; readonly totalBytes: number } {
    return { file: this.file, bytes: this.finishedBytes + this.fileBytes, totalBytes: this.totalBytes };
  }

  /** @throws DatasetError when an input yields nothing at all, or lacks a label */
  async *batches(): AsyncGenerator<ReadItem[]> {
    const excluded = this.options.exclude === undefined ? null : await readExclusions(this.options.exclude);
    for (const path of this.inputs) {
      this.file = path;
      this.fileBytes = 0;
      yield* this.batchesOf(path, excluded);
      this.finishedBytes += inputBytes(path, this.options.reader);
      this.fileBytes = 0;
    }
  }

  private async *batchesOf(
    path: string,
    excluded: ((record: RawRecord) => boolean) | null,
  ): AsyncGenerator<ReadItem[]> {
    const { labels, reader, batchRecords = BATCH_RECORDS } = this.options;
    const probe = new LabelProbe(path, labels);
    const items = readRecords(path, {
      ...reader,
      properties: labels,
      onBytes: (read) => {
        this.fileBytes = read;
      },
      onColumns: (columns) => probe.columns(columns),
    });
    let batch: ReadItem[] = [];
    let characters = 0;
    let records = 0;
    let damage: string | undefined;
    try {
      for (;;) {
        const next = await nextItem(items, records, probe);
        if ("damage" in next) damage = next.damage;
        if (!("item" in next)) break;
        const { item } = next;
        records++;
        if (!isReject(item)) {
          probe.see(item.properties);
          characters += item.text.length;
        }
        batch.push(toBatch(item, labels, excluded));
        if (batch.length >= batchRecords || characters >= BATCH_CHARACTERS) {
          yield batch;
          batch = [];
          characters = 0;
        }
      }
    } finally {
      await items.return(undefined);
    }
    probe.end();
    const bytes = inputBytes(path, reader);
    this.sources.push({ path, bytes, records, ...(damage === undefined ? {} : { damage }) });
    if (batch.length > 0) yield batch;
  }
}

/** The next item; or nothing at the end, with the reason where that comes too early. A file that gives nothing at all is an error. */
async function nextItem(
  items: AsyncGenerator<ReadItem>,
  before: number,
  probe: LabelProbe,
): Promise<{ readonly item: ReadItem } | { readonly damage: string } | Record<string, never>> {
  try {
    const next = await items.next();
    return next.done ? {} : { item: next.value };
  } catch (error) {
    if (!(error instanceof DatasetError) || before === 0 || probe.failed) throw error;
    return { damage: error.message };
  }
}

function toBatch(
  item: ReadItem,
  labels: readonly string[],
  excluded: ((record: RawRecord) => boolean) | null,
): ReadItem {
  if (isReject(item)) return item;
  if (excluded?.(item)) {
    const { file, line, record, name } = item;
    return { file, line, record, name, code: "excluded", reason: "it is on the list of molecules to leave out" };
  }
  return { ...item, properties: pick(item.properties, labels) };
}

/**
 * Notices a label that a file does not have: at once where the file is a table, at its end where every record may have tags of
 * its own.
 */
class LabelProbe {
  private readonly missing: Set<string>;
  private readonly seen = new Set<string>();
  private records = 0;
  /** Whether an error of its own was thrown. */
  failed = false;

  constructor(
    private readonly path: string,
    labels: readonly string[],
  ) {
    this.missing = new Set(labels);
  }

  /** @throws DatasetError when a label is none of the columns */
  columns(names: readonly string[]): void {
    this.found(names);
    this.records++;
    this.end();
  }

  see(properties: Readonly<Record<string, string>>): void {
    this.records++;
    if (this.missing.size > 0) this.found(Object.keys(properties));
  }

  /** @throws DatasetError when records were seen and none had some label */
  end(): void {
    if (this.missing.size === 0 || this.records === 0) return;
    this.failed = true;
    const missing = [...this.missing].map((name) => JSON.stringify(name)).join(", ");
    const existing = this.seen.size > 0 ? [...this.seen].join(", ") : "none at all";
    throw new DatasetError(`${this.path}: label ${missing}: expected one of its columns or tags, got ${existing}`);
  }

  private found(names: readonly string[]): void {
    for (const name of names) {
      this.seen.add(name);
      this.missing.delete(name);
    }
  }
}

function pick(properties: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) if (properties[name] !== undefined) picked[name] = properties[name];
  return picked;
}
