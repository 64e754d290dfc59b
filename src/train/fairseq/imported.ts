// An official checkpoint → our parameters and moments, and what must be kept of it so that it can be written back.

import type { PythonTensor } from "../../data/python/python-values.js";
import type { ModelConfig } from "../../model/config.js";
import { initialise, layoutParameters, type ParameterSlot, parameterSpecs } from "../../model/parameters.js";
import { fromReference, type ReferenceTensor } from "../../model/reference-layout.js";
import { Random } from "../../random.js";
import type { Json } from "../checkpoint.js";
import type { NamedTensor } from "../safetensors.js";
import { type Fit, fitLayout, isCovered, officialArguments, readArchitecture } from "./architecture.js";
import { toFloat32 } from "./float-bytes.js";
import { encodeValue, namedTensor, tensorsOf } from "./kept.js";
import { type MomentTensor, momentPart, type OfficialState } from "./official-state.js";

/** Our arrays, all of one layout. */
export interface ImportedArrays {
  readonly slots: readonly ParameterSlot[];
  readonly parameters: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
}

export interface ImportedModel extends ImportedArrays {
  readonly config: ModelConfig;
  readonly fit: Fit;
  /** The file without the numbers that ours hold, and the tensors that ours do not make up. */
  readonly kept: { readonly value: Json; readonly tensors: readonly NamedTensor[] };
}

/** Name under which all moments of a flat optimizer state stand. */
export const FLAT = "*";

/** Seed of what a file without all heads gets instead: the same file always gives the same model. */
const SEED = 1;

function fillArrays(state: OfficialState, config: ModelConfig, fit: Fit): ImportedArrays {
  const { slots, length } = layoutParameters(parameterSpecs(config));
  const byName = new Map(slots.map((slot) => [slot.name, slot]));
  const arrays = {
    slots,
    parameters: new Float32Array(length),
    m: new Float32Array(length),
    v: new Float32Array(length),
  };
  if (fit.missing.length > 0) initialise(slots, arrays.parameters, Random.fromSeed(SEED), "reference");
  const fill = (tensor: ReferenceTensor, type: PythonTensor["type"], bytes: Uint8Array, flat: Float32Array) =>
    fromReference(tensor, byName, toFloat32(type, bytes), flat);
  const layout = new Map(fit.shared.map((tensor) => [tensor.name, tensor]));
  for (const [name, { type, read }] of state.model) {
    const tensor = layout.get(name);
    if (tensor) fill(tensor, type, read(), arrays.parameters);
  }
  for (const moment of state.moments) {
    const whole = { ...moment, tensor: once(moment.tensor) };
    for (const name of moment.names) {
      const tensor = layout.get(name);
      if (tensor) fill(tensor, "float32", momentPart(whole, state.model, name), arrays[moment.moment]);
    }
  }
  return arrays;
}

/** A tensor that is read from the file once, for taking many parts of it. */
function once(tensor: PythonTensor): PythonTensor {
  let bytes: Uint8Array | null = null;
  const read = () => {
    bytes ??= tensor.read();
    return bytes;
  };
  return { ...tensor, read };
}

/** Names every tensor of the file, and copies those of which our arrays do not hold every element. */
function keep(state: OfficialState, fit: Fit): ImportedModel["kept"] {
  const covered = new Set(fit.shared.filter(isCovered).map(({ name }) => name));
  const keys = new Map<PythonTensor, string>();
  const tensors: NamedTensor[] = [];
  for (const [name, tensor] of state.model) {
    keys.set(tensor, `model:${name}`);
    if (!covered.has(name)) tensors.push(namedTensor(`model:${name}`, tensor.type, tensor.shape, tensor.read()));
  }
  const keepMoment = (moment: MomentTensor) => {
    const whole = { ...moment, tensor: once(moment.tensor) };
    for (const name of moment.names) {
      if (covered.has(name)) continue;
      const shape = state.model.get(name)?.shape ?? [];
      const part = momentPart(whole, state.model, name);
      tensors.push(namedTensor(`${moment.moment}:${name}`, "float32", shape, part));
    }
  };
  for (const moment of state.moments) {
    keys.set(moment.tensor, `${moment.moment}:${moment.names.length > 1 ? FLAT : moment.names[0]}`);
    keepMoment(moment);
  }
  let others = 0;
  for (const tensor of tensorsOf(state.root)) {
    if (keys.has(tensor)) continue;
    const key = `other:${others++}`;
    keys.set(tensor, key);
    tensors.push(namedTensor(key, tensor.type, tensor.shape, tensor.read()));
  }
  return { value: encodeValue(state.root, (tensor) => keys.get(tensor) ?? ""), tensors };
}

/**
 * Maps an official checkpoint onto our layout. float16 and bfloat16 become float32 exactly.
 * @throws CheckpointError when it is not a MoleBLEND model, or its tensors do not fit one
 */
export function mapOfficial(state: OfficialState, file: string): ImportedModel {
  const config = readArchitecture(state.model, officialArguments(state.root), file);
  const fit = fitLayout(state.model, config, file);
  return { config, fit, ...fillArrays(state, config, fit), kept: keep(state, fit) };
}
