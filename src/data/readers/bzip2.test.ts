// bzip2: files of the original program, random ones where it is installed, and damaged twins.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { DatasetError } from "../../errors.js";
import { unpackBzip2 } from "./bzip2.js";
import { type ReadItem, readRecords } from "./index.js";
import { brief, failure, fixtures, put, records } from "./reading.test.support.js";

const CHAINS = readFileSync(join(fixtures, "chains.smi.bz2"));
const QM9 = readFileSync(join(fixtures, "dsgdb9nsd.xyz.tar.bz2"));

async function* portions(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function unpacked(bytes: Buffer, size = 1 << 16): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of unpackBzip2("x.bz2", portions(bytes, size))) pieces.push(piece);
  return Buffer.concat(pieces);
}

const lines = [
  ...Array.from({ length: 26_000 }, (_, i) => `${"C".repeat(1 + (i % 7))}O n${(i * i) % 997}\n`),
  ...Array.from({ length: 50_000 }, () => "CCCCCCCCCC\n"),
];

describe("bzip2", () => {
  test("blocks, streams one after another, an empty one, however the bytes come in", async () => {
    const expected = createHash("sha256").update(lines.join("")).digest("hex");
    for (const size of [997, 1 << 16, CHAINS.length]) {
      const bytes = await unpacked(CHAINS, size);
      assert.equal(createHash("sha256").update(bytes).digest("hex"), expected, `portions of ${size}`);
    }
  });

  test("what the bzip2 program packs", async (context) => {
    const pack = (bytes: Uint8Array, level: string) =>
      spawnSync("bzip2", [level, "-c"], { input: bytes, maxBuffer: 2 ** 26 }).stdout;
    if (spawnSync("bzip2", ["--version"]).error) {
      context.skip("no bzip2 here");
      return;
    }
    const runs = fc
      .array(fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 1, max: 700 })), { maxLength: 400 })
      .map((parts) => Buffer.concat(parts.map(([byte, length]) => Buffer.alloc(length, byte))));
    const noise = fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes));
    const repeated = fc
      .tuple(fc.string({ minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 30_000 }))
      .map(([text, count]) => Buffer.from(text.repeat(count)));
    await fc.assert(
      fc.asyncProperty(fc.oneof(runs, noise, repeated), fc.constantFrom("-1", "-9"), async (bytes, level) => {
        assert.ok((await unpacked(pack(bytes, level), 4096)).equals(bytes));
      }),
      { numRuns: 60 },
    );
  });

  test("QM9 as it is published: a tar of xyz files", async () => {
    const all = await records(join(fixtures, "dsgdb9nsd.xyz.tar.bz2"));
    assert.deepEqual(
      all.map(({ name }) => name),
      ["gdb_1", "gdb_2", "gdb_3", "gdb_4"],
    );
    assert.equal(all[3].properties["gap"], "0.5048");
    // By content as well, and of a file inside of an archive.
    for (const name of ["qm9.tbz2", "qm9.data"]) assert.equal((await records(put(name, QM9))).length, 4, name);
    assert.deepEqual((await brief(put("some.smi.bz2", CHAINS))).slice(0, 2), ["CO n0", "CCO n1"]);
  });

  test("damaged twins: every block before the damage is used", async () => {
    const cut = put("cut.smi.bz2", CHAINS.subarray(0, 20_000));
    const items: ReadItem[] = [];
    await assert.rejects(async () => {
      for await (const item of readRecords(cut)) items.push(item);
    }, /cut\.smi\.bz2: its bzip2 data is damaged near byte \d+ \(it ends too early\); \d+ records before that were read/);
    assert.ok(items.length > 8000 && items.length < 26_000, `${items.length}`);

    const broken = Buffer.from(CHAINS);
    broken[20_000] ^= 4;
    assert.match(await failure(put("broken.smi.bz2", broken)), /bzip2 data is damaged near byte 1\d{4} \(/);
    const tail = Buffer.concat([CHAINS, Buffer.from("something")]);
    assert.match(
      await failure(put("tail.smi.bz2", tail)),
      new RegExp(`near byte ${CHAINS.length} \\(something else follows\\); 76000 records`),
    );
    assert.match(await failure(put("cut.tar.bz2", QM9.subarray(0, 300))), /cut\.tar\.bz2: its bzip2 data is damaged/);
    const wrongSum = Buffer.from(QM9);
    wrongSum[12] ^= 1;
    assert.match(await failure(put("sum.tar.bz2", wrongSum)), /expected CRC-32 [0-9a-f]{8}, got [0-9a-f]{8}/);
  });

  test("no damage hangs, escapes as another error, or changes what is handed out", async () => {
    const whole = await unpacked(CHAINS);
    const pieces: Buffer[] = [];
    const damage = fc.tuple(fc.nat(CHAINS.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(CHAINS.length));
    await fc.assert(
      fc.asyncProperty(damage, async ([at, change, length]) => {
        pieces.length = 0;
        const twin = Buffer.from(CHAINS.subarray(0, length));
        if (at < length) twin[at] ^= change;
        try {
          for await (const piece of unpackBzip2("x.bz2", portions(twin, 1 << 16))) pieces.push(piece);
        } catch (error) {
          assert.ok(error instanceof DatasetError, String(error));
        }
        const got = Buffer.concat(pieces);
        assert.ok(got.equals(whole.subarray(0, got.length)));
      }),
      { numRuns: 25 },
    );
  });
});
