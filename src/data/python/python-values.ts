// The plain data that a pickle stands for: what Python would build, as records that do nothing.
import type { Fail } from "./failure.js";

/** Element types of torch storages that occur in files. */
export const TORCH_TYPES = {
  float64: { storage: "DoubleStorage", bytes: 8 },
  float32: { storage: "FloatStorage", bytes: 4 },
  float16: { storage: "HalfStorage", bytes: 2 },
  bfloat16: { storage: "BFloat16Storage", bytes: 2 },
  int64: { storage: "LongStorage", bytes: 8 },
  int32: { storage: "IntStorage", bytes: 4 },
  int16: { storage: "ShortStorage", bytes: 2 },
  int8: { storage: "CharStorage", bytes: 1 },
  uint8: { storage: "ByteStorage", bytes: 1 },
  bool: { storage: "BoolStorage", bytes: 1 },
} as const;
export type TorchType = keyof typeof TORCH_TYPES;

/** An `int` is a number or bigint, a `float` is a record: the difference survives a round trip. */
export type PythonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PythonFloat
  | PythonBytes
  | PythonSequence
  | PythonDict
  | PythonGlobal
  | PythonObject
  | PythonStorage
  | PythonTensor;

export interface PythonFloat {
  readonly kind: "float";
  readonly value: number;
}

export interface PythonBytes {
  readonly kind: "bytes";
  readonly data: Uint8Array;
}

export interface PythonSequence {
  readonly kind: "list" | "tuple" | "set" | "frozenset";
  readonly items: PythonValue[];
}

export type PythonEntry = readonly [key: PythonValue, value: PythonValue];

/** Entries in order of insertion; of equal keys the last counts. */
export interface PythonDict {
  readonly kind: "dict";
  readonly entries: PythonEntry[];
}

/** A class or constant that is only named, `module.name`. */
export interface PythonGlobal {
  readonly kind: "global";
  readonly name: string;
}

/** An instance of an allowed class: how it was made and what was put into it. Nothing is ever called. */
export interface PythonObject {
  readonly kind: "object";
  readonly type: string;
  /** new: `type.__new__(type, *given)`; call: `type(*given)`. */
  readonly made: "new" | "call";
  readonly given: readonly PythonValue[];
  readonly entries: PythonEntry[];
  /** The argument of `__setstate__` or what updates `__dict__`; undefined where there is none. */
  state: PythonValue | undefined;
}

/** The memory of tensors, stored beside the pickle. */
export interface PythonStorage {
  readonly kind: "storage";
  readonly type: TorchType;
  readonly key: string;
  /** In elements. */
  readonly count: number;
}

export interface PythonTensor {
  readonly kind: "tensor";
  readonly type: TorchType;
  readonly shape: readonly number[];
  readonly requiresGradient: boolean;
  /** Little-endian bytes in C order, read when asked for. */
  readonly read: () => Uint8Array;
}

export const float = (value: number): PythonFloat => ({ kind: "float", value });
export const list = (items: readonly PythonValue[]): PythonSequence => ({ kind: "list", items: [...items] });
export const tuple = (items: readonly PythonValue[]): PythonSequence => ({ kind: "tuple", items: [...items] });

/** A dict with string keys, in the order of the record. */
export function dict(record: Readonly<Record<string, PythonValue>>): PythonDict {
  return { kind: "dict", entries: Object.entries(record) };
}

type PythonRecord = Exclude<PythonValue, null | boolean | number | bigint | string>;
type OfKind<K, R = PythonRecord> = R extends { readonly kind: infer Kinds } ? (K extends Kinds ? R : never) : never;

export function isKind<K extends PythonRecord["kind"]>(
  value: PythonValue | undefined,
  kind: K,
): value is OfKind<K> & PythonValue {
  return typeof value === "object" && value !== null && value.kind === kind;
}

/** Entries of a dict, an OrderedDict, or the attributes of a Namespace; null for anything else. */
export function entriesOf(value: PythonValue | undefined): readonly PythonEntry[] | null {
  if (isKind(value, "dict")) return value.entries;
  if (!isKind(value, "object")) return null;
  if (value.type === "argparse.Namespace") return entriesOf(value.state);
  if (value.type !== "collections.OrderedDict") return null;
  // OrderedDict([(key, value), …]), as protocol 0 and 1 write it.
  const [given] = value.given;
  const pairs = isKind(given, "list") ? given.items : [];
  const first = pairs.flatMap((pair): PythonEntry[] =>
    isKind(pair, "tuple") || isKind(pair, "list") ? [[pair.items[0], pair.items[1]]] : [],
  );
  return [...first, ...value.entries];
}

/** The value at a path of string keys; undefined where a part of the path is missing. */
export function lookUp(value: PythonValue | undefined, ...path: readonly string[]): PythonValue | undefined {
  let at = value;
  for (const key of path) at = entriesOf(at)?.findLast(([name]) => name === key)?.[1];
  return at;
}

/** A tuple or list of whole numbers from 0 on, such as a shape; null for anything else. */
export function naturals(value: PythonValue | undefined): readonly number[] | null {
  if (!isKind(value, "tuple") && !isKind(value, "list")) return null;
  const numbers = value.items.filter((item) => typeof item === "number" && Number.isSafeInteger(item) && item >= 0);
  return numbers.length === value.items.length ? (numbers as number[]) : null;
}

/** An int or float as a number; undefined for anything else. */
export function toNumber(value: PythonValue | undefined): number | undefined {
  if (typeof value === "number" || typeof value === "bigint") return Number(value);
  return isKind(value, "float") ? value.value : undefined;
}

/** Containers inside containers, and values when what is shared is counted as often as it occurs. */
const MAX_DEPTH = 100;
const MAX_VALUES = 3_000_000;

export function childrenOf(value: PythonValue): readonly PythonValue[] {
  if (typeof value !== "object" || value === null) return [];
  if (value.kind === "dict") return value.entries.flat();
  if (value.kind === "object") {
    return [...value.given, ...value.entries.flat(), ...(value.state === undefined ? [] : [value.state])];
  }
  return "items" in value ? value.items : [];
}

/**
 * Refuses data that is small in the file and huge when walked: values shared again and again, cycles, deep nesting.
 */
export function checkExtent(root: PythonValue, fail: Fail): void {
  let count = 0;
  const visit = (value: PythonValue, depth: number): void => {
    if (depth > MAX_DEPTH) fail(`containers are nested more than ${MAX_DEPTH} deep, or contain themselves`);
    const children = childrenOf(value);
    count += children.length;
    if (count > MAX_VALUES) fail(`unfolds to more than ${MAX_VALUES.toLocaleString("en")} values; refused`);
    for (const child of children) visit(child, depth + 1);
  };
  visit(root, 0);
}
