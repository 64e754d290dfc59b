// JSON lines, Parquet and Arrow: good files in their variants, and malformed twins.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { tableFromArrays, tableToIPC } from "apache-arrow";
import { parquetWriteBuffer } from "hyparquet-writer";
import { DatasetError } from "../../errors.js";
import { decodeLz4Frame } from "./lz4-frame.js";
import { brief, data, failure, folder, put, read, records, skip } from "./reading.test.support.js";

describe("JSON lines", () => {
  test("fields become properties, numbers and nulls as in a table; gzip; by content", async () => {
    const text =
      '{"smiles":"CCO","name":"ethanol","gap":1.5,"y":null,"ok":true,"list":[1,2]}\n\n{"id":7,"SMILES":"CC"}\n';
    const path = put("a.jsonl", text);
    assert.deepEqual(await brief(path), ["CCO ethanol", "empty-line: the line is empty", "CC 7"]);
    const first = (await read(path))[0];
    assert.deepEqual("properties" in first && first.properties, {
      name: "ethanol",
      gap: "1.5",
      y: "",
      ok: "1",
      list: "[1,2]",
    });
    assert.deepEqual(await brief(put("b.ndjson.gz", gzipSync('{"mol":"C"}\n'))), ["C"]);
    assert.deepEqual(await brief(put("c.dat", '{"smiles":"C"}\n')), ["C"]);
    assert.deepEqual(await brief(put("d.jsonl", '{"x":"C"}\n'), { smilesColumn: "x" }), ["C"]);
  });

  test("lines that are none", async () => {
    const items = await brief(put("e.jsonl", '{"smiles":"C"\n[1]\n{"gap":1}\n{"smiles":""}\n{"smiles":"N"}\n'));
    assert.match(items[0], /^unparsable-record: JSON: /);
    assert.deepEqual(items.slice(1), [
      "unparsable-record: JSON: expected an object, got [1]",
      "unparsable-record: JSON: expected a SMILES field, got the fields gap",
      "empty-line: the line is empty",
      "N",
    ]);
  });
});

function parquet(rows: number, codec: "SNAPPY" | "UNCOMPRESSED" = "SNAPPY"): Buffer {
  const columnData = [
    { name: "SMILES", data: Array.from({ length: rows }, (_, i) => "C".repeat(1 + (i % 9))) },
    { name: "name", data: Array.from({ length: rows }, (_, i) => `m${i}`) },
    { name: "gap", data: Array.from({ length: rows }, (_, i) => (i % 10 === 3 ? null : i / 2)) },
    { name: "count", data: Array.from({ length: rows }, (_, i) => BigInt(i)) },
  ];
  return Buffer.from(parquetWriteBuffer({ columnData, codec, rowGroupSize: 400 }));
}

describe("Parquet", () => {
  test("row groups, nulls, wide integers, progress; by content; only what is wanted", async () => {
    const path = put("a.parquet", parquet(1000));
    const seen: number[] = [];
    const columns: string[] = [];
    const all = await records(path, {
      onBytes: (done) => seen.push(done),
      onColumns: (names) => columns.push(...names),
    });
    assert.equal(all.length, 1000);
    assert.deepEqual(all[3], {
      ...{ format: "smiles", text: "CCCC", name: "m3", file: path, line: 4, record: 4 },
      properties: { name: "m3", gap: "", count: "3" },
    });
    assert.equal(all[999].properties["gap"], "499.5");
    assert.deepEqual(columns, ["SMILES", "name", "gap", "count"]);
    assert.equal(seen.at(-1), readFileSync(path).length);
    assert.equal((await records(put("b.bin", parquet(5, "UNCOMPRESSED")))).length, 5);
    assert.deepEqual((await records(path, { properties: ["gap"] }))[0].properties, { name: "m0", gap: "0" });
  });

  test("damage, another kind of file, no SMILES column", async () => {
    const whole = parquet(1000);
    assert.match(
      await failure(put("cut.parquet", whole.subarray(0, 900))),
      /^\/cut\.parquet: expected a Parquet file, got damaged/,
    );
    assert.match(await failure(put("text.parquet", "smiles\nC\n")), /expected a Parquet file/);
    assert.equal(
      await failure(put("c.parquet", whole), { smilesColumn: "smi" }),
      '/c.parquet: expected the column "smi", got the columns SMILES, name, gap, count',
    );
    assert.match(await failure(join(folder, "absent.parquet")), /there is no such file/);
    assert.match(await failure(put("d.csv", whole)), /got Parquet|a Parquet file; name it \.parquet/);
    const broken = Buffer.from(whole);
    broken.fill(0xff, 40, 400);
    assert.match(await failure(put("e.parquet", broken)), /got damaged or foreign data/);
  });
});

describe("Arrow", () => {
  const table = tableFromArrays({
    smiles: Array.from({ length: 300 }, (_, i) => "N".repeat(1 + (i % 5))),
    gap: Float64Array.from({ length: 300 }, (_, i) => i / 4),
  });

  test("file and stream", async () => {
    for (const kind of ["file", "stream"] as const) {
      const all = await records(put(`a-${kind}.arrow`, tableToIPC(table, kind)));
      assert.equal(all.length, 300);
      assert.deepEqual([all[7].text, all[7].properties, all[7].line], ["NNN", { gap: "1.75" }, 8]);
    }
    assert.equal((await records(put("b.bin", tableToIPC(table, "file")))).length, 300);
  });

  test("damage, another kind of file, no SMILES column", async () => {
    const whole = tableToIPC(table, "file");
    assert.match(
      await failure(put("cut.feather", whole.subarray(0, 700))),
      /cut\.feather: expected an Arrow IPC file, got/,
    );
    assert.match(
      await failure(put("text.arrow", "smiles\nC\nN\nO\nCCCCCCCCCCCCCCCCCCCC\n")),
      /expected an Arrow IPC file/,
    );
    const other = tableToIPC(tableFromArrays({ y: [1, 2] }), "file");
    assert.match(await failure(put("y.arrow", other)), /expected a SMILES column, got the columns y/);
  });

  test("LZ4 frames: literals, copies that overlap themselves, plain blocks; damage", () => {
    // "abc", then 12 bytes copied from 3 back, then the literals "xyz" (lz4_Block_format.md)
    const block = [0x38, ...Buffer.from("abc"), 3, 0, 0x30, ...Buffer.from("xyz")];
    const frame = (flags: number, blocks: number[][]) =>
      Uint8Array.from([0x04, 0x22, 0x4d, 0x18, flags, 0x40, 0, ...blocks.flat(), 0, 0, 0, 0]);
    const sized = (bytes: number[], plain = 0) => [bytes.length, 0, 0, plain, ...bytes];
    const decode = (bytes: Uint8Array) => Buffer.from(decodeLz4Frame(bytes)).toString();
    assert.equal(decode(frame(0x60, [sized(block)])), "abcabcabcabcabcxyz");
    assert.equal(decode(frame(0x60, [sized([...Buffer.from("hi")], 0x80), sized(block)])), "hiabcabcabcabcabcxyz");
    for (const bad of [
      frame(0x61, []),
      frame(0x60, [[9, 0, 0, 0, 1]]),
      frame(0x60, [sized([0x38, 97, 98, 99, 9, 0])]),
    ]) {
      assert.throws(() => decodeLz4Frame(bad), DatasetError);
    }
    assert.throws(() => decodeLz4Frame(Uint8Array.of(1, 2, 3)), DatasetError);
  });
});

test("CXSMILES coordinates of a table", { skip }, async () => {
  const all = await records(join(data, "pcqm4mv2/pcqm4mv2-2k.csv"));
  assert.equal(all.filter((record) => / \|\(/.test(record.text)).length, 1999);
});
