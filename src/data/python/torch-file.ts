// Opens what torch.save wrote, in the zip format or the older one, as plain data whose tensors are read when asked for.
import { CheckpointError } from "../../errors.js";
import { type ByteSource, bytesSource } from "../random-access.js";
import { storageType } from "./allowed-globals.js";
import { ByteReader } from "./byte-reader.js";
import { isKind, type PythonStorage, type PythonValue, TORCH_TYPES } from "./python-values.js";
import { unpickle } from "./unpickle.js";
import { openZip, readEntry } from "./zip-archive.js";

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
function storageOf(id: PythonValue, file: string): PythonStorage {
  const items = isKind(id, "tuple") ? id.items : [];
  const [tag, kind, key, , count, part = null] = items;
  const type = kind === undefined ? undefined : storageType(kind);
  const whole = typeof count === "number" && Number.isSafeInteger(count) && count >= 0;
  if (tag !== "storage" || type === undefined || typeof key !== "string" || !whole || part !== null) {
    throw new CheckpointError(`${file}: damaged or of another version: a reference to data that is no whole storage`);
  }
  return { kind: "storage", type, key, count };
}

function openZipFile(source: ByteSource): TorchFile {
  const archive = openZip(source);
  const { name } = source;
  const pickles = [...archive.entries.keys()].filter((entry) => /^[^/]+\/data\.pkl$/.test(entry));
  const [pickle] = pickles;
  if (pickles.length !== 1) {
    throw new CheckpointError(
      `${name}: a zip archive, but not one of torch.save: expected one data.pkl, got ${pickles.length}`,
    );
  }
  const folder = pickle.slice(0, -"data.pkl".length);
  if (archive.entries.has(`${folder}constants.pkl`)) {
    throw new CheckpointError(`${name}: a TorchScript program; expected a checkpoint that torch.save wrote`);
  }
  const record = (entry: string) => new TextDecoder().decode(readEntry(archive, folder + entry)).trim();
  const version = record("version");
  if (!/^\d+$/.test(version) || Number(version) > MAX_VERSION) {
    throw new CheckpointError(
      `${name}: expected file format version ${MAX_VERSION} or lower, got ${JSON.stringify(version)}`,
    );
  }
  const order = archive.entries.has(`${folder}byteorder`) ? record("byteorder") : "little";
  if (order !== "little")
    throw new CheckpointError(`${name}: expected little-endian data, got ${JSON.stringify(order)}`);

  const bytes = readEntry(archive, pickle);
  let cached: { key: string; bytes: Uint8Array } | null = null;
  const value = unpickle(new ByteReader(bytesSource(bytes, name), 0, bytes.length), {
    persistent: (id) => {
      const storage = storageOf(id, name);
      const size = archive.entries.get(`${folder}data/${storage.key}`)?.size;
      const expected = storage.count * TORCH_TYPES[storage.type].bytes;
      if (size === undefined || size < expected) {
        throw new CheckpointError(
          `${name}: damaged: storage "${storage.key}": expected ${expected} bytes, got ${size ?? "none"}`,
        );
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
function openLegacyFile(source: ByteSource): TorchFile {
  const reader = new ByteReader(source, 0, source.byteLength);
  const { name } = source;
  const none = {
    persistent: () => reader.fail("damaged: a header that refers to data"),
    readStorage: () => reader.fail("damaged: a header that refers to data"),
  };
  if (unpickle(reader, none) !== LEGACY_MAGIC) {
    reader.fail("a Python pickle, but not one of torch.save; expected a torch checkpoint");
  }
  const version = unpickle(reader, none);
  if (version !== LEGACY_VERSION) reader.fail(`expected format version ${LEGACY_VERSION}, got ${String(version)}`);
  const system = unpickle(reader, none);
  const little =
    isKind(system, "dict") && system.entries.some(([key, value]) => key === "little_endian" && value === true);
  if (!little) reader.fail("expected little-endian data");

  const storages = new Map<string, PythonStorage>();
  const starts = new Map<string, number>();
  const value = unpickle(reader, {
    persistent: (id) => {
      const storage = storageOf(id, name);
      const before = storages.get(storage.key);
      if (before && (before.type !== storage.type || before.count !== storage.count)) {
        reader.fail(`damaged: storage "${storage.key}" is described in two ways`);
      }
      storages.set(storage.key, before ?? storage);
      return storage;
    },
    readStorage: ({ key }, first, length) => {
      const start = starts.get(key);
      return start === undefined
        ? reader.fail(`damaged: no storage "${key}"`)
        : source.read(start + first, start + first + length);
    },
  });
  const keys = unpickle(reader, none);
  let position = reader.position;
  for (const key of isKind(keys, "list") ? keys.items : reader.fail("damaged: no list of storages")) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage || starts.has(storage.key))
      return reader.fail(`damaged: storage ${String(key)} is doubled or belongs to nothing`);
    reader.position = position;
    const count = reader.length8();
    if (count !== storage.count)
      reader.fail(`damaged: storage "${key}": expected ${storage.count} elements, got ${count}`);
    starts.set(storage.key, reader.position);
    position = reader.position + count * TORCH_TYPES[storage.type].bytes;
    if (position > source.byteLength) {
      reader.fail(`truncated: storage "${key}" ends at byte ${position}, the file has ${source.byteLength}`);
    }
  }
  for (const key of storages.keys()) if (!starts.has(key)) reader.fail(`damaged: no data for storage "${key}"`);
  if (position !== source.byteLength)
    reader.fail(`damaged: ${source.byteLength - position} bytes after the last storage`);
  return { name, format: "legacy", value };
}

/**
 * Opens a checkpoint. Nothing in it is run: its pickle is read as data from an allow-list.
 * @throws CheckpointError for a file that is damaged, foreign, of another version, or that asks for anything but plain data
 */
export function openTorchFile(source: ByteSource): TorchFile {
  const head = source.read(0, Math.min(source.byteLength, 512));
  if (head.length === 0) throw new CheckpointError(`${source.name}: empty; expected a torch checkpoint`);
  if (head[0] === 0x50 && head[1] === 0x4b) return openZipFile(source);
  const text = Array.from(head, (byte) => String.fromCharCode(byte)).join("");
  for (const [matches, what] of FOREIGN) {
    if (matches(text)) throw new CheckpointError(`${source.name}: ${what}; expected a torch checkpoint`);
  }
  if (head[0] === 0x80) return openLegacyFile(source);
  throw new CheckpointError(
    `${source.name}: not a torch checkpoint: expected a zip archive or a pickle, got the bytes ${Array.from(head.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join(" ")}`,
  );
}
