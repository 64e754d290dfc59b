// Opens what torch.save wrote, in the zip format or the older one, as plain data whose tensors are read when asked for.
import { type ByteSource, bytesSource } from "../random-access.js";
import { storageType } from "./allowed-globals.js";
import { ByteReader } from "./byte-reader.js";
import { type Fail, type FailureClass, failing } from "./failure.js";
import { isKind, type PythonStorage, type PythonValue, TORCH_TYPES } from "./python-values.js";
import { unpickle } from "./unpickle.js";
import { openZip, readEntry } from "./zip-archive.js";

/** What a file is read for. */
export interface TorchRules {
  /** Full names of the classes whose instances are kept as inert records; tensors and plain containers need none. */
  readonly classes: ReadonlySet<string>;
  /** What is thrown where the file is not what it should be. */
  readonly Failure: FailureClass;
}

export interface TorchFile {
  readonly name: string;
  readonly format: "zip" | "legacy";
  readonly value: PythonValue;
}

/** `kMaxSupportedFileFormatVersion` of torch. */
const MAX_VERSION = 10;
/** First value of the older format, and its version (torch/serialization.py). */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_VERSION = 1001;

/** Beginnings of files that people take for checkpoints. */
const FOREIGN: readonly (readonly [(head: string) => boolean, string])[] = [
  [(head) => head.startsWith("\x1f\x8b"), "a gzip file; unpack it first"],
  [(head) => /^\s*<(!doctype|html|\?xml)/i.test(head), "a web page; the download did not work"],
  [(head) => head.startsWith("version https://git-lfs"), "a Git LFS pointer; fetch the file it points to"],
  [(head) => head.startsWith("\x89HDF"), "an HDF5 file"],
  [(head) => /^.{8}\{\s*"/s.test(head), "a safetensors file"],
  [(head) => head.startsWith("ustar", 257), "a tar archive: torch before 0.2 wrote such files, which are not read"],
  [(head) => /^\s*[{[]/.test(head), "JSON"],
];

/** `('storage', torch.FloatStorage, key, location, elements[, view])` */
function storageOf(id: PythonValue, fail: Fail): PythonStorage {
  const items = isKind(id, "tuple") ? id.items : [];
  const [tag, kind, key, , count, part = null] = items;
  const type = kind === undefined ? undefined : storageType(kind);
  const whole = typeof count === "number" && Number.isSafeInteger(count) && count >= 0;
  if (tag !== "storage" || type === undefined || typeof key !== "string" || !whole || part !== null) {
    return fail("damaged or of another version: a reference to data that is no whole storage");
  }
  return { kind: "storage", type, key, count };
}

function openZipFile(source: ByteSource, { classes, Failure }: TorchRules): TorchFile {
  const archive = openZip(source, Failure);
  const { fail } = archive;
  const { name } = source;
  const pickles = [...archive.entries.keys()].filter((entry) => /^[^/]+\/data\.pkl$/.test(entry));
  const [pickle] = pickles;
  if (pickles.length !== 1) {
    return fail(`a zip archive, but not one of torch.save: expected one data.pkl, got ${pickles.length}`);
  }
  const folder = pickle.slice(0, -"data.pkl".length);
  if (archive.entries.has(`${folder}constants.pkl`)) {
    fail("a TorchScript program; expected a file that torch.save wrote");
  }
  const record = (entry: string) => new TextDecoder().decode(readEntry(archive, folder + entry)).trim();
  const version = record("version");
  if (!/^\d+$/.test(version) || Number(version) > MAX_VERSION) {
    fail(`expected file format version ${MAX_VERSION} or lower, got ${JSON.stringify(version)}`);
  }
  const order = archive.entries.has(`${folder}byteorder`) ? record("byteorder") : "little";
  if (order !== "little") fail(`expected little-endian data, got ${JSON.stringify(order)}`);

  const bytes = readEntry(archive, pickle);
  let cached: { key: string; bytes: Uint8Array } | null = null;
  const value = unpickle(new ByteReader(bytesSource(bytes, name), 0, bytes.length, Failure), {
    classes,
    persistent: (id) => {
      const storage = storageOf(id, fail);
      const size = archive.entries.get(`${folder}data/${storage.key}`)?.size;
      const expected = storage.count * TORCH_TYPES[storage.type].bytes;
      if (size === undefined || size < expected) {
        fail(`damaged: storage "${storage.key}": expected ${expected} bytes, got ${size ?? "none"}`);
      }
      return storage;
    },
    readStorage: ({ key }, first, length) => {
      if (cached?.key !== key) cached = { key, bytes: readEntry(archive, `${folder}data/${key}`) };
      return cached.bytes.subarray(first, first + length);
    },
  });
  return { name, format: "zip", value };
}

/** Pickles of magic number, version, system, the value, the keys; then each storage: its length and its elements. */
function openLegacyFile(source: ByteSource, { classes, Failure }: TorchRules): TorchFile {
  const reader = new ByteReader(source, 0, source.byteLength, Failure);
  const { fail } = reader;
  const none = {
    classes,
    persistent: () => fail("damaged: a header that refers to data"),
    readStorage: () => fail("damaged: a header that refers to data"),
  };
  if (unpickle(reader, none) !== LEGACY_MAGIC) {
    fail("a Python pickle, but not one of torch.save");
  }
  const version = unpickle(reader, none);
  if (version !== LEGACY_VERSION) fail(`expected format version ${LEGACY_VERSION}, got ${String(version)}`);
  const system = unpickle(reader, none);
  const little =
    isKind(system, "dict") && system.entries.some(([key, value]) => key === "little_endian" && value === true);
  if (!little) fail("expected little-endian data");

  const storages = new Map<string, PythonStorage>();
  const starts = new Map<string, number>();
  const value = unpickle(reader, {
    classes,
    persistent: (id) => {
      const storage = storageOf(id, fail);
      const before = storages.get(storage.key);
      if (before && (before.type !== storage.type || before.count !== storage.count)) {
        fail(`damaged: storage "${storage.key}" is described in two ways`);
      }
      storages.set(storage.key, before ?? storage);
      return storage;
    },
    readStorage: ({ key }, first, length) => {
      const start = starts.get(key);
      return start === undefined
        ? fail(`damaged: no storage "${key}"`)
        : source.read(start + first, start + first + length);
    },
  });
  const keys = unpickle(reader, none);
  let position = reader.position;
  for (const key of isKind(keys, "list") ? keys.items : fail("damaged: no list of storages")) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage || starts.has(storage.key))
      return fail(`damaged: storage ${String(key)} is doubled or belongs to nothing`);
    reader.position = position;
    const count = reader.length8();
    if (count !== storage.count) fail(`damaged: storage "${key}": expected ${storage.count} elements, got ${count}`);
    starts.set(storage.key, reader.position);
    position = reader.position + count * TORCH_TYPES[storage.type].bytes;
    if (position > source.byteLength) {
      fail(`truncated: storage "${key}" ends at byte ${position}, the file has ${source.byteLength}`);
    }
  }
  for (const key of storages.keys()) if (!starts.has(key)) fail(`damaged: no data for storage "${key}"`);
  if (position !== source.byteLength) fail(`damaged: ${source.byteLength - position} bytes after the last storage`);
  return { name: source.name, format: "legacy", value };
}

/**
 * Opens a file. Nothing in it is run: its pickle is read as data from an allow-list.
 * @throws Failure for a file that is damaged, foreign, of another version, or that asks for anything but plain data
 */
export function openTorchFile(source: ByteSource, rules: TorchRules): TorchFile {
  const fail = failing(rules.Failure, source.name);
  const head = source.read(0, Math.min(source.byteLength, 512));
  if (head.length === 0) return fail("empty; expected a file of torch.save");
  if (head[0] === 0x50 && head[1] === 0x4b) return openZipFile(source, rules);
  const text = Array.from(head, (byte) => String.fromCharCode(byte)).join("");
  for (const [matches, what] of FOREIGN) {
    if (matches(text)) fail(`${what}; expected a file of torch.save`);
  }
  if (head[0] === 0x80) return openLegacyFile(source, rules);
  const bytes = Array.from(head.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return fail(`not a file of torch.save: expected a zip archive or a pickle, got the bytes ${bytes}`);
}
