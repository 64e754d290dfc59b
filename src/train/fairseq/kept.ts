// What a checkpoint of ours keeps of the file it was imported from, so that an export can write it back: `reference.json`
// holds everything but the tensors, `reference.safetensors` the tensors that ours do not make up.

import {
  childrenOf,
  isKind,
  type PythonEntry,
  type PythonTensor,
  type PythonValue,
  TORCH_TYPES,
  type TorchType,
} from "../../data/python/python-values.js";
import { CheckpointError } from "../../errors.js";
import type { Json } from "../checkpoint.js";
import { type DType, type NamedTensor, readTensor, type Safetensors } from "../safetensors.js";
import { officialName } from "./official-file.js";

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
  const known = new Map<string, PythonTensor>();
  return new Decoder(file, (key, type, shape, requiresGradient) => {
    // What is met again is the same tensor, as it was in the file.
    const value = known.get(key) ?? { kind: "tensor", shape, requiresGradient, ...tensor(key, type, shape) };
    known.set(key, value);
    return value;
  }).value(json);
}

class Decoder {
  constructor(
    private readonly file: string,
    private readonly tensor: (...given: [...Parameters<TensorSource>, requiresGradient: boolean]) => PythonTensor,
  ) {}

  value(json: Json | undefined): PythonValue {
    if (json === undefined) return this.fail(json);
    if (typeof json !== "object" || json === null) return json;
    if (Array.isArray(json)) return { kind: "list", items: this.values(json) };
    const [tag] = Object.keys(json);
    return this.tagged(tag, json as Encoded);
  }

  private fail(json: Json | undefined): never {
    const got = JSON.stringify(json)?.slice(0, 80) ?? "nothing";
    throw new CheckpointError(`${this.file}: damaged: expected an encoded Python value, got ${got}`);
  }

  private array(json: Json | undefined): readonly Json[] {
    return Array.isArray(json) ? json : this.fail(json);
  }

  private values(json: Json | undefined): PythonValue[] {
    return this.array(json).map((item) => this.value(item));
  }

  private entries(json: Json | undefined): PythonEntry[] {
    return this.array(json).map((pair) => {
      const [key, value] = this.array(pair);
      return [this.value(key), this.value(value)];
    });
  }

  private allowed(json: Json | undefined): string {
    if (typeof json !== "string") return this.fail(json);
    return officialName(json, this.file);
  }

  private tagged(tag: string, json: Encoded): PythonValue {
    const body = json[tag];
    switch (tag) {
      case "int":
        return typeof body === "string" && /^-?\d+$/.test(body) ? BigInt(body) : this.fail(body);
      case "float":
        return { kind: "float", value: Number(body) };
      case "bytes":
        return { kind: "bytes", data: Uint8Array.from(this.array(body) as number[]) };
      case "tuple":
      case "set":
      case "frozenset":
        return { kind: tag, items: this.values(body) };
      case "dict":
        return { kind: "dict", entries: this.entries(body) };
      case "global":
        return { kind: "global", name: this.allowed(body) };
      case "object": {
        const state = json["state"] === undefined ? undefined : this.value(json["state"]);
        const made = json["made"] === "new" ? "new" : "call";
        const given = this.values(json["given"]);
        return { kind: "object", type: this.allowed(body), made, given, entries: this.entries(json["entries"]), state };
      }
      case "tensor": {
        const type = json["type"] as TorchType;
        if (typeof body !== "string" || !Object.hasOwn(TORCH_TYPES, type)) return this.fail(body);
        return this.tensor(body, type, this.array(json["shape"]) as number[], json["requiresGradient"] === true);
      }
      default:
        return this.fail(tag);
    }
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
