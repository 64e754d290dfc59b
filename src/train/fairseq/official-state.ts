// What a fairseq checkpoint of MoleBLEND says: its tensors by name, its optimizer's moments, where training stood.

import {
  entriesOf,
  isKind,
  lookUp,
  type PythonTensor,
  type PythonValue,
  TORCH_TYPES,
  toNumber,
} from "../../data/python/python-values.js";
import { CheckpointError } from "../../errors.js";

export type Moment = "m" | "v";

/** A moment of one tensor of the model, or of all of them one after the other (fairseq's FP16 optimizer). */
export interface MomentTensor {
  readonly moment: Moment;
  readonly names: readonly string[];
  readonly tensor: PythonTensor;
}

export interface OfficialState {
  readonly root: PythonValue;
  /** In the order of the file, which is that of `model.parameters()`. */
  readonly model: ReadonlyMap<string, PythonTensor>;
  /** Updates done; 0 where the file does not say. */
  readonly step: number;
  readonly epoch: number;
  readonly moments: readonly MomentTensor[];
  /** How the optimizer state is laid out; null where there is none, or none that could be assigned. */
  readonly optimizer: "per tensor" | "flat" | null;
  /** What a person should know. */
  readonly remarks: readonly string[];
}

const MOMENTS: readonly (readonly [Moment, string])[] = [
  ["m", "exp_avg"],
  ["v", "exp_avg_sq"],
];
const FLOATS: ReadonlySet<string> = new Set(["float64", "float32", "float16", "bfloat16"]);

const size = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

/** The state_dict: under "model" in a fairseq checkpoint, or the whole of a file of weights alone. */
function modelTensors(root: PythonValue, file: string): Map<string, PythonTensor> {
  const entries = entriesOf(lookUp(root, "model") ?? root);
  if (!entries) throw new CheckpointError(`${file}: expected a fairseq checkpoint with an entry "model", found none`);
  const model = new Map<string, PythonTensor>();
  for (const [name, tensor] of entries) {
    if (typeof name !== "string" || !isKind(tensor, "tensor")) {
      const keys = entries.slice(0, 8).map(([key]) => String(key));
      throw new CheckpointError(
        `${file}: expected the tensors of a model by name, got entries such as ${keys.join(", ")}`,
      );
    }
    if (!FLOATS.has(tensor.type)) throw new CheckpointError(`${file}: "${name}": expected floats, got ${tensor.type}`);
    model.set(name, tensor);
  }
  return model;
}

interface ParameterState {
  readonly index: number;
  readonly tensors: ReadonlyMap<Moment, PythonTensor>;
}

function parameterStates(state: PythonValue | undefined, file: string): ParameterState[] {
  return (entriesOf(state) ?? []).map(([index, value]) => {
    const tensors = new Map<Moment, PythonTensor>();
    for (const [moment, key] of MOMENTS) {
      const tensor = lookUp(value, key);
      if (!isKind(tensor, "tensor") || tensor.type !== "float32") {
        throw new CheckpointError(`${file}: optimizer state ${String(index)}: expected float32 "${key}", found none`);
      }
      tensors.set(moment, tensor);
    }
    if (typeof index !== "number")
      throw new CheckpointError(`${file}: optimizer state ${String(index)}: expected a number`);
    return { index, tensors };
  });
}

/** Parameters that the optimizer owned: as many as its groups list, else as its state has. */
function parameterCount(optimizer: PythonValue | undefined, states: readonly ParameterState[]): number {
  const groups = lookUp(optimizer, "param_groups");
  const listed = isKind(groups, "list")
    ? groups.items.flatMap((group) => {
        const params = lookUp(group, "params");
        return isKind(params, "list") ? params.items : [];
      }).length
    : 0;
  return Math.max(listed, ...states.map(({ index }) => index + 1));
}

/** Where in the model the optimizer's parameters begin: the one place at which all shapes agree. */
function placeOf(states: readonly ParameterState[], count: number, shapes: readonly string[]): number[] {
  const fits = (start: number) =>
    states.every(({ index, tensors }) => tensors.get("m")?.shape.join() === shapes[start + index]);
  return Array.from({ length: Math.max(shapes.length - count + 1, 0) }, (_, start) => start).filter(fits);
}

/** Adam's moments, assigned to tensors by order and shape, as `optimizer.load_state_dict` does by order alone. */
function readMoments(
  optimizer: PythonValue | undefined,
  model: ReadonlyMap<string, PythonTensor>,
  file: string,
): Pick<OfficialState, "moments" | "optimizer" | "remarks"> {
  const states = parameterStates(lookUp(optimizer, "state"), file);
  if (states.length === 0) return { moments: [], optimizer: null, remarks: [] };
  const names = [...model.keys()];
  const [first] = states;
  const total = [...model.values()].reduce((sum, { shape }) => sum + size(shape), 0);
  const flat = states.length === 1 && first.tensors.get("m")?.shape.join() === String(total) && names.length > 1;
  const entries = (state: ParameterState, owners: readonly string[]) =>
    [...state.tensors].map(([moment, tensor]) => ({ moment, names: owners, tensor }));
  if (flat) return { moments: entries(first, names), optimizer: "flat", remarks: [] };
  const shapes = [...model.values()].map(({ shape }) => shape.join());
  const count = parameterCount(optimizer, states);
  const places = placeOf(states, count, shapes);
  if (places.length !== 1) {
    const why = places.length === 0 ? "do not fit" : "fit in several places of";
    const remark = `the ${count} parameters of its optimizer ${why} the model: its moments are kept, but not used`;
    return { moments: [], optimizer: null, remarks: [remark] };
  }
  const moments = states.flatMap((state) => entries(state, [names[places[0] + state.index]]));
  return { moments, optimizer: "per tensor", remarks: [] };
}

function updatesDone(root: PythonValue): number {
  const history = lookUp(root, "optimizer_history");
  const last = isKind(history, "list") ? history.items.at(-1) : undefined;
  const updates = toNumber(lookUp(last, "num_updates")) ?? 0;
  return Number.isSafeInteger(updates) && updates >= 0 ? updates : 0;
}

/** @throws CheckpointError when the file holds no model, or moments that are none */
export function readOfficialState(root: PythonValue, file: string): OfficialState {
  const model = modelTensors(root, file);
  const epoch = toNumber(lookUp(root, "extra_state", "train_iterator", "epoch")) ?? 1;
  return {
    root,
    model,
    step: updatesDone(root),
    // fairseq counts the epoch it is in, from 1.
    epoch: Number.isSafeInteger(epoch) && epoch > 1 ? epoch - 1 : 0,
    ...readMoments(lookUp(root, "last_optimizer_state"), model, file),
  };
}

/** Bytes of one tensor within a moment that holds several. */
export function momentPart(
  { names, tensor }: MomentTensor,
  model: ReadonlyMap<string, PythonTensor>,
  name: string,
): Uint8Array {
  const bytes = tensor.read();
  if (names.length === 1) return bytes;
  const item = TORCH_TYPES[tensor.type].bytes;
  let at = 0;
  for (const owner of names) {
    const length = size(model.get(owner)?.shape ?? []) * item;
    if (owner === name) return bytes.subarray(at, at + length);
    at += length;
  }
  throw new CheckpointError(`the optimizer state holds nothing for "${name}"`);
}
