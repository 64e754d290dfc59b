// The few names that a pickle may mention, and what they become. Everything else is refused; nothing is ever called.
import type { Fail } from "./failure.js";
import {
  isKind,
  naturals,
  type PythonObject,
  type PythonStorage,
  type PythonTensor,
  type PythonValue,
  TORCH_TYPES,
  type TorchType,
} from "./python-values.js";
import { gatherElements } from "./strided.js";

/** Reads the elements of a storage as bytes. */
export type StorageReader = (storage: PythonStorage, firstByte: number, bytes: number) => Uint8Array;

/** Classes that files of `torch.save` name beside their tensors; instances are kept as inert records. */
export const TORCH_CLASSES: ReadonlySet<string> = new Set([
  "collections.OrderedDict",
  "argparse.Namespace",
  "numpy.dtype",
  "numpy.core.multiarray.scalar",
  "numpy._core.multiarray.scalar",
  "_codecs.encode",
  "torch.device",
  "torch.Size",
]);

/** Builtins that stand for plain data. Python 2 spells the module `__builtin__`. */
const SETS: Readonly<Record<string, "set" | "frozenset">> = {
  "builtins.set": "set",
  "builtins.frozenset": "frozenset",
};

const REBUILD_TENSOR = ["torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"];
const REBUILD_PARAMETER = "torch._utils._rebuild_parameter";
const TYPES = Object.keys(TORCH_TYPES) as TorchType[];
const STORAGES: ReadonlyMap<string, TorchType> = new Map(
  TYPES.map((type) => [`torch.${TORCH_TYPES[type].storage}`, type]),
);
/** Constants: only named, never called. */
const CONSTANTS: ReadonlySet<string> = new Set([...STORAGES.keys(), ...TYPES.map((type) => `torch.${type}`)]);

function isAllowed(name: string): boolean {
  return (
    CONSTANTS.has(name) || REBUILD_TENSOR.includes(name) || name === REBUILD_PARAMETER || Object.hasOwn(SETS, name)
  );
}

/**
 * A global that the pickle asks for.
 * @param classes full names of the classes that may be named beside those of tensors and sets
 * @throws the reader's error, naming it, when it is not on the list
 */
export function allowedGlobal(module: string, name: string, classes: ReadonlySet<string>, fail: Fail): PythonValue {
  const full = `${module === "__builtin__" ? "builtins" : module}.${name}`;
  if (classes.has(full) || isAllowed(full)) return { kind: "global", name: full };
  const asked = JSON.stringify(`${module}.${name}`);
  return fail(
    `refused: it asks for the Python object ${asked}, which plain data does not need and which could run code; nothing was run`,
  );
}

export function storageType(value: PythonValue): TorchType | undefined {
  return isKind(value, "global") ? STORAGES.get(value.name) : undefined;
}

/** Elements of a tensor gathered from its storage into C order. */
function gather(
  read: StorageReader,
  storage: PythonStorage,
  offset: number,
  shape: readonly number[],
  stride: readonly number[],
): Uint8Array {
  const { bytes } = TORCH_TYPES[storage.type];
  const count = shape.reduce((size, dim) => size * dim, 1);
  let expected = 1;
  const contiguous = [...shape.keys()].reverse().every((axis) => {
    const fits = shape[axis] === 1 || stride[axis] === expected;
    expected *= shape[axis];
    return fits;
  });
  if (contiguous || count === 0) return read(storage, offset * bytes, count * bytes);
  return gatherElements(read(storage, 0, storage.count * bytes), bytes, offset, shape, stride);
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)` */
function rebuildTensor(given: readonly PythonValue[], read: StorageReader, failed: Fail): PythonTensor {
  const [storage, offset, size, strides, requiresGradient = false] = given;
  const shape = naturals(size);
  const stride = naturals(strides);
  const fail = (reason: string): never => failed(`damaged: a tensor ${reason}`);
  if (!isKind(storage, "storage")) return fail("without a storage");
  if (typeof offset !== "number" || !Number.isSafeInteger(offset) || offset < 0) return fail("without a valid offset");
  if (!shape || !stride || shape.length !== stride.length) return fail("without a valid shape and stride");
  const count = shape.reduce((product, dim) => product * dim, 1);
  const last = offset + shape.reduce((sum, dim, axis) => sum + Math.max(dim - 1, 0) * stride[axis], 0);
  // More elements than the storage has would be a few bytes repeated without end (stride 0).
  if (count > storage.count || (count > 0 && last >= storage.count)) {
    return fail(`of shape [${shape}] that does not fit its storage of ${storage.count} elements`);
  }
  return {
    kind: "tensor",
    type: storage.type,
    shape,
    requiresGradient: requiresGradient === true,
    read: () => gather(read, storage, offset, shape, stride),
  };
}

/**
 * What `callee(*given)` stands for, as plain data.
 * @throws the reader's error when the callee is a constant, no global at all, or is given what it does not take
 */
export function construct(
  callee: PythonValue,
  given: readonly PythonValue[],
  made: PythonObject["made"],
  read: StorageReader,
  fail: Fail,
): PythonValue {
  if (!isKind(callee, "global")) return fail("refused: it calls a value that is no class; nothing was run");
  const { name } = callee;
  if (REBUILD_TENSOR.includes(name)) return rebuildTensor(given, read, fail);
  if (name === REBUILD_PARAMETER) {
    if (isKind(given[0], "tensor")) return given[0];
    return fail("damaged: a parameter without a tensor");
  }
  if (Object.hasOwn(SETS, name)) {
    const [items] = given;
    const kind = SETS[name];
    if (items === undefined) return { kind, items: [] };
    if (isKind(items, "tuple") || isKind(items, "list")) return { kind, items: items.items };
    return fail(`damaged: ${name} of something that is no list`);
  }
  if (CONSTANTS.has(name)) return fail(`refused: it calls ${name}, which files only mention; nothing was run`);
  return { kind: "object", type: name, made, given, entries: [], state: undefined };
}
