// Compares official checkpoints, tensor by tensor, with recorded checksums: as they are read, and after a round trip.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { entriesOf, isKind, lookUp, type PythonValue } from "../../data/python/python-values.js";
import { encodeTorchFile } from "../../data/python/torch-writer.js";
import { bytesSource } from "../../data/random-access.js";
import { exportKept } from "../../train/fairseq/export-kept.js";
import { keptFile } from "../../train/fairseq/export-source.js";
import { mapOfficial } from "../../train/fairseq/imported.js";
import type { KeptReference } from "../../train/fairseq/kept.js";
import { openOfficialFile } from "../../train/fairseq/official-file.js";
import { type OfficialState, readOfficialState } from "../../train/fairseq/official-state.js";
import { settingsOf } from "../../train/fairseq/settings.js";
import { encodeSafetensors, openSafetensors } from "../../train/safetensors.js";
import { openByteSource } from "../../train/safetensors-file.js";
import type { Comparison } from "./comparison.js";

interface TensorRecord {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
}

/** What the manifest says of one file. */
interface FileRecord {
  readonly top_level_keys: readonly string[];
  readonly num_updates: number;
  readonly model: Readonly<Record<string, TensorRecord>>;
  readonly optimizer?: {
    readonly state: Readonly<Record<string, Readonly<Record<"exp_avg" | "exp_avg_sq", string> & { step: number }>>>;
    readonly parameter_order: readonly string[];
  };
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Names of whatever is not as the manifest says. */
function differences(root: PythonValue, state: OfficialState, expected: FileRecord): string[] {
  const wrong: string[] = [];
  for (const name of new Set([...Object.keys(expected.model), ...state.model.keys()])) {
    const record = expected.model[name];
    const tensor = state.model.get(name);
    const same =
      tensor?.type === record?.dtype &&
      tensor?.shape.join() === record?.shape.join() &&
      record?.sha256 === sha256(tensor?.read() ?? new Uint8Array());
    if (!same) wrong.push(name);
  }
  for (const [index, record] of Object.entries(expected.optimizer?.state ?? {})) {
    const owner = entriesOf(lookUp(root, "last_optimizer_state", "state"))?.find(([key]) => String(key) === index)?.[1];
    for (const key of ["exp_avg", "exp_avg_sq"] as const) {
      const tensor = lookUp(owner, key);
      if (!isKind(tensor, "tensor") || sha256(tensor.read()) !== record[key]) wrong.push(`state ${index} ${key}`);
    }
    if (lookUp(owner, "step") !== record.step) wrong.push(`state ${index} step`);
  }
  const owners = [...new Set(state.moments.flatMap(({ names }) => names))];
  if (owners.join() !== (expected.optimizer?.parameter_order ?? []).join())
    wrong.push("order of the optimizer's parameters");
  if (state.step !== expected.num_updates) wrong.push("number of updates");
  if (
    entriesOf(root)
      ?.map(([key]) => key)
      .join() !== expected.top_level_keys.join()
  )
    wrong.push("entries of the file");
  return wrong;
}

/** Imported and exported in memory: the file as it is written back. */
function roundTrip(state: OfficialState, file: string): PythonValue {
  const imported = mapOfficial(state, file);
  const reference: KeptReference = {
    format: 1,
    source: { file, sha256: "", format: "zip" },
    step: state.step,
    value: imported.kept.value,
  };
  const tensors = Buffer.concat(encodeSafetensors(imported.kept.tensors));
  const kept = keptFile(reference, openSafetensors(bytesSource(tensors, file)));
  const { step, epoch } = state;
  const { config } = imported;
  const { root } = exportKept({ ...imported, settings: settingsOf(state.root, config), step, epoch }, kept);
  return openOfficialFile(bytesSource(Buffer.concat([...encodeTorchFile(root)]), file)).value;
}

function checkFile(path: string, label: string, expected: FileRecord): Comparison[] {
  const { source, close } = openByteSource(path);
  const outcome = (name: string, wrong: readonly string[]): Comparison => ({
    name: `${label} ${name}`,
    error: wrong.length,
    tolerance: 0,
    kind: "equal",
    note: wrong.slice(0, 3).join(", ") || `${Object.keys(expected.model).length} tensors by SHA-256`,
  });
  try {
    const root = openOfficialFile(source).value;
    const state = readOfficialState(root, path);
    const back = roundTrip(state, path);
    return [
      outcome("read", differences(root, state, expected)),
      outcome("imported and exported", differences(back, readOfficialState(back, path), expected)),
    ];
  } finally {
    close();
  }
}

/** Checks every file of a manifest; one that is not in the folder is skipped. */
export function checkCheckpoints(dir: string, label: string): Comparison[] {
  const manifest = JSON.parse(readFileSync(join(dir, "manifest.json"), "utf8")) as Readonly<Record<string, FileRecord>>;
  return Object.entries(manifest).flatMap(([name, expected]): Comparison[] => {
    const path = join(dir, name);
    if (existsSync(path)) return checkFile(path, `${label}/${name}`, expected);
    return [
      { name: `${label}/${name}`, error: 0, tolerance: 0, kind: "skipped", note: "the file is not in this folder" },
    ];
  });
}
