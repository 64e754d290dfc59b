// Turns a checkpoint of the official code into one of ours, keeping all that ours does not hold.
import { basename, join } from "node:path";
import type { ModelConfig } from "../model/config.js";
import type { ParameterSlot } from "../model/parameters.js";
import { type Json, saveCheckpoint } from "../train/checkpoint.js";
import type { Fit } from "../train/fairseq/architecture.js";
import { mapOfficial } from "../train/fairseq/imported.js";
import { KEPT_JSON, KEPT_TENSORS, type KeptReference } from "../train/fairseq/kept.js";
import { openOfficialFile } from "../train/fairseq/official-file.js";
import { type OfficialState, readOfficialState } from "../train/fairseq/official-state.js";
import { settingsOf } from "../train/fairseq/settings.js";
import { encodeSafetensors, type NamedTensor } from "../train/safetensors.js";
import { hashSource, openByteSource } from "../train/safetensors-file.js";

export interface ImportOptions {
  /** Folder to write; `checkpoints/checkpoint-STEP` goes into it, as in a run. By default runs/NAME. */
  readonly outDir?: string;
}

export interface ImportSummary {
  readonly source: string;
  readonly format: "zip" | "legacy";
  readonly checkpoint: string;
  readonly model: ModelConfig;
  /** Updates that the official run had done. */
  readonly step: number;
  /** Element types of the model's tensors in the file. */
  readonly types: readonly string[];
  readonly tensors: number;
  readonly parameters: number;
  /** How the optimizer state was laid out; null where no moments could be taken over. */
  readonly optimizer: "per tensor" | "flat" | null;
  /** Parts of the pretraining model that the file lacks; they start from a fresh initialisation. */
  readonly missing: readonly string[];
  /** Tensors of the file that the model does not use; kept for an export. */
  readonly unused: readonly string[];
  readonly remarks: readonly string[];
}

function views(slots: readonly ParameterSlot[], flat: Float32Array, prefix = ""): NamedTensor[] {
  return slots.map(({ name, shape, offset, size }) => ({
    name: prefix + name,
    dtype: "F32",
    shape,
    data: flat.subarray(offset, offset + size) as Float32Array<ArrayBuffer>,
  }));
}

/** Says how many of the tensors that we train come without moments, where some have them. */
function momentRemarks({ moments }: OfficialState, { shared }: Fit): string[] {
  const owned = new Set(moments.flatMap(({ names }) => names));
  const trained = shared.filter(({ pieces }) => pieces.length > 0);
  const without = trained.filter(({ name }) => !owned.has(name)).length;
  if (owned.size === 0 || without === 0) return [];
  return [
    `its optimizer has no moments for ${without} of the ${trained.length} tensors that ours trains; they begin at 0`,
  ];
}

/**
 * Imports FILE.pt. Nothing in the file is executed.
 * @throws CheckpointError for a file that is damaged, foreign, or not a MoleBLEND model
 */
export async function importCheckpoint(path: string, options: ImportOptions = {}): Promise<ImportSummary> {
  const outDir = options.outDir ?? join("runs", basename(path).replace(/\.(pt|pth|bin)$/i, ""));
  const { source, close } = openByteSource(path);
  try {
    const file = openOfficialFile(source);
    const state = readOfficialState(file.value, path);
    const { config, fit, slots, parameters, m, v, kept } = mapOfficial(state, path);
    const settings = settingsOf(file.value, config);
    const reference: KeptReference = {
      format: 1,
      source: { file: basename(path), sha256: hashSource(source), format: file.format },
      step: state.step,
      value: kept.value,
    };
    const training = {
      step: state.step,
      epoch: state.epoch,
      batchInEpoch: 0,
      seed: settings.seed,
      config: settings as unknown as Json,
      metrics: {},
    };
    const checkpoint = await saveCheckpoint(
      join(outDir, "checkpoints"),
      {
        state: training,
        model: views(slots, parameters),
        optimizer: [...views(slots, m, "m."), ...views(slots, v, "v.")],
        attachments: [
          { name: KEPT_JSON, parts: [new TextEncoder().encode(`${JSON.stringify(reference)}\n`)] },
          { name: KEPT_TENSORS, parts: encodeSafetensors(kept.tensors) },
        ],
      },
      { keep: 1 },
    );
    return {
      source: path,
      format: file.format,
      checkpoint,
      model: config,
      step: state.step,
      types: [...new Set([...state.model.values()].map(({ type }) => type))].sort(),
      tensors: state.model.size,
      parameters: slots.reduce((sum, slot) => sum + slot.size, 0),
      optimizer: state.optimizer,
      missing: fit.missing,
      unused: fit.unused,
      remarks: [...state.remarks, ...momentRemarks(state, fit)],
    };
  } finally {
    close();
  }
}
