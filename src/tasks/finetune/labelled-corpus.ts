// What a user names as labelled data → an open corpus and the targets in it, with the reasons where that cannot be.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { RawRecord } from "../../chem/molecule.js";
import { type Corpus, openCorpus } from "../../data/corpus.js";
import { isCorpus, REJECTS_FILE } from "../../data/manifest.js";
import { isReject, type ReaderOptions, readRecords, tableColumns } from "../../data/readers/index.js";
import { ConfigError, DatasetError, formatLocation } from "../../errors.js";
import { corpusFromInput } from "../corpus-input.js";
import type { PrepareOptions, PrepareSummary } from "../prepare.js";
import { resolveInputs } from "../resolve-inputs.js";

export interface LabelledCorpus {
  readonly corpus: Corpus;
  readonly targets: readonly string[];
  readonly reader: ReaderOptions;
  readonly prepared: PrepareSummary | null;
}

export interface LabelledInput {
  /** A prepared corpus, or files of molecules. */
  readonly inputs: readonly string[];
  /** Columns or tags to predict; by default those of a data set that is known, or all labels of a prepared corpus. */
  readonly targets: readonly string[];
  /** Where files are prepared to. */
  readonly cacheDir: string;
  readonly prepare?: PrepareOptions;
}

/**
 * @throws ConfigError when no target is named
 * @throws DatasetError when a target is no column, or holds text where numbers are needed
 */
export async function openLabelled({
  inputs,
  targets,
  cacheDir,
  prepare = {},
}: LabelledInput): Promise<LabelledCorpus> {
  if (inputs.length === 0) throw new ConfigError("expected a file of labelled molecules or a corpus, got none");
  if (inputs.length === 1 && isCorpus(inputs[0])) {
    const corpus = await openCorpus(inputs[0]);
    const names = targets.length > 0 ? targets : corpus.labelNames;
    if (names.length === 0) throw new DatasetError(`${inputs[0]}: this corpus has no labels; prepare it with --labels`);
    for (const name of names) corpus.labelColumn(name);
    await refuseText(corpus, names, prepare.reader ?? {});
    return { corpus, targets: names, reader: prepare.reader ?? {}, prepared: null };
  }
  const { dataset: _, ...options } = prepare;
  const { labels, reader } = await resolveInputs(inputs, { ...prepare, labels: targets });
  if (labels.length === 0) throw new ConfigError(await noTarget(inputs, reader));
  const { corpus, prepared } = await corpusFromInput(inputs, cacheDir, { ...options, labels, reader });
  await refuseText(corpus, labels, reader);
  return { corpus, targets: labels, reader, prepared };
}

async function noTarget(inputs: readonly string[], reader: ReaderOptions): Promise<string> {
  const columns = await tableColumns(inputs[0], reader.format);
  const there = columns ? `; ${inputs[0]} has the columns ${columns.slice(0, 40).join(", ")}` : "";
  return `no target: name the columns to predict (--targets), or the data set if it is a known one (--dataset)${there}`;
}

/** The records that became the rows of a corpus, in order. @throws DatasetError when its files are not those it was made of */
export async function* rowRecords(
  corpus: Corpus,
  reader: ReaderOptions,
  properties?: readonly string[],
): AsyncGenerator<RawRecord> {
  const rejected = new Set<string>();
  const key = ({ file, line, record }: { file: string; line: number; record: number }) => `${file}\n${line}\n${record}`;
  for (const line of readFileSync(join(corpus.dir, REJECTS_FILE), "utf8").split("\n")) {
    if (line) rejected.add(key(JSON.parse(line) as RawRecord));
  }
  let rows = 0;
  for (const { path, records } of corpus.manifest.sources) {
    let read = 0;
    for await (const item of readRecords(path, { ...reader, ...(properties ? { properties } : {}) })) {
      if (++read > records) break;
      if (isReject(item) || rejected.has(key(item))) continue;
      rows++;
      yield item;
    }
  }
  if (rows !== corpus.size) {
    throw new DatasetError(
      `${corpus.dir}: expected its files to give ${corpus.size} molecules again, got ${rows}; prepare them anew`,
    );
  }
}

/** @throws DatasetError for a label that is text, with its place */
async function refuseText(corpus: Corpus, targets: readonly string[], reader: ReaderOptions): Promise<void> {
  const count = corpus.manifest.notes["unparsable-label"] ?? 0;
  if (count === 0) return;
  const gone = corpus.manifest.sources.find(({ path }) => !existsSync(path));
  if (gone) {
    throw new DatasetError(
      `${corpus.dir}: ${count} labels are text where numbers are needed; mend them in ${gone.path} and prepare it again`,
    );
  }
  const columns = targets.map((name) => corpus.labelColumn(name));
  let row = 0;
  for await (const record of rowRecords(corpus, reader)) {
    const at = row++;
    for (const [t, name] of targets.entries()) {
      const text = (record.properties[name] ?? "").trim();
      if (!Number.isNaN(columns[t][at]) || /^(|nan|n\/?a|null|none)$/i.test(text)) continue;
      throw new DatasetError(
        `${formatLocation(record)}: target "${name}": expected a number, got ${JSON.stringify(text)} (${count} such labels in all); write classes as 0 and 1 (or 0, 1, 2, ... with --kind classes), and leave missing labels empty`,
      );
    }
  }
}
