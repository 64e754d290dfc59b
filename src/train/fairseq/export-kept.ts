// An imported file written back: everything as it was, with our numbers in the place of those that ours hold.

import {
  entriesOf,
  float,
  isKind,
  list,
  type PythonEntry,
  type PythonValue,
  type TorchType,
} from "../../data/python/python-values.js";
import { CheckpointError } from "../../errors.js";
import { referenceLayout, toReference } from "../../model/reference-layout.js";
import { optimizerState } from "./export-fresh.js";
import { type Exported, type ExportSource, floatBytes, type Kept, keptFloats, slotsByName } from "./export-source.js";
import { fromFloat32 } from "./float-bytes.js";
import { FLAT } from "./imported.js";
import { decodeValue, KEPT_JSON, KEPT_TENSORS, keptBytes } from "./kept.js";

/** Element types for the model's tensors: their own, or float32 where our numbers no longer fit. */
function writtenTypes(
  source: ExportSource,
  kept: Kept,
  part: ReturnType<typeof parts>,
): ReadonlyMap<TorchType, TorchType> {
  const types = new Map<TorchType, TorchType>();
  for (const [key, { type }] of kept.described) {
    if (!key.startsWith("model:") || types.get(type) === "float32") continue;
    const values = part(source.parameters, key);
    types.set(type, values && fromFloat32(type, values) === null ? "float32" : type);
  }
  return types;
}

/** Official tensors by the name they are kept under, from one of our arrays; null for those we hold nothing of. */
function parts(source: ExportSource, kept: Kept) {
  const slots = slotsByName(source);
  const layout = new Map(referenceLayout(source.config).map((tensor) => [tensor.name, tensor]));
  return (flat: Float32Array, key: string): Float32Array | null => {
    const name = key.slice(key.indexOf(":") + 1);
    const tensor = layout.get(name);
    const shape = kept.described.get(`model:${name}`)?.shape;
    if (!tensor || !shape || tensor.pieces.length === 0) return null;
    return toReference({ ...tensor, shape }, slots, flat, keptFloats(kept, key) ?? undefined);
  };
}

/** The file that was imported, with our numbers in the place of those that ours hold. */
export function exportKept(source: ExportSource, kept: Kept): Exported {
  const { reference, tensors, described } = kept;
  const part = parts(source, kept);
  const types = writtenTypes(source, kept, part);
  const models = [...described.keys()].flatMap((key) => (key.startsWith("model:") ? [key.slice("model:".length)] : []));
  const floats = (flat: Float32Array, key: string): Float32Array => {
    const values = part(flat, key) ?? keptFloats(kept, key);
    if (!values) throw new CheckpointError(`${KEPT_TENSORS}: damaged: expected a tensor "${key}", found none`);
    return values;
  };
  const root = decodeValue(reference.value, KEPT_JSON, (key, type) => {
    const role = key.slice(0, key.indexOf(":"));
    const raw = () => keptBytes(tensors, key);
    if (role === "model") {
      const written = types.get(type) ?? type;
      const read = () => {
        const values = part(source.parameters, key) ?? (written === type ? null : keptFloats(kept, key));
        return (values && fromFloat32(written, values)) ?? raw();
      };
      return { type: written, read };
    }
    if (role !== "m" && role !== "v") return { type, read: raw };
    const flat = source[role];
    const whole = key === `${role}:${FLAT}`;
    const read = () =>
      floatBytes(whole ? joined(models.map((name) => floats(flat, `${role}:${name}`))) : floats(flat, key));
    return { type, read };
  });
  const remarks = [...types]
    .filter(([type, written]) => type !== written)
    .map(([type]) => `its numbers no longer fit ${type}: written as float32`);
  const moved = source.step !== reference.step;
  if (moved) remarks.push(`rows and heads that ours does not train are those of the import, at step ${reference.step}`);
  return { root: moved ? withStep(withMoments(root, source, kept, remarks), source.step) : root, remarks };
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
