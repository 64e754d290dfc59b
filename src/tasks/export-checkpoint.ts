// Writes a checkpoint in the formats of others: a fairseq checkpoint, or one safetensors file of the model.
import { readFileSync, renameSync, rmSync } from "node:fs";
import { encodeTorchFile } from "../data/python/torch-writer.js";
import { CheckpointError } from "../errors.js";
import { findAttachment, findCheckpoint, type LoadedCheckpoint, loadCheckpoint } from "../train/checkpoint.js";
import { exportFresh } from "../train/fairseq/export-fresh.js";
import { exportKept } from "../train/fairseq/export-kept.js";
import { type ExportSource, type Kept, keptFile, officialTensors } from "../train/fairseq/export-source.js";
import { KEPT_JSON, KEPT_TENSORS, type KeptReference, tensorsOf } from "../train/fairseq/kept.js";
import { isFinetuned } from "../train/finetuned-model.js";
import { checkpointConfig, modelSlots, readFlat } from "../train/load-arrays.js";
import { encodeSafetensors, type NamedTensor } from "../train/safetensors.js";
import {
  compareSums,
  hashSource,
  openByteSource,
  openSafetensorsFile,
  writeDurably,
} from "../train/safetensors-file.js";
import { type PretrainSettings, pretrainSettings } from "../train/settings.js";

/** official: the names and shapes of the reference; moleblend: ours, as in model.safetensors. */
export type TensorNames = "official" | "moleblend";

export interface ExportOptions {
  /** An import whose unused rows, heads and settings are written back; by default what the checkpoint itself keeps. */
  readonly reference?: string;
}

export interface ExportSummary {
  readonly checkpoint: string;
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly tensors: number;
  readonly remarks: readonly string[];
}

/** Settings of the run; what an older or another kind of run does not have is as the reference does it. */
function settingsOf({ state }: LoadedCheckpoint): PretrainSettings {
  const defaults = pretrainSettings("paper", { official: true });
  return { ...defaults, ...(state.config as Partial<PretrainSettings>) };
}

/** Parameters and moments of a checkpoint. @throws CheckpointError when it is incomplete */
export function readExportSource(loaded: LoadedCheckpoint): ExportSource {
  const config = checkpointConfig(loaded);
  const { slots, length } = modelSlots(config);
  const { model, optimizer, state } = loaded;
  return {
    config,
    settings: settingsOf(loaded),
    slots,
    parameters: readFlat(model, slots, length),
    m: readFlat(optimizer, slots, length, "m."),
    v: readFlat(optimizer, slots, length, "v."),
    step: state.step,
    epoch: state.epoch,
  };
}

/** What an import kept in a checkpoint, or null; `close` it when the export is done. */
function openKept(checkpoint: string): (Kept & { close(): void }) | null {
  const json = findAttachment(checkpoint, KEPT_JSON);
  const tensors = findAttachment(checkpoint, KEPT_TENSORS);
  if (!json || !tensors) return null;
  const text = openByteSource(json.path);
  try {
    compareSums(json.path, json.sha256, hashSource(text.source));
  } finally {
    text.close();
  }
  const reference = JSON.parse(readFileSync(json.path, "utf8")) as KeptReference;
  if (reference.format !== 1)
    throw new CheckpointError(`${json.path}: expected format 1, got ${String(reference.format)}`);
  const { file, close } = openSafetensorsFile(tensors.path, tensors.sha256);
  return { ...keptFile(reference, file), close };
}

/** Written under another name first: the file is there as a whole or not at all. */
export async function writeWhole(
  path: string,
  parts: Iterable<Uint8Array>,
): Promise<{ bytes: number; sha256: string }> {
  const writing = `${path}.writing`;
  let bytes = 0;
  const counted = (function* () {
    for (const part of parts) {
      bytes += part.length;
      yield part;
    }
  })();
  try {
    const sha256 = await writeDurably(writing, counted);
    renameSync(writing, path);
    return { bytes, sha256 };
  } catch (error) {
    rmSync(writing, { force: true });
    throw error;
  }
}

async function withCheckpoint<T>(
  path: string,
  reference: string | undefined,
  use: (checkpoint: string, source: ExportSource, kept: Kept | null) => Promise<T>,
): Promise<T> {
  if (isFinetuned(path)) {
    throw new CheckpointError(`${path}: expected a pretraining checkpoint, got a fine-tuned model; export it as ONNX`);
  }
  const checkpoint = findCheckpoint(path);
  const loaded = loadCheckpoint(checkpoint);
  try {
    const kept = openKept(reference === undefined ? checkpoint : findCheckpoint(reference));
    if (!kept && reference !== undefined) {
      throw new CheckpointError(`${reference}: expected an imported checkpoint, it has no ${KEPT_JSON}`);
    }
    try {
      return await use(checkpoint, readExportSource(loaded), kept);
    } finally {
      kept?.close();
    }
  } finally {
    loaded.close();
  }
}

/**
 * Writes FILE.pt, which fairseq's loader and torch.load read.
 * @param path a checkpoint, a run, or a folder of checkpoints
 * @throws CheckpointError when the checkpoint is damaged, or the reference does not fit it
 */
export function exportFairseq(path: string, file: string, options: ExportOptions = {}): Promise<ExportSummary> {
  return withCheckpoint(path, options.reference, async (checkpoint, source, kept) => {
    const { root, remarks } = kept ? exportKept(source, kept) : exportFresh(source);
    const written = await writeWhole(file, encodeTorchFile(root));
    return { checkpoint, file, ...written, tensors: tensorsOf(root).size, remarks };
  });
}

/** Writes the model's tensors as one safetensors file, under official names or under ours. */
export function exportSafetensors(
  path: string,
  file: string,
  names: TensorNames,
  options: ExportOptions = {},
): Promise<ExportSummary> {
  return withCheckpoint(path, options.reference, async (checkpoint, source, kept) => {
    const tensors: NamedTensor[] =
      names === "official"
        ? [...officialTensors(source, kept)].map(({ name, shape, read }) => ({
            name,
            dtype: "F32",
            shape,
            data: read() as Float32Array<ArrayBuffer>,
          }))
        : source.slots.map(({ name, shape, offset, size }) => ({
            name,
            dtype: "F32",
            shape,
            data: source.parameters.subarray(offset, offset + size) as Float32Array<ArrayBuffer>,
          }));
    const metadata = {
      format: "pt",
      names,
      model: JSON.stringify(source.config),
      step: String(source.step),
    };
    const written = await writeWhole(file, encodeSafetensors(tensors, metadata));
    const fresh = names === "official" && !kept;
    const remarks = fresh ? ["rows and heads that ours has no use for hold a fresh official initialisation"] : [];
    return { checkpoint, file, ...written, tensors: tensors.length, remarks };
  });
}
