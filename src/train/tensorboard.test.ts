import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { crc32c, openEventWriter } from "./tensorboard.js";

/** CRC-32C bit by bit, from its definition: nothing is shared with the table of the writer. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  return Number(crc ^ 0xffffffffn);
}

function unmask(masked: number): number {
  const rotated = (masked - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

type Fields = Map<number, (number | string | Uint8Array)[]>;

/** A protobuf message by the reader of another library: length-delimited fields stay bytes. */
function decode(bytes: Uint8Array): Fields {
  const fields: Fields = new Map();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const value =
      type === WireType.Varint
        ? Number(reader.int64())
        : type === WireType.Bit64
          ? reader.double()
          : type === WireType.Bit32
            ? reader.float()
            : reader.bytes();
    fields.set(field, [...(fields.get(field) ?? []), value]);
  }
  return fields;
}

function readEvents(path: string): Fields[] {
  const bytes = new Uint8Array(readFileSync(path));
  const view = new DataView(bytes.buffer);
  const events: Fields[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(view.getBigUint64(at, true));
    assert.equal(unmask(view.getUint32(at + 8, true)), slowCrc(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(unmask(view.getUint32(at + 12 + length, true)), slowCrc(data));
    events.push(decode(data));
    at += length + 16;
  }
  return events;
}

const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);

test("CRC-32C of the standard's examples", () => {
  assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa); // RFC 3720, B.4
  assert.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
});

test("event files are decoded by an independent reader", () => {
  const folder = mkdtempSync(join(tmpdir(), "moleblend-"));
  try {
    const writer = openEventWriter(folder, { now: () => 1234.5 });
    writer.scalars(1, { "loss/spd": 0.1, "loss/µ": -3 });
    writer.scalars(2 ** 33 + 5, { rate: 1e-30, bad: Number.NaN });
    writer.close();
    const events = readEvents(writer.path);
    assert.deepEqual(
      events.map((event) => [event.get(1), event.get(2)]),
      [
        [[1234.5], [0]],
        [[1234.5], [1]],
        [[1234.5], [2 ** 33 + 5]],
      ],
    );
    assert.equal(text(events[0].get(3)![0]), "brain.Event:2");
    const values = events.slice(1).map((event) =>
      decode(event.get(5)![0] as Uint8Array)
        .get(1)!
        .map((value) => decode(value as Uint8Array))
        .map((value) => [text(value.get(1)![0]), value.get(2)![0]]),
    );
    assert.deepEqual(values, [
      [
        ["loss/spd", Math.fround(0.1)],
        ["loss/µ", -3],
      ],
      [
        ["rate", Math.fround(1e-30)],
        ["bad", Number.NaN],
      ],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a resumed run starts a new file that hides the steps it repeats", () => {
  const folder = mkdtempSync(join(tmpdir(), "moleblend-"));
  try {
    const first = openEventWriter(folder, { now: () => 1 });
    const second = openEventWriter(folder, { now: () => 1, firstStep: 301 });
    first.close();
    second.close();
    assert.notEqual(first.path, second.path);
    const [, session] = readEvents(second.path);
    assert.deepEqual(session.get(2), [301]);
    assert.deepEqual(decode(session.get(7)![0] as Uint8Array).get(1), [1]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
