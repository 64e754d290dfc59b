// A fine-tuned model on disk: everything that predicting needs, in a folder that can be moved.
//
// RUN/task.json names the files beside it with their checksums: one set of parameters a seed (safetensors), and the
// fingerprints of the molecules it was trained on.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FINGERPRINT_BYTES } from "../chem/fingerprint.js";
import { CheckpointError } from "../errors.js";
import { checkConfig, type DropoutConfig, type ModelConfig } from "../model/config.js";
import { layoutParameters, type ParameterSlot, taskSpecs } from "../model/parameters.js";
import { readsGeometry, type TaskConfig } from "../model/task-graphs.js";
import type { Calibration } from "./calibration.js";
import type { Json } from "./checkpoint.js";
import { readFlat } from "./load-arrays.js";
import { readTensor } from "./safetensors.js";
import { openSafetensorsFile, writeSafetensorsFile } from "./safetensors-file.js";
import type { Target } from "./task-labels.js";

export const TASK_FILE = "task.json";
const FORMAT = "moleblend-task";
const VERSION = 2;

/** Parameters of one seed. */
export interface SeedFile {
  readonly seed: number;
  /** Relative to the folder. */
  readonly file: string;
  readonly sha256: string;
  readonly bestEpoch: number;
  readonly validation: Readonly<Record<string, number | null>>;
}

export interface TaskDescription {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly model: ModelConfig;
  readonly task: TaskConfig;
  readonly targets: readonly Target[];
  /** Of training; on again where an uncertainty is drawn from one model. */
  readonly dropout: DropoutConfig;
  /** The metric that chose the epochs. */
  readonly metric: string;
  /** Conformers of a structure whose predictions are averaged. */
  readonly conformers: number;
  /** How molecules are to be read. */
  readonly reading: { readonly hydrogens: boolean; readonly maxAtoms: number };
  readonly seeds: readonly SeedFile[];
  /** How sure predictions are made honest; null where nothing could be fitted. */
  readonly calibration: Calibration | null;
  /** Fingerprints of the training molecules, to say how far another molecule is from them. */
  readonly training: { readonly file: string; readonly sha256: string; readonly molecules: number };
  /** Where the encoder came from; null where it was trained from scratch. */
  readonly pretrained: string | null;
}

export interface FinetunedModel {
  readonly dir: string;
  readonly description: TaskDescription;
  readonly slots: readonly ParameterSlot[];
  /** Parameters by seed, in the layout of `slots`. */
  readonly parameters: readonly Float32Array[];
}

/** What is written; files and checksums are found by `saveFinetuned`. */
export interface FinetunedContent
  extends Omit<TaskDescription, "format" | "version" | "seeds" | "training" | "calibration"> {
  /** None by default. */
  readonly calibration?: Calibration | null;
  readonly seeds: readonly {
    readonly seed: number;
    readonly bestEpoch: number;
    readonly validation: Readonly<Record<string, number>>;
    readonly parameters: Float32Array;
  }[];
  /** Distinct fingerprints [molecules, FINGERPRINT_BYTES]. */
  readonly fingerprints: Uint8Array;
}

const finite = (values: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number.isFinite(value) ? value : null]));

/** Writes the model; task.json comes last, so that a folder which has one is whole. */
export async function saveFinetuned(dir: string, content: FinetunedContent): Promise<TaskDescription> {
  const { seeds, fingerprints, ...rest } = content;
  mkdirSync(join(dir, "models"), { recursive: true });
  const { slots } = taskSlots(content.model, content.task);
  const written: SeedFile[] = [];
  for (const { seed, bestEpoch, validation, parameters } of seeds) {
    const file = join("models", `seed-${seed}.safetensors`);
    const tensors = slots.map(({ name, shape, offset, size }) => ({
      name,
      dtype: "F32" as const,
      shape,
      data: parameters.subarray(offset, offset + size) as Float32Array<ArrayBuffer>,
    }));
    const sha256 = await writeSafetensorsFile(join(dir, file), tensors);
    written.push({ seed, file, sha256, bestEpoch, validation: finite(validation) });
  }
  const molecules = fingerprints.length / FINGERPRINT_BYTES;
  const file = "training.safetensors";
  const tensor = { name: "fingerprints", dtype: "U8" as const, shape: [molecules, FINGERPRINT_BYTES] };
  const sha256 = await writeSafetensorsFile(join(dir, file), [{ ...tensor, data: Uint8Array.from(fingerprints) }]);
  const description: TaskDescription = {
    format: FORMAT,
    version: VERSION,
    ...rest,
    calibration: content.calibration ?? null,
    seeds: written,
    training: { file, sha256, molecules },
  };
  const writing = join(dir, `${TASK_FILE}.writing`);
  writeFileSync(writing, `${JSON.stringify(description, null, 2)}\n`);
  renameSync(writing, join(dir, TASK_FILE));
  return description;
}

/** Layout of the parameters of a fine-tuned model. */
export function taskSlots(model: ModelConfig, task: TaskConfig) {
  return layoutParameters(taskSpecs(model, task.outputs, readsGeometry(task.mode)));
}

export function isFinetuned(dir: string): boolean {
  return existsSync(join(dir, TASK_FILE));
}

/** Version 1 had no calibration, and knew whether 3D relations enter, always beside those of the graph. */
interface FirstDescription extends Omit<TaskDescription, "version" | "task" | "calibration"> {
  readonly version: 1;
  readonly task: Omit<TaskConfig, "mode"> & { readonly geometry: boolean };
}

function isFirst(content: TaskDescription | FirstDescription): content is FirstDescription {
  return content.version === 1;
}

function fromFirst({ task: { geometry, ...task }, ...rest }: FirstDescription): TaskDescription {
  return { ...rest, version: VERSION, calibration: null, task: { ...task, mode: geometry ? "both" : "2d" } };
}

/** @throws CheckpointError when the folder holds no fine-tuned model or a damaged one */
export function readTaskDescription(dir: string): TaskDescription {
  const path = join(dir, TASK_FILE);
  if (!existsSync(path)) {
    throw new CheckpointError(`${dir}: expected the run of a fine-tuned model, got a folder without ${TASK_FILE}`);
  }
  let content: TaskDescription | FirstDescription;
  try {
    content = JSON.parse(readFileSync(path, "utf8")) as TaskDescription | FirstDescription;
  } catch (cause) {
    throw new CheckpointError(`${path}: expected JSON, got a damaged file`, { cause });
  }
  if (content?.format === FORMAT && isFirst(content)) content = fromFirst(content);
  if (content?.format !== FORMAT || isFirst(content) || content.version !== VERSION) {
    const got = JSON.stringify({ format: content?.format, version: content?.version } satisfies Record<
      string,
      Json | undefined
    >);
    throw new CheckpointError(`${path}: expected format ${FORMAT}, version ${VERSION}, got ${got}`);
  }
  checkConfig(content.model);
  return content;
}

/** @throws CheckpointError when a file is missing, damaged, or of another shape */
export function loadFinetuned(dir: string): FinetunedModel {
  const description = readTaskDescription(dir);
  const { slots, length } = taskSlots(description.model, description.task);
  const parameters = description.seeds.map(({ file, sha256 }) => {
    const opened = openSafetensorsFile(join(dir, file), sha256);
    try {
      return readFlat(opened.file, slots, length);
    } finally {
      opened.close();
    }
  });
  return { dir, description, slots, parameters };
}

/** Fingerprints of the training molecules. [molecules, FINGERPRINT_BYTES] */
export function trainingFingerprints({ dir, description }: FinetunedModel): Uint8Array {
  const { file, sha256 } = description.training;
  const opened = openSafetensorsFile(join(dir, file), sha256);
  try {
    return readTensor(opened.file, "fingerprints").data as Uint8Array;
  } finally {
    opened.close();
  }
}
