// Fetches a public data set into a folder of its own, ready for `prepare`.

import { join } from "node:path";
import { type Dataset, findDataset } from "../data/datasets.js";
import { type Downloaded, type DownloadOptions, type DownloadProgress, download } from "../data/download/download.js";
import { unpackArchive } from "../data/download/unpack-archive.js";

export interface GetDatasetOptions extends Omit<DownloadOptions, "expected" | "onProgress"> {
  readonly onProgress?: (file: string, progress: DownloadProgress) => void;
  /** Told before a file is unpacked. */
  readonly onUnpack?: (file: string) => void;
}

export interface GetDatasetSummary {
  readonly name: string;
  readonly folder: string;
  readonly files: readonly (Downloaded & { readonly url: string; readonly unpacked: readonly string[] })[];
  /** The command line that makes a corpus of it. */
  readonly prepare: readonly string[];
}

/**
 * Downloads every file of a data set into `dir/name` (see `download` for what happens when it is interrupted) and unpacks
 * archives there. Files that are there already are checked and kept.
 *
 * @throws ConfigError for a data set that is not known
 * @throws DatasetError where a file cannot be fetched, written or unpacked, or is not what was expected
 */
export async function getDataset(
  name: string | Dataset,
  dir: string,
  options: GetDatasetOptions = {},
): Promise<GetDatasetSummary> {
  const dataset = typeof name === "string" ? findDataset(name) : name;
  const folder = join(dir, dataset.name);
  const { onProgress, onUnpack, ...settings } = options;
  const files: GetDatasetSummary["files"][number][] = [];
  for (const { url, file, unpack, bytes, sha256, md5 } of dataset.files) {
    const path = join(folder, file);
    const expected = {
      ...(bytes === undefined ? {} : { bytes }),
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(md5 === undefined ? {} : { md5 }),
    };
    const report = onProgress && { onProgress: (progress: DownloadProgress) => onProgress(file, progress) };
    const downloaded = await download(url, path, { ...settings, ...report, expected });
    if (unpack) onUnpack?.(file);
    files.push({ ...downloaded, url, unpacked: unpack ? await unpackArchive(path, unpack, folder) : [] });
  }
  return { name: dataset.name, folder, files, prepare: prepareCommand(dataset, folder) };
}

/** Options that name a file of the set get its folder in front. */
function prepareCommand({ name, input, files, options }: Dataset, folder: string): readonly string[] {
  const paths = options.map((option) => (files.some(({ file }) => file === option) ? join(folder, option) : option));
  return ["moleblend", "prepare", join(folder, input), ...paths, "--out", `${name}-corpus`];
}
