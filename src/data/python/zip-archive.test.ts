// Zip archives whose entries are compressed, as other programs write them; torch-file.test.ts has the stored ones.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inflateRawSync } from "node:zlib";
import { DatasetError } from "../../errors.js";
import { bytesSource } from "../random-access.js";
import { openZip, readEntry } from "./zip-archive.js";

/** a/x.txt (80 bytes of "CCO\n" in 9) and a/empty, as Python's zipfile deflates them. */
const DEFLATED = Buffer.from(
  "UEsDBBQAAAAIAAAAIQBnTwprCQAAAFAAAAAHAAAAYS94LnR4dHN29udypiIGAFBLAwQUAAAACAAAACEAAAAAAAIAAAAAAAAABwAAAGEvZW1wdHkDAFBLAQIUAxQAAAAIAAAAIQBnTwprCQAAAFAAAAAHAAAAAAAAAAAAAACAAQAAAABhL3gudHh0UEsBAhQDFAAAAAgAAAAhAAAAAAACAAAAAAAAAAcAAAAAAAAAAAAAAIABLgAAAGEvZW1wdHlQSwUGAAAAAAIAAgBqAAAAVQAAAAAA",
  "base64",
);

function inflate(packed: Uint8Array, size: number): Uint8Array {
  return inflateRawSync(packed, { maxOutputLength: Math.max(size, 1) });
}

const open = (bytes: Uint8Array) => openZip(bytesSource(bytes, "x.zip"), DatasetError, inflate);

/** The archive with a field of its first directory entry changed. */
function forged(field: number, value: number, width: 2 | 4): Uint8Array {
  const bytes = Uint8Array.from(DEFLATED);
  const view = new DataView(bytes.buffer);
  const directory = DEFLATED.indexOf("PK\x01\x02", 0, "latin1");
  if (width === 2) view.setUint16(directory + field, value, true);
  else view.setUint32(directory + field, value, true);
  return bytes;
}

function refused(bytes: Uint8Array, message: RegExp): void {
  assert.throws(() => readEntry(open(bytes), "a/x.txt"), { name: "DatasetError", message });
}

test("unpacks deflated entries", () => {
  const archive = open(DEFLATED);
  assert.deepEqual([...archive.entries.keys()], ["a/x.txt", "a/empty"]);
  assert.equal(Buffer.from(readEntry(archive, "a/x.txt")).toString(), "CCO\n".repeat(20));
  assert.equal(readEntry(archive, "a/empty").length, 0);
});

test("refuses them where nobody said how to unpack", () => {
  assert.throws(() => openZip(bytesSource(DEFLATED, "x.zip"), DatasetError), /compressed; expected stored entries/);
});

test("damage, other methods and sizes that are not what comes out are named", () => {
  const damaged = Uint8Array.from(DEFLATED);
  damaged[DEFLATED.indexOf("a/x.txt") + 7] ^= 0xff;
  refused(damaged, /^x\.zip: damaged: entry "a\/x\.txt"/);
  refused(forged(10, 12, 2), /compressed by method 12; expected deflate/);
  refused(forged(10, 0, 2), /compressed by method 0|damaged/);
  refused(forged(24, 10, 4), /cannot be unpacked/);
  refused(forged(16, 1, 4), /expected CRC-32 00000001, got 6b0a4f67/);
  refused(forged(20, 0x7fffffff, 4), /ends outside of the data/);
  for (let length = 0; length < DEFLATED.length; length += 5) refused(DEFLATED.subarray(0, length), /^x\.zip: /);
});
