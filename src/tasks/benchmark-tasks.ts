// The tasks of a benchmark: the sets of MoleculeNet in a folder, or each label of one's own molecules.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { labelledSet } from "../data/labelled-sets.js";
import { ConfigError, DatasetError } from "../errors.js";
import type { BenchmarkTask } from "./benchmark.js";
import type { PrepareOptions } from "./prepare.js";

export const MOLECULENET_SETS = [
  ...["bbbp", "bace", "clintox", "tox21", "toxcast", "sider", "hiv", "muv"],
  ...["esol", "freesolv", "lipo"],
] as const;

/** What else the files of the sets are called in copies that go around. */
const FILE_NAMES: Readonly<Record<string, readonly string[]>> = {
  esol: ["delaney", "delaney-processed"],
  freesolv: ["SAMPL"],
  lipo: ["Lipophilicity", "lipophilicity"],
  bbbp: ["BBBP"],
  hiv: ["HIV"],
  toxcast: ["toxcast_data"],
};

/** @throws DatasetError when none of the names is there */
export function fileOfSet(dataDir: string, set: string): string {
  const names = [set, ...(FILE_NAMES[set] ?? [])].flatMap((name) => [`${name}.csv`, `${name}.csv.gz`]);
  for (const folder of [dataDir, join(dataDir, set)]) {
    const found = existsSync(folder) ? names.find((name) => readdirSync(folder).includes(name)) : undefined;
    if (found) return join(folder, found);
  }
  throw new DatasetError(`${dataDir}: expected ${set} as one of ${names.join(", ")}; moleblend datasets gets it`);
}

/** @throws ConfigError for a name that is no set of MoleculeNet, DatasetError when its file is not there */
export function moleculenetTasks(dataDir: string, sets: readonly string[]): readonly BenchmarkTask[] {
  return sets.map((name) => {
    const { metric, unit = null } = labelledSet(name);
    if (!(MOLECULENET_SETS as readonly string[]).includes(name))
      throw new ConfigError(`benchmark: expected sets of MoleculeNet (${MOLECULENET_SETS.join(", ")}), got "${name}"`);
    return { name, inputs: [fileOfSet(dataDir, name)], targets: [], metric, unit, prepare: { dataset: name } };
  });
}

/** Each label is a task of its own, since errors in different units have no mean. */
export function labelTasks(
  inputs: readonly string[],
  labels: readonly string[],
  metric: string,
  prepare: PrepareOptions,
): readonly BenchmarkTask[] {
  return labels.map((name) => ({ name, inputs, targets: [name], metric, unit: null, prepare }));
}
