// Checkpoint files in both formats of torch.save: whole, damaged, cut short, foreign and forged.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CheckpointError } from "../../errors.js";
import { bytesSource } from "../random-access.js";
import { TORCH_CLASSES } from "./allowed-globals.js";
import { crc32 } from "./crc32.js";
import { writePickle } from "./pickle-writer.js";
import { dict, isKind, list, lookUp, type PythonTensor, type PythonValue } from "./python-values.js";
import { openTorchFile } from "./torch-file.js";
import { encodeTorchFile } from "./torch-writer.js";
import { encodeZip } from "./zip-writer.js";

function tensor(values: readonly number[], shape: readonly number[] = [values.length]): PythonTensor {
  const data = Float32Array.from(values);
  const read = () => new Uint8Array(data.buffer);
  return { kind: "tensor", type: "float32", shape, requiresGradient: false, read };
}

const RULES = { classes: TORCH_CLASSES, Failure: CheckpointError };
const VALUE = dict({ name: "tiny", weight: tensor([1, 2, 3, 4, 5, 6], [2, 3]), none: tensor([], [0, 4]) });

function join(parts: Iterable<Uint8Array>): Uint8Array {
  return new Uint8Array(Buffer.concat([...parts]));
}

/** The older format, as torch writes it with `_use_new_zipfile_serialization=False`. */
function legacyFile(
  value: PythonValue,
  change: { magic?: bigint; version?: number; little?: boolean } = {},
): Uint8Array {
  const { magic = 0x1950a86a20f9469cfc6cn, version = 1001, little = true } = change;
  const tensors: PythonTensor[] = [];
  const plain = (item: PythonValue) => writePickle(item, () => "");
  const main = writePickle(value, (item) => String(tensors.push(item) - 1));
  const storages = tensors.flatMap((item) => {
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(item.read().length / 4), true);
    return [length, item.read()];
  });
  const keys = list(tensors.map((_, key) => String(key)));
  return join([plain(magic), plain(version), plain(dict({ little_endian: little })), main, plain(keys), ...storages]);
}

function open(bytes: Uint8Array) {
  return openTorchFile(bytesSource(bytes, "x.pt"), RULES);
}

function numbers(value: PythonValue, name: string): number[] {
  const found = lookUp(value, name);
  assert.ok(isKind(found, "tensor"));
  return [...new Float32Array(new Uint8Array(found.read()).buffer)];
}

function refused(bytes: Uint8Array, expected: RegExp): void {
  assert.throws(
    () => {
      const { value } = open(bytes);
      for (const name of ["weight", "none"]) numbers(value, name);
    },
    (error: Error) => {
      assert.ok(error instanceof CheckpointError, `${error.name}: ${error.message}`);
      assert.match(error.message, expected);
      return true;
    },
  );
}

for (const [format, bytes] of [
  ["zip", join(encodeTorchFile(VALUE))],
  ["legacy", legacyFile(VALUE)],
] as const) {
  test(`${format}: tensors come back`, () => {
    const file = open(bytes);
    assert.equal(file.format, format);
    assert.deepEqual(numbers(file.value, "weight"), [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(numbers(file.value, "none"), []);
  });

  test(`${format}: every truncation is noticed`, () => {
    for (let length = 0; length < bytes.length; length += 7) refused(bytes.subarray(0, length), /^x\.pt: /);
    refused(bytes.subarray(0, bytes.length - 1), /truncated|directory/);
  });
}

test("zip: a flipped bit in a pickle or a tensor is noticed", () => {
  const bytes = join(encodeTorchFile(VALUE));
  for (const needle of ["tiny", "\x00\x00\x80\x3f\x00\x00\x00\x40"]) {
    const at = Buffer.from(bytes).indexOf(Buffer.from(needle, "latin1"));
    const damaged = bytes.slice();
    damaged[at] ^= 1;
    refused(damaged, /damaged: entry .* expected CRC-32/);
  }
});

test("zip: tensors begin at multiples of 64 bytes, as torch maps them", () => {
  const bytes = join(encodeTorchFile(VALUE));
  assert.equal(Buffer.from(bytes).indexOf(Buffer.from(Float32Array.of(1, 2, 3).buffer)) % 64, 0);
});

const text = (content: string) => new TextEncoder().encode(content);
const zip = (files: Readonly<Record<string, Uint8Array>>, limit?: number) =>
  join(
    encodeZip(
      Object.entries(files).map(([name, content]) => ({ name, read: () => content })),
      limit,
    ),
  );
const PICKLE = writePickle(VALUE, () => "0");
const WHOLE = { "a/data.pkl": PICKLE, "a/data/0": new Uint8Array(24), "a/version": text("3\n") };

test("zip: ZIP64 fields are written where they are needed, and read", () => {
  const plain = openTorchFile(bytesSource(zip(WHOLE), "x"), RULES);
  const wide = openTorchFile(bytesSource(zip(WHOLE, 10), "x"), RULES);
  assert.deepEqual(numbers(wide.value, "weight"), numbers(plain.value, "weight"));
});

test("zip: what is no checkpoint, or of another version, is named", () => {
  refused(zip({ "a/x": text("1") }), /not one of torch\.save: expected one data\.pkl, got 0/);
  refused(zip({ ...WHOLE, "b/data.pkl": PICKLE }), /expected one data\.pkl, got 2/);
  refused(zip({ ...WHOLE, "a/constants.pkl": PICKLE }), /TorchScript/);
  refused(zip({ ...WHOLE, "a/version": text("99") }), /version 10 or lower, got "99"/);
  refused(zip({ ...WHOLE, "a/byteorder": text("big") }), /little-endian/);
  refused(zip({ "a/data.pkl": PICKLE, "a/version": text("3") }), /storage "0": expected 24 bytes, got none/);
  refused(zip({ ...WHOLE, "a/data/0": new Uint8Array(8) }), /storage "0": expected 24 bytes, got 8/);
});

test("zip: paths that lead out of the archive, doubled and overlapping entries are refused", () => {
  for (const name of ["../../etc/passwd", "/etc/passwd", "a/../b", "C:x", "a\\b"]) {
    refused(zip({ ...WHOLE, [name]: text("x") }), /points outside of the archive/);
  }
  const twice = Object.entries(WHOLE).map(([name, content]) => ({ name, read: () => content }));
  refused(join(encodeZip([...twice, ...twice])), /two entries are named/);
  const forged = zip(WHOLE);
  const directory = Buffer.from(forged).indexOf(Buffer.from("PK\x01\x02", "latin1"));
  const second = Buffer.from(forged).indexOf(Buffer.from("PK\x01\x02", "latin1"), directory + 4);
  new DataView(forged.buffer).setUint32(second + 42, 0, true);
  refused(forged, /overlaps|no entry/);
});

test("zip: a compressed entry, which may be a bomb, is refused before anything is unpacked", () => {
  const bytes = zip(WHOLE);
  const directory = Buffer.from(bytes).indexOf(Buffer.from("PK\x01\x02", "latin1"));
  const compressed = bytes.slice();
  new DataView(compressed.buffer).setUint16(directory + 10, 8, true);
  refused(compressed, /compressed; expected stored entries/);
  const huge = bytes.slice();
  new DataView(huge.buffer).setUint32(directory + 20, 0xfffffff0, true);
  new DataView(huge.buffer).setUint32(directory + 24, 0xfffffff0, true);
  refused(huge, /ends outside of the data/);
});

test("legacy: another magic number, version or byte order is named", () => {
  refused(legacyFile(VALUE, { magic: 5n }), /not one of torch\.save/);
  refused(legacyFile(VALUE, { version: 1002 }), /version 1001, got 1002/);
  refused(legacyFile(VALUE, { little: false }), /little-endian/);
  refused(join([legacyFile(VALUE), new Uint8Array(3)]), /3 bytes after the last storage/);
});

test("tensors that do not fit their storage are refused", () => {
  // Protocol 2 with a storage of 6 elements; offset, size and strides follow.
  const forge = (rest: string) =>
    Uint8Array.from(
      `\x80\x02}X\x06\x00\x00\x00weightctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ${rest}\x89}tRs.`,
      (character) => character.charCodeAt(0),
    );
  const file = (rest: string) => zip({ ...WHOLE, "a/data.pkl": forge(rest) });
  assert.deepEqual(numbers(open(file("K\x01K\x02\x85K\x02\x85")).value, "weight").length, 2, "a strided view");
  refused(file("K\x05K\x02\x85K\x01\x85"), /does not fit its storage of 6/);
  refused(file("K\x00J\x00\x00\x00\x7f\x85K\x00\x85"), /does not fit its storage of 6/);
  refused(file("K\x00J\xff\xff\xff\xff\x85K\x01\x85"), /valid shape/);
  refused(file("J\xff\xff\xff\xffK\x02\x85K\x01\x85"), /valid offset/);
  refused(file("K\x00K\x02\x85)"), /valid shape and stride/);
});

test("files that are something else say what they are", () => {
  const expectations: readonly (readonly [string, RegExp])[] = [
    ["", /empty/],
    ["<!DOCTYPE html><html>", /a web page/],
    ["version https://git-lfs.github.com/spec/v1\n", /Git LFS/],
    ["\x1f\x8b\x08\x00", /gzip/],
    ['{"a": 1}', /JSON/],
    [`\x10\x00\x00\x00\x00\x00\x00\x00{"a":{"dtype":"F32"}}`, /safetensors/],
    ["\x89HDF\r\n", /HDF5/],
    ["\x00\x01\x02\x03", /got the bytes 00 01 02 03/],
    ["\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.", /"os\.system".*nothing was run/],
  ];
  for (const [content, expected] of expectations) {
    refused(
      Uint8Array.from(content, (character) => character.charCodeAt(0)),
      expected,
    );
  }
});

test("CRC-32 of known strings", () => {
  assert.equal(crc32(text("123456789")), 0xcbf43926);
  assert.equal(crc32(text("The quick brown fox jumps over the lazy dog")), 0x414fa339);
  assert.equal(crc32(text("56789"), crc32(text("1234"))), 0xcbf43926);
});
