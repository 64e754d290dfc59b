// What an export starts from, and the model's tensors under their official names.

import type { PythonValue, TorchType } from "../../data/python/python-values.js";
import type { ModelConfig } from "../../model/config.js";
import type { ParameterSlot } from "../../model/parameters.js";
import { type ReferenceTensor, referenceLayout, toReference } from "../../model/reference-layout.js";
import { inReferenceOrder } from "../../model/reference-order.js";
import { Random } from "../../random.js";
import type { Safetensors } from "../safetensors.js";
import type { PretrainSettings } from "../settings.js";
import { toFloat32 } from "./float-bytes.js";
import { decodeValue, KEPT_JSON, type KeptReference, keptBytes } from "./kept.js";

/** A checkpoint of ours, read into flat arrays of one layout. */
export interface ExportSource {
  readonly config: ModelConfig;
  readonly settings: PretrainSettings;
  readonly slots: readonly ParameterSlot[];
  readonly parameters: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
  readonly step: number;
  readonly epoch: number;
}

export interface Kept {
  readonly reference: KeptReference;
  readonly tensors: Safetensors;
  /** Type and shape of every tensor in the file, by the name it is kept under. */
  readonly described: ReadonlyMap<string, { readonly type: TorchType; readonly shape: readonly number[] }>;
}

/** Reads the descriptions of the tensors out of what was kept. */
export function keptFile(reference: KeptReference, tensors: Safetensors): Kept {
  const described = new Map<string, { readonly type: TorchType; readonly shape: readonly number[] }>();
  decodeValue(reference.value, KEPT_JSON, (key, type, shape) => {
    described.set(key, { type, shape });
    return { type, read: () => keptBytes(tensors, key) };
  });
  return { reference, tensors, described };
}

export interface Exported {
  readonly root: PythonValue;
  /** What a person should know. */
  readonly remarks: readonly string[];
}

/** Standard deviation of the official initialisation. */
const DEVIATION = 0.02;
/** Tables whose row 0 is padding, which the official initialisation sets to zero. */
const PADDED = /atom_encoder|degree_encoder|edge_encoder|spatial_pos|gbf\.(mul|bias)/;

/** What the official initialisation would put where none of our parameters stand. */
function officialInit({ name, shape, width }: ReferenceTensor, seed: number): Float32Array {
  const size = shape.reduce((product, dim) => product * dim, 1);
  const values = new Float32Array(size);
  if (/layer_norm\.weight$/i.test(name)) return values.fill(1);
  if (/bias$/.test(name)) return values;
  const random = Random.fromSeed(seed).split("official unused", name);
  for (let i = 0; i < size; i++) values[i] = DEVIATION * random.normal();
  if (PADDED.test(name)) values.fill(0, 0, width);
  return values;
}

export function slotsByName(source: ExportSource): ReadonlyMap<string, ParameterSlot> {
  return new Map(source.slots.map((slot) => [slot.name, slot]));
}

/** The model's tensors under their official names and in official order, as float32. */
export function* officialTensors(
  source: ExportSource,
  kept: Kept | null,
): Generator<{ readonly name: string; readonly shape: readonly number[]; readonly read: () => Float32Array }> {
  const slots = slotsByName(source);
  for (const tensor of inReferenceOrder(referenceLayout(source.config))) {
    const key = `model:${tensor.name}`;
    const fitted = { ...tensor, shape: kept?.described.get(key)?.shape ?? tensor.shape };
    const base = () => (kept && keptFloats(kept, key)) ?? officialInit(fitted, source.settings.seed);
    yield { name: tensor.name, shape: fitted.shape, read: () => toReference(fitted, slots, source.parameters, base()) };
  }
}

/** A kept tensor as float32; null where our numbers make up the whole of it, so that nothing was kept. */
export function keptFloats({ tensors, described }: Kept, key: string): Float32Array | null {
  if (!tensors.entries.has(key)) return null;
  // Of the moments of a flat optimizer state only the parts have names of their own; moments are always float32.
  return toFloat32(described.get(key)?.type ?? "float32", keptBytes(tensors, key));
}

export function floatBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
