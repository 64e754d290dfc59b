// Reads small `torch.save` files (dicts of index arrays, such as OGB's split_dict.pt) as plain data.
import { DatasetError } from "../errors.js";
import { type UnpickleOptions, unpickle } from "./pickle.js";
import { zipEntries } from "./zip-file.js";

/** The number that begins a file of torch before 1.6 (as a pickle of its own). */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;

/** A tensor of one dimension or more, in C order. */
export interface TorchIndexTensor {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number | bigint>;
}

const STORAGES: Readonly<Record<string, (bytes: Uint8Array<ArrayBuffer>) => ArrayLike<number | bigint>>> = {
  LongStorage: (bytes) => new BigInt64Array(bytes.buffer),
  IntStorage: (bytes) => new Int32Array(bytes.buffer),
};

/**
 * The object in the file. numpy arrays become `NumpyArray`, tensors of whole numbers `TorchIndexTensor`.
 *
 * @throws DatasetError if the file is damaged, or holds anything but containers, numbers, text, numpy arrays and integer tensors
 */
export function readTorchFile(path: string, bytes: Uint8Array): unknown {
  try {
    return bytes[0] === 0x50 && bytes[1] === 0x4b ? readZipped(bytes) : readLegacy(bytes);
  } catch (error) {
    if (!(error instanceof DatasetError || error instanceof RangeError)) throw error;
    throw new DatasetError(`${path}: expected a file of torch.save: ${error.message}`, { cause: error });
  }
}

function readZipped(bytes: Uint8Array): unknown {
  const files = zipEntries(bytes);
  const pickle = [...files.keys()].find((name) => name.endsWith("data.pkl"));
  if (pickle === undefined) throw new DatasetError("the archive has no data.pkl");
  const folder = pickle.slice(0, -"data.pkl".length);
  const storage = (key: string): Uint8Array => {
    const read = files.get(`${folder}data/${key}`);
    if (!read) throw new DatasetError(`the archive has no data/${key}`);
    return read();
  };
  return unpickle(files.get(pickle)?.() ?? new Uint8Array(), torchNames(storage)).value;
}

/** Magic, protocol and system as pickles, then the object; only objects without tensors, whose data would come after it. */
function readLegacy(bytes: Uint8Array): unknown {
  const magic = unpickle(bytes);
  if (magic.value !== LEGACY_MAGIC) return magic.value; // a plain pickle
  const protocol = unpickle(bytes, {}, magic.end);
  const system = unpickle(bytes, {}, protocol.end);
  return unpickle(bytes, {}, system.end).value;
}

function torchNames(storage: (key: string) => Uint8Array): UnpickleOptions {
  const storages = Object.keys(STORAGES).map((name) => [`torch ${name}`, { call: () => name }] as const);
  return {
    globals: {
      ...Object.fromEntries(storages),
      "torch._utils _rebuild_tensor_v2": { call: (args) => rebuildTensor(args) },
    },
    persistentLoad(id) {
      const [kind, type, key] = id as [unknown, { readonly name?: string }, unknown];
      const name = type?.name?.replace(/^torch /, "") ?? "";
      if (kind !== "storage" || !STORAGES[name]) throw new DatasetError(`expected a tensor of integers, got ${name}`);
      return STORAGES[name](Uint8Array.from(storage(String(key))));
    },
  };
}

function rebuildTensor([storage, offset, shape, strides]: readonly unknown[]): TorchIndexTensor {
  const sizes = shape as number[];
  const count = sizes.reduce((product, size) => product * size, 1);
  const contiguous = sizes.map((_, axis) => sizes.slice(axis + 1).reduce((product, size) => product * size, 1));
  if (contiguous.some((stride, axis) => sizes[axis] > 1 && stride !== (strides as number[])[axis])) {
    throw new DatasetError("expected a tensor in C order");
  }
  const values = Array.prototype.slice.call(storage, Number(offset), Number(offset) + count) as (number | bigint)[];
  if (values.length !== count) throw new DatasetError(`expected ${count} values of a tensor, got ${values.length}`);
  return { shape: sizes, values };
}
