// moleblend datasets: the public data sets that can be downloaded, and their download.
import type { Command } from "commander";
import { DATASETS, type Dataset } from "../../data/datasets.js";
import { LABELLED_SETS } from "../../data/labelled-sets.js";
import { getDataset } from "../../tasks/get-dataset.js";
import { createProgress, type Progress } from "../../train/progress.js";
import { alignColumns, printJson, printLines, printRemark, shellWord, thousands } from "../output.js";
import { listenForStop } from "../stop-request.js";

interface GetFlags {
  readonly dir: string;
  readonly quiet?: true;
  readonly json?: true;
}

export function addDatasetsCommand(program: Command): void {
  const command = program
    .command("datasets")
    .summary("list public data sets, or download one")
    .description("Lists the public data sets that this version knows, or downloads one of them.")
    .option("--json", "print one JSON document on stdout")
    .action((flags: { readonly json?: true }) => list(flags.json === true));
  command
    .command("list")
    .description("Lists the data sets with their licences.")
    .option("--json", "print one JSON document on stdout")
    .action((_, self: Command) => list(self.optsWithGlobals<{ json?: true }>().json === true));
  command
    .command("get")
    .description(
      "Downloads a data set. What is interrupted goes on from there the next time. Proxies are taken from HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
    )
    .argument("<name>", "name of the data set, as `moleblend datasets` lists it")
    .option("--dir <folder>", "folder in which the set gets a folder of its own", "datasets")
    .option("-q, --quiet", "no progress")
    .option("--json", "print one JSON document on stdout")
    .action((name: string, _, self: Command) => fetchSet(name, self.optsWithGlobals<GetFlags>()));
}

function list(json: boolean): void {
  if (json) {
    printJson(DATASETS);
    return;
  }
  const rows = DATASETS.map((dataset) => [
    dataset.name,
    thousands(LABELLED_SETS.find((set) => set.name === dataset.name)?.molecules ?? 0),
    dataset.verified ? "verified" : "unverified",
    dataset.title,
  ]);
  printLines([
    ...alignColumns([["name", "molecules", "addresses", "what"], ...rows], 1),
    "",
    "unverified: the address was not tried when this version was made; it may have moved.",
    "Licences and addresses: moleblend datasets list --json",
  ]);
}

async function fetchSet(name: string, flags: GetFlags): Promise<void> {
  const stop = listenForStop("ending; the next call goes on from there");
  const bars = progressBars(flags.quiet === true);
  try {
    const known = DATASETS.find((dataset) => dataset.name === name.toLowerCase());
    if (known) announce(known);
    const summary = await getDataset(name, flags.dir, {
      signal: stop.signal,
      onProgress: bars.onProgress,
      onUnpack: (file) => {
        bars.finish();
        printRemark(`unpacking ${file}`);
      },
    });
    bars.finish();
    if (flags.json) printJson(summary);
    else {
      const rows = summary.files.map(({ path, bytes, sha256, present }) => [
        path,
        `${thousands(bytes)} bytes`,
        present ? "was there" : "fetched",
        `sha256 ${sha256}`,
      ]);
      printLines([...alignColumns(rows), `next: ${summary.prepare.map(shellWord).join(" ")}`]);
    }
  } catch (error) {
    bars.finish();
    if (!stop.requested()) throw error;
    process.exitCode = stop.exitCode();
  } finally {
    stop.dispose();
  }
}

function announce({ title, licence, home, verified, files }: Dataset): void {
  printRemark(`${title}\nlicence: ${licence}\n${home}`);
  const unchecked = files.filter((file) => !file.sha256 && !file.md5).map(({ file }) => file);
  if (!verified) printRemark("These addresses were not tried when this version was made; they may have moved.");
  if (unchecked.length > 0) printRemark(`no checksum is known of ${unchecked.join(", ")}`);
}

function progressBars(quiet: boolean): {
  onProgress(file: string, progress: { readonly bytes: number; readonly totalBytes: number | null }): void;
  finish(): void;
} {
  let bar: Progress | null = null;
  let current = "";
  let shown = 0;
  const kilobytes = (bytes: number) => Math.ceil(bytes / 1000);
  return {
    onProgress(file, { bytes, totalBytes }) {
      if (quiet || totalBytes === null) return;
      if (file !== current) {
        bar?.finish();
        bar = createProgress({
          label: file,
          total: kilobytes(totalBytes),
          stepUnit: "kB",
          unit: "kB",
          stream: process.stderr,
        });
        current = file;
        shown = bytes;
      }
      bar?.update(kilobytes(bytes), {}, (bytes - shown) / 1000);
      shown = bytes;
    },
    finish() {
      bar?.finish();
      bar = null;
      current = "";
    },
  };
}
