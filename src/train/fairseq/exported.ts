// One of our checkpoints → what an official one holds: tensors under their official names, moments, and the rest of the file.
import type { ModelConfig } from "../../model/config.js";
import type { ParameterSlot } from "../../model/parameters.js";
import { type ReferenceTensor, referenceLayout, toReference } from "../../model/reference-layout.js";
import { inReferenceOrder } from "../../model/reference-order.js";
import { Random } from "../../random.js";
import type { Safetensors } from "../safetensors.js";
import type { PretrainSettings } from "../settings.js";
import {
  dict,
  entriesOf,
  float,
  isKind,
  list,
  type PythonDict,
  type PythonEntry,
  type PythonTensor,
  type PythonValue,
  type TorchType,
  tuple,
} from "../torch/python-values.js";
import { fromFloat32, toFloat32 } from "./float-bytes.js";
import { FLAT } from "./imported.js";
import { decodeValue, KEPT_JSON, type KeptReference, keptBytes } from "./kept.js";
import { officialConfig } from "./official-arguments.js";
import type { Moment } from "./official-state.js";

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
}

export interface Exported {
  readonly root: PythonValue;
  /** Element type of the model's tensors. */
  readonly type: TorchType;
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

function slotsByName(source: ExportSource): ReadonlyMap<string, ParameterSlot> {
  return new Map(source.slots.map((slot) => [slot.name, slot]));
}

/** The model's tensors under their official names and in official order, as float32. */
export function* officialTensors(
  source: ExportSource,
  kept: Kept | null,
): Generator<{ readonly name: string; readonly shape: readonly number[]; readonly read: () => Float32Array }> {
  const slots = slotsByName(source);
  const shapes = new Map<string, readonly number[]>();
  for (const name of kept?.tensors.entries.keys() ?? []) {
    if (name.startsWith("model:"))
      shapes.set(name.slice("model:".length), kept?.tensors.entries.get(name)?.shape ?? []);
  }
  for (const tensor of inReferenceOrder(referenceLayout(source.config))) {
    const { name } = tensor;
    const fitted = { ...tensor, shape: shapes.get(name) ?? tensor.shape };
    const base = () =>
      kept && shapes.has(name) ? keptFloats(kept, `model:${name}`) : officialInit(fitted, source.settings.seed);
    yield { name, shape: fitted.shape, read: () => toReference(fitted, slots, source.parameters, base()) };
  }
}

const STORED: Readonly<Record<string, TorchType>> = { F16: "float16", F32: "float32", F64: "float64" };

/** A kept tensor as float32; of the plain bytes that other types are kept as, bfloat16 is the one with floats. */
function keptFloats({ tensors }: Kept, key: string): Float32Array {
  return toFloat32(STORED[tensors.entries.get(key)?.dtype ?? ""] ?? "bfloat16", keptBytes(tensors, key));
}

/** The file that was imported, with our numbers in the place of those that ours hold. */
function fromKept(source: ExportSource, kept: Kept): Exported {
  const { reference, tensors } = kept;
  const slots = slotsByName(source);
  const layout = new Map(referenceLayout(source.config).map((tensor) => [tensor.name, tensor]));
  const shapes = new Map<string, readonly number[]>();
  const narrow = new Map<TorchType, boolean>();
  const holds = (type: TorchType) => {
    if (!narrow.has(type)) narrow.set(type, fromFloat32(type, source.parameters) !== null);
    return narrow.get(type) === true;
  };
  const known = (key: string) => tensors.entries.has(key);
  const part = (flat: Float32Array, name: string, key: string, shape: readonly number[]): Float32Array | null => {
    const tensor = layout.get(name);
    if (!tensor || tensor.pieces.length === 0) return null;
    return toReference({ ...tensor, shape }, slots, flat, known(key) ? keptFloats(kept, key) : undefined);
  };
  let used: TorchType = "float32";
  const root = decodeValue(reference.value, KEPT_JSON, (key, type, shape) => {
    const at = key.indexOf(":");
    const [role, name] = [key.slice(0, at), key.slice(at + 1)];
    const raw = () => keptBytes(tensors, key);
    if (role === "model") {
      shapes.set(name, shape);
      const written = holds(type) ? type : "float32";
      used = written;
      const read = () => {
        const values = part(source.parameters, name, key, shape) ?? (written === type ? null : keptFloats(kept, key));
        return (values && fromFloat32(written, values)) ?? raw();
      };
      return { type: written, read };
    }
    if (role !== "m" && role !== "v") return { type, read: raw };
    const flat = source[role as Moment];
    const one = (owner: string) => {
      const values = part(flat, owner, `${role}:${owner}`, shapes.get(owner) ?? []);
      return values ?? keptFloats(kept, `${role}:${owner}`);
    };
    // Read after the walk is done, when the shape of every tensor of the model is known.
    const read = () => floatBytes(name === FLAT ? joined([...shapes.keys()].map(one)) : one(name));
    return { type, read };
  });
  const remarks: string[] = [];
  if (narrow.has("float16") && !holds("float16")) remarks.push("its numbers no longer fit float16: written as float32");
  const moved = source.step !== reference.step;
  return { root: moved ? withStep(withMoments(root, source, kept, remarks), source.step) : root, type: used, remarks };
}

function floatBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function replaced(value: PythonValue, key: PythonValue, next: (old: PythonValue) => PythonValue): PythonValue {
  if (!isKind(value, "dict")) return value;
  const entries = value.entries.map(([name, old]): PythonEntry => (name === key ? [name, next(old)] : [name, old]));
  return { kind: "dict", entries };
}

/** A file without optimizer state gets one when it was trained further. */
function withMoments(root: PythonValue, source: ExportSource, kept: Kept, remarks: string[]): PythonValue {
  const has = entriesOf(root)?.some(([key, value]) => key === "last_optimizer_state" && value !== null);
  if (has || !isKind(root, "dict") || !source.m.some((value) => value !== 0)) return root;
  remarks.push("the imported file had no optimizer state: it got that of the training since");
  const entries = root.entries.filter(([key]) => key !== "last_optimizer_state");
  return { kind: "dict", entries: [...entries, ["last_optimizer_state", optimizerState(source, kept)]] };
}

/** Puts the number of updates done into the history and into every parameter's state. */
function withStep(root: PythonValue, step: number): PythonValue {
  const history = replaced(root, "optimizer_history", (old) => {
    if (!isKind(old, "list") || old.items.length === 0) return old;
    return list([...old.items.slice(0, -1), replaced(old.items[old.items.length - 1], "num_updates", () => step)]);
  });
  const stepped = (old: PythonValue): PythonValue =>
    replaced(old, "step", (count) => (isKind(count, "float") ? float(step) : step));
  return replaced(history, "last_optimizer_state", (optimizer) =>
    replaced(optimizer, "state", (states) =>
      isKind(states, "dict")
        ? { kind: "dict", entries: states.entries.map(([index, state]): PythonEntry => [index, stepped(state)]) }
        : states,
    ),
  );
}

/** Adam's state of every tensor that is trained, as fairseq's Adam writes it. */
function optimizerState(source: ExportSource, kept: Kept | null): PythonDict {
  const slots = slotsByName(source);
  const keptShape = (name: string) => kept?.tensors.entries.get(`model:${name}`)?.shape;
  const order = inReferenceOrder(referenceLayout(source.config));
  const tensor = (moment: Moment, layout: ReferenceTensor): PythonTensor => ({
    kind: "tensor",
    type: "float32",
    shape: layout.shape,
    requiresGradient: false,
    read: () => floatBytes(toReference(layout, slots, source[moment])),
  });
  const entries = order.flatMap((layout, index): PythonEntry[] => {
    if (layout.pieces.length === 0) return [];
    const fitted = { ...layout, shape: keptShape(layout.name) ?? layout.shape };
    return [[index, dict({ step: source.step, exp_avg: tensor("m", fitted), exp_avg_sq: tensor("v", fitted) })]];
  });
  const { adam, learningRate } = source.settings;
  const group = dict({
    lr: float(learningRate),
    betas: tuple([float(adam.beta1), float(adam.beta2)]),
    eps: float(adam.epsilon),
    weight_decay: float(adam.weightDecay),
    amsgrad: false,
    params: list(order.map((_, index) => index)),
  });
  return dict({ state: { kind: "dict", entries }, param_groups: list([group]) });
}

/** `state_dict` with the `_metadata` that torch attaches: a version for every module. */
function stateDict(source: ExportSource): PythonValue {
  const entries = [...officialTensors(source, null)].map(({ name, shape, read }): PythonEntry => {
    const bytes = () => floatBytes(read());
    return [name, { kind: "tensor", type: "float32", shape, requiresGradient: false, read: bytes }];
  });
  const modules = new Set([""]);
  for (const [name] of entries) {
    const parts = String(name).split(".").slice(0, -1);
    for (let length = 1; length <= parts.length; length++) modules.add(parts.slice(0, length).join("."));
  }
  const made = { kind: "object", type: "collections.OrderedDict", made: "call", given: [] } as const;
  const versions = [...modules].map((name): PythonEntry => [name, dict({ version: 1 })]);
  return { ...made, entries, state: dict({ _metadata: { ...made, entries: versions, state: undefined } }) };
}

/** A whole official checkpoint for a model that never was one. */
function fromScratch(source: ExportSource): Exported {
  const { config, settings, step, epoch } = source;
  const history = dict({
    criterion_name: "GraphPredictionLoss",
    optimizer_name: "FairseqAdam",
    lr_scheduler_state: dict({ best: null }),
    num_updates: step,
  });
  const iterator = dict({ version: 2, epoch: epoch + 1, iterations_in_epoch: 0, shuffle: true });
  const trained = source.m.some((value) => value !== 0);
  const root = dict({
    args: null,
    cfg: officialConfig(config, settings),
    model: stateDict(source),
    criterion: null,
    optimizer_history: list([history]),
    task_state: dict({}),
    extra_state: dict({
      metrics: dict({}),
      previous_training_time: float(0),
      train_iterator: iterator,
      val_loss: null,
    }),
    ...(trained ? { last_optimizer_state: optimizerState(source, null) } : {}),
  });
  const remarks = ["rows and heads that ours has no use for hold a fresh official initialisation"];
  if (config.geometryTarget === "distance") {
    remarks.push(
      "the official 3D head predicts displacements: the last map of our distance head is lost, theirs is fresh",
    );
  }
  return { root, type: "float32", remarks };
}

/** Everything that goes into an official checkpoint. With what an import kept, the imported file comes back. */
export function exportOfficial(source: ExportSource, kept: Kept | null): Exported {
  return kept ? fromKept(source, kept) : fromScratch(source);
}
