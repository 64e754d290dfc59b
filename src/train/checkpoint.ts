// Checkpoints of a training run: folders that are either whole or not there, whenever the process is killed.
//
// DIR/checkpoint-STEP/ holds model.safetensors, optimizer.safetensors, state.json and SHA256SUMS (`sha256sum -c` reads
// it). It is written under a name that begins with a dot, every file and the folder are fsynced, and then it is renamed.
// Names with a dot are leftovers of a killed process: readers ignore them, the next writer removes them.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "../errors.js";
import type { NamedTensor, Safetensors } from "./safetensors.js";
import { compareSums, fileParts, openSafetensorsFile, writeDurably, writeSafetensorsFile } from "./safetensors-file.js";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Where a run stands: with the seed this says everything that the tensors do not. */
export interface TrainingState {
  /** Updates done. */
  readonly step: number;
  /** Epochs completed, and batches done in the current one. */
  readonly epoch: number;
  readonly batchInEpoch: number;
  readonly seed: number;
  /** All settings of the run. */
  readonly config: Json;
  /** The latest values; null for one that is not finite, which JSON cannot hold. */
  readonly metrics: Readonly<Record<string, number | null>>;
  /** Sums over the steps since the last line of metrics; null for one that is not finite. Left out where there are none. */
  readonly unlogged?: { readonly steps: number; readonly sums: Readonly<Record<string, number | null>> };
}

/** A further file of a checkpoint, listed with its checksum; `findAttachment` finds it. */
export interface Attachment {
  readonly name: string;
  readonly parts: Iterable<Uint8Array>;
  /** Of what the parts should be, in hex, where it is known. */
  readonly sha256?: string;
}

export interface CheckpointContent {
  readonly state: TrainingState;
  readonly model: readonly NamedTensor[];
  readonly optimizer: readonly NamedTensor[];
  readonly attachments?: readonly Attachment[];
}

export interface SaveOptions {
  /** Checkpoints to keep, this one included; older ones are removed once this one is safe. */
  readonly keep: number;
  /** Steps that are kept whatever their age, such as that of the best validation score. */
  readonly protect?: readonly number[];
}

/** A verified checkpoint; its tensors are read when asked for, until `close`. */
export interface LoadedCheckpoint {
  readonly path: string;
  readonly state: TrainingState;
  readonly model: Safetensors;
  readonly optimizer: Safetensors;
  close(): void;
}

export interface CheckpointPlace {
  readonly step: number;
  readonly path: string;
}

const MODEL = "model.safetensors";
const OPTIMIZER = "optimizer.safetensors";
const STATE = "state.json";
const SUMS = "SHA256SUMS";

/** Being written, being replaced by one of the same step, being removed. */
const WRITING = ".writing-";
const REPLACED = ".replaced-";
const REMOVED = ".removed-";

const folderName = (step: number) => `checkpoint-${step}`;

/** The finished checkpoints of a folder, oldest step first; none if there is no such folder. */
export function listCheckpoints(directory: string): CheckpointPlace[] {
  if (!existsSync(directory)) return [];
  const names = new Set(readdirSync(directory));
  const places: CheckpointPlace[] = [];
  for (const name of names) {
    const [, mark, digits] = /^(\.replaced-)?checkpoint-(\d+)$/.exec(name) ?? [];
    // A replaced one counts only while its successor is not there: the process was killed between two renames.
    if (digits && !(mark && names.has(folderName(Number(digits))))) {
      places.push({ step: Number(digits), path: join(directory, name) });
    }
  }
  return places.sort((a, b) => a.step - b.step);
}

/**
 * Writes DIR/checkpoint-STEP and removes those that are too old. Returns when the disk has it. One writer at a time.
 * @throws CheckpointError if `keep` is less than 1, a tensor contradicts its shape or an attachment its checksum.
 */
export async function saveCheckpoint(
  directory: string,
  content: CheckpointContent,
  options: SaveOptions,
): Promise<string> {
  const { state, model, optimizer, attachments = [] } = content;
  if (!(options.keep >= 1)) throw new CheckpointError(`checkpoints to keep: expected at least 1, got ${options.keep}`);
  checkState(state, "new checkpoint");
  await mkdir(directory, { recursive: true });
  await removeLeftovers(directory);

  const name = folderName(state.step);
  const writing = join(directory, WRITING + name);
  await mkdir(writing);
  const sums = [
    [await writeSafetensorsFile(join(writing, MODEL), model), MODEL],
    [await writeSafetensorsFile(join(writing, OPTIMIZER), optimizer), OPTIMIZER],
    [await writeDurably(join(writing, STATE), [encodeText(encodeState(state))]), STATE],
  ];
  for (const { name: file, parts, sha256 } of attachments) {
    const sum = await writeDurably(join(writing, file), parts);
    if (sha256 !== undefined) compareSums(`${file} as it is carried along`, sha256, sum);
    sums.push([sum, file]);
  }
  await writeDurably(join(writing, SUMS), [encodeText(sums.map(([sum, file]) => `${sum}  ${file}\n`).join(""))]);
  await syncFolder(writing);

  const path = join(directory, name);
  if (existsSync(path)) await rename(path, join(directory, REPLACED + name));
  await rename(writing, path);
  await syncFolder(directory);
  await removeLeftovers(directory);
  await prune(directory, state.step, options);
  return path;
}

/** Keeps the newest `keep` up to `step`, later ones (of a run that was set back) and the protected ones. */
async function prune(directory: string, step: number, { keep, protect = [] }: SaveOptions): Promise<void> {
  const candidates = listCheckpoints(directory).filter((place) => place.step <= step);
  for (const place of candidates.slice(0, -keep)) {
    if (!protect.includes(place.step)) await removeCheckpoint(directory, place);
  }
}

/** Removes the checkpoints after a step: for a run that goes on from an earlier one than the newest. */
export async function discardCheckpointsAfter(directory: string, step: number): Promise<void> {
  for (const place of listCheckpoints(directory)) if (place.step > step) await removeCheckpoint(directory, place);
}

/** Renamed first, so that a half-removed folder never looks like a checkpoint. */
async function removeCheckpoint(directory: string, { step, path }: CheckpointPlace): Promise<void> {
  const removed = join(directory, REMOVED + folderName(step));
  await rm(removed, { recursive: true, force: true });
  await rename(path, removed);
  await rm(removed, { recursive: true });
}

/** Clears what a killed writer left behind, and puts back a checkpoint whose replacement never came. */
async function removeLeftovers(directory: string): Promise<void> {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (name.startsWith(REPLACED) && !existsSync(join(directory, name.slice(REPLACED.length)))) {
      await rename(path, join(directory, name.slice(REPLACED.length)));
    } else if ([WRITING, REPLACED, REMOVED].some((mark) => name.startsWith(`${mark}checkpoint-`))) {
      await rm(path, { recursive: true });
    }
  }
}

/**
 * The newest finished checkpoint, or null if there is none.
 * @throws CheckpointError if it is damaged, naming the file and the one before it; `loadCheckpoint` loads that one.
 */
export function loadLatest(directory: string): LoadedCheckpoint | null {
  for (let attempt = 1; ; attempt++) {
    const places = listCheckpoints(directory);
    const newest = places.at(-1);
    if (!newest) return null;
    try {
      return loadCheckpoint(newest.path);
    } catch (error) {
      // A running trainer may have removed or replaced it in the meantime.
      if (!existsSync(newest.path) && attempt < 5) continue;
      const before = places.at(-2);
      if (!(error instanceof CheckpointError) || !before) throw error;
      throw new CheckpointError(`${error.message}; the checkpoint before it is ${before.path}`, { cause: error });
    }
  }
}

/**
 * One checkpoint, all checksums verified.
 * @throws CheckpointError naming the file that is missing or damaged, with the expected and the found checksum.
 */
export function loadCheckpoint(path: string): LoadedCheckpoint {
  const sums = readSums(join(path, SUMS));
  const stateBytes = readBytes(join(path, STATE));
  compareSums(join(path, STATE), sums[STATE], createHash("sha256").update(stateBytes).digest("hex"));
  const state = decodeState(stateBytes, join(path, STATE));
  const model = openSafetensorsFile(join(path, MODEL), sums[MODEL]);
  try {
    const optimizer = openSafetensorsFile(join(path, OPTIMIZER), sums[OPTIMIZER]);
    const close = () => {
      model.close();
      optimizer.close();
    };
    return { path, state, model: model.file, optimizer: optimizer.file, close };
  } catch (error) {
    model.close();
    throw error;
  }
}

type SummedFile = typeof MODEL | typeof OPTIMIZER | typeof STATE;

function readSums(file: string): Record<SummedFile, string> {
  const sums = listedSums(file);
  const sumOf = (name: SummedFile): string => {
    const sum = sums.get(name);
    if (!sum) throw new CheckpointError(`${file}: damaged: expected a SHA-256 of ${name}, got none`);
    return sum;
  };
  return { [MODEL]: sumOf(MODEL), [OPTIMIZER]: sumOf(OPTIMIZER), [STATE]: sumOf(STATE) };
}

/** SHA-256 in hex of every file that is listed, by name. */
function listedSums(file: string): ReadonlyMap<string, string> {
  const lines = new TextDecoder().decode(readBytes(file)).split("\n");
  const matches = lines.map((line) => /^([0-9a-f]{64}) {2}(.*)$/.exec(line));
  return new Map(matches.flatMap((match) => (match ? [[match[2], match[1]] as const] : [])));
}

/**
 * Path and expected SHA-256 of a further file that a checkpoint was saved with, or null if it has none of this name.
 * @throws CheckpointError if the checkpoint has no list of checksums
 */
export function findAttachment(checkpoint: string, name: string): { path: string; sha256: string } | null {
  const sha256 = listedSums(join(checkpoint, SUMS)).get(name);
  return sha256 === undefined ? null : { path: join(checkpoint, name), sha256 };
}

/** Everything that a checkpoint holds beside training's own files, to be carried into the next one. */
export function attachmentsOf(checkpoint: string): readonly Attachment[] {
  const own = new Set<string>([MODEL, OPTIMIZER, STATE]);
  const others = [...listedSums(join(checkpoint, SUMS))].filter(([name]) => !own.has(name));
  return others.map(([name, sha256]) => ({ name, sha256, parts: fileParts(join(checkpoint, name)) }));
}

/** The checkpoint that a path means: itself, or the newest one of a run or of a folder of checkpoints. */
export function findCheckpoint(path: string): string {
  if (existsSync(join(path, SUMS))) return path;
  const newest = listCheckpoints(join(path, "checkpoints")).at(-1) ?? listCheckpoints(path).at(-1);
  if (newest) return newest.path;
  throw new CheckpointError(`${path}: expected a checkpoint, a run, or a folder of checkpoints; found none`);
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CheckpointError(`${path}: cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function encodeState(state: TrainingState): string {
  const metrics = Object.fromEntries(Object.entries(state.metrics).map(([k, v]) => [k, Number.isFinite(v) ? v : null]));
  return `${JSON.stringify({ format: 1, ...state, metrics }, null, 2)}\n`;
}

function decodeState(bytes: Uint8Array, file: string): TrainingState {
  const { format, ...state } = JSON.parse(new TextDecoder().decode(bytes)) as TrainingState & { format: unknown };
  if (format !== 1) throw new CheckpointError(`${file}: expected format 1, got ${JSON.stringify(format)}`);
  checkState(state, file);
  return state;
}

function checkState(state: TrainingState, file: string): void {
  for (const key of ["step", "epoch", "batchInEpoch"] as const) {
    if (!Number.isSafeInteger(state[key]) || state[key] < 0) {
      throw new CheckpointError(`${file}: ${key}: expected a whole number, got ${JSON.stringify(state[key])}`);
    }
  }
  if (!Number.isSafeInteger(state.seed)) {
    throw new CheckpointError(`${file}: seed: expected an integer, got ${JSON.stringify(state.seed)}`);
  }
}

function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Makes the names in a folder durable. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
