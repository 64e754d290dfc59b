// What a checkpoint of ours keeps of the file it was imported from, so that an export can write it back: `reference.json`
// holds everything but the tensors, `reference.safetensors` the tensors that ours do not make up.
import { CheckpointError } from "../../errors.js";
import type { Json } from "../checkpoint.js";
import { type DType, type NamedTensor, readTensor, type Safetensors } from "../safetensors.js";
import { allowedGlobal } from "../torch/allowed-globals.js";
import {
  childrenOf,
  isKind,
  type PythonTensor,
  type PythonValue,
  TORCH_TYPES,
  type TorchType,
} from "../torch/python-values.js";

export const KEPT_JSON = "reference.json";
export const KEPT_TENSORS = "reference.safetensors";

/** Content of reference.json. */
export interface KeptReference {
  readonly format: 1;
  readonly source: { readonly file: string; readonly sha256: string; readonly format: string };
  /** Updates done when it was imported. */
  readonly step: number;
  readonly value: Json;
}

const DTYPES: Readonly<Partial<Record<TorchType, DType>>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  int64: "I64",
  int32: "I32",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};
const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/** Torch bytes as a safetensors tensor; types that we do not know there become plain bytes. */
export function namedTensor(name: string, type: TorchType, shape: readonly number[], bytes: Uint8Array): NamedTensor {
  const dtype = DTYPES[type];
  if (!dtype) return { name, dtype: "U8", shape: [bytes.length], data: new Uint8Array(bytes) };
  return { name, dtype, shape, data: new ARRAYS[dtype](new Uint8Array(bytes).buffer) };
}

/** Bytes of a kept tensor. */
export function keptBytes(file: Safetensors, name: string): Uint8Array {
  const { data } = readTensor(file, name);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function encodeFloat(value: number): Json {
  return {
    float: Number.isFinite(value) && !Object.is(value, -0) ? value : Object.is(value, -0) ? "-0" : String(value),
  };
}

/** @param keyOf the name under which a tensor can be found again */
export function encodeValue(value: PythonValue, keyOf: (tensor: PythonTensor) => string): Json {
  const encode = (item: PythonValue) => encodeValue(item, keyOf);
  const entries = (items: readonly (readonly PythonValue[])[]): Json => items.map((pair) => pair.map(encode));
  if (value === null || typeof value === "boolean" || typeof value === "number" || typeof value === "string")
    return value;
  if (typeof value === "bigint") return { int: value.toString() };
  switch (value.kind) {
    case "float":
      return encodeFloat(value.value);
    case "bytes":
      return { bytes: Array.from(value.data) };
    case "list":
      return value.items.map(encode);
    case "tuple":
    case "set":
    case "frozenset":
      return { [value.kind]: value.items.map(encode) };
    case "dict":
      return { dict: entries(value.entries) };
    case "global":
      return { global: value.name };
    case "object": {
      const { type, made, given, state } = value;
      const set = state === undefined ? {} : { state: encode(state) };
      return { object: type, made, given: given.map(encode), entries: entries(value.entries), ...set };
    }
    case "tensor":
      return { tensor: keyOf(value), type: value.type, shape: value.shape, requiresGradient: value.requiresGradient };
    case "storage":
      throw new CheckpointError(`storage "${value.key}" belongs to no tensor`);
  }
}

interface Encoded {
  readonly [key: string]: Json | undefined;
}

/** Gives back the tensor that was encoded under a key; its type may be another now. */
export type TensorSource = (
  key: string,
  type: TorchType,
  shape: readonly number[],
) => Pick<PythonTensor, "type" | "read">;

/** Undoes `encodeValue`. Names of classes are checked anew, so that no export can be made to name another. */
export function decodeValue(json: Json, file: string, tensor: TensorSource): PythonValue {
  const fail = (): never => {
    throw new CheckpointError(
      `${file}: damaged: expected an encoded Python value, got ${JSON.stringify(json).slice(0, 80)}`,
    );
  };
  const decode = (item: Json | undefined): PythonValue =>
    item === undefined ? fail() : decodeValue(item, file, tensor);
  const array = (item: Json | undefined): readonly Json[] => (Array.isArray(item) ? item : fail());
  const entries = (item: Json | undefined) =>
    array(item).map((pair) => [decode(array(pair)[0]), decode(array(pair)[1])] as const);
  const allowed = (item: Json | undefined): string => {
    if (typeof item !== "string") return fail();
    const dot = item.lastIndexOf(".");
    const known = allowedGlobal(item.slice(0, dot), item.slice(dot + 1), file);
    return isKind(known, "global") ? known.name : fail();
  };
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return { kind: "list", items: json.map(decode) };
  const value = json as Encoded;
  const [tag] = Object.keys(value);
  const body = value[tag];
  switch (tag) {
    case "int":
      return typeof body === "string" && /^-?\d+$/.test(body) ? BigInt(body) : fail();
    case "float":
      return { kind: "float", value: Number(body) };
    case "bytes":
      return { kind: "bytes", data: Uint8Array.from(array(body) as number[]) };
    case "tuple":
    case "set":
    case "frozenset":
      return { kind: tag, items: array(body).map(decode) };
    case "dict":
      return { kind: "dict", entries: entries(body) };
    case "global":
      return { kind: "global", name: allowed(body) };
    case "object": {
      const given = array(value["given"]).map(decode);
      const state = value["state"] === undefined ? undefined : decode(value["state"]);
      const made = value["made"] === "new" ? "new" : "call";
      return { kind: "object", type: allowed(body), made, given, entries: entries(value["entries"]), state };
    }
    case "tensor": {
      const type = value["type"] as TorchType;
      if (typeof body !== "string" || !Object.hasOwn(TORCH_TYPES, type)) return fail();
      const shape = array(value["shape"]) as number[];
      return {
        kind: "tensor",
        shape,
        requiresGradient: value["requiresGradient"] === true,
        ...tensor(body, type, shape),
      };
    }
    default:
      return fail();
  }
}

/** Every tensor in a value, each once, in order. */
export function tensorsOf(root: PythonValue): ReadonlySet<PythonTensor> {
  const found = new Set<PythonTensor>();
  const visit = (value: PythonValue): void => {
    if (isKind(value, "tensor")) found.add(value);
    else for (const child of childrenOf(value)) visit(child);
  };
  visit(root);
  return found;
}
