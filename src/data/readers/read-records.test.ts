// Every reader on good files, damaged ones and noise; each failure has its own words.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { pack } from "tar-stream";
import { DatasetError } from "../../errors.js";
import { isReject, type ReaderOptions, type ReadItem, readRecords } from "./index.js";

const folder = mkdtempSync(join(tmpdir(), "readers-"));
after(() => rmSync(folder, { recursive: true }));

function put(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function read(path: string, options?: ReaderOptions): Promise<ReadItem[]> {
  const items: ReadItem[] = [];
  for await (const item of readRecords(path, options)) items.push(item);
  return items;
}

/** `line/record text name` or `line/record! code: reason` of each item. */
async function brief(path: string, options?: ReaderOptions): Promise<string[]> {
  return (await read(path, options)).map((item) =>
    isReject(item)
      ? `${item.line}/${item.record}! ${item.code}: ${item.reason}`
      : `${item.line}/${item.record} ${item.format === "smiles" ? item.text : item.text.length} ${item.name}`.trimEnd(),
  );
}

async function failure(path: string, options?: ReaderOptions): Promise<string> {
  try {
    await read(path, options);
  } catch (error) {
    assert.ok(error instanceof DatasetError, String(error));
    return error.message.replace(folder, "");
  }
  return assert.fail("expected a DatasetError");
}

const BLOCK = [
  "methanol",
  "  program           3D",
  "",
  "  2  1  0  0  0  0  0  0  0  0999 V2000",
  "    0.0000    0.0000    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0",
  "    1.4000    0.0000    0.1000 O   0  0  0  0  0  0  0  0  0  0  0  0",
  "  1  2  1  0",
  "M  END",
].join("\n");
const TAGS = "> <gap> (1)\n1.5\n\n>  <note>\nfirst\nsecond\n\n";

describe("SMILES lists", () => {
  test("names, extensions, empty lines, CRLF and a byte order mark", async () => {
    const text = "\uFEFFCCO ethanol\r\n\r\nCC\tsome name\r\nCO |(0,0,0;1.4,0,0.1)| methanol\r\n\r\n\r\n";
    assert.deepEqual(await brief(put("a.smi", text)), [
      "1/1 CCO ethanol",
      "2/2! empty-line: the line is empty",
      "3/3 CC some name",
      "4/4 CO |(0,0,0;1.4,0,0.1)| methanol",
    ]);
  });

  test("a header, no final line end, old Mac line ends, gzip", async () => {
    assert.deepEqual(await brief(put("b.txt", "SMILES Name\nC a\nN b")), ["2/1 C a", "3/2 N b"]);
    assert.deepEqual(await brief(put("c.smi", "C a\rN b\r")), ["1/1 C a", "2/2 N b"]);
    assert.deepEqual(await brief(put("d.smi.gz", gzipSync("C a\nN b"))), ["1/1 C a", "2/2 N b"]);
  });
});

describe("tables", () => {
  test("quotes, line breaks in cells, empty cells and rows", async () => {
    const text = 'id,"SMILES",note\n1,CCO,"a ""q"", b\nsecond line"\n\n2,,x\n3,C\n4,N,5" pipe\n\n\n';
    const path = put("a.csv", text);
    assert.deepEqual(await brief(path), [
      "2/1 CCO 1",
      "4/2! empty-line: the line is empty",
      '5/3! empty-line: the cell "SMILES" is empty',
      "6/4 C 3",
      "7/5 N 4",
    ]);
    const first = (await read(path))[0];
    assert.deepEqual(isReject(first) || first.properties, { id: "1", note: 'a "q", b\nsecond line' });
  });

  test("columns are found or named; a wrong name lists what there is", async () => {
    assert.deepEqual(await brief(put("b.csv", "a;b;Canonical_Smiles\n1;2;CCO\n")), ["2/1 CCO"]);
    assert.deepEqual(await brief(put("c.tsv.gz", gzipSync("mol\tClass\nCCO\t1\n"))), ["2/1 CCO"]);
    assert.deepEqual(await brief(put("d.csv", "smiles,core\nC,N\n"), { smilesColumn: "core" }), ["2/1 N"]);
    const path = put("e.csv", "name,y\nC,1\n");
    assert.equal(await failure(path), "/e.csv: expected a SMILES column, got the columns name, y");
    assert.equal(
      await failure(path, { smilesColumn: "Y" }),
      '/e.csv: expected the column "Y", got the columns name, y',
    );
  });

  test("text after a closing quote harms its own row only", async () => {
    const items = await brief(put("g.csv", 'smiles,n\nC,"a"b\nN,"2"\nO,3\n'));
    assert.deepEqual(items, ["2/1 C", "3/2 N", "4/3 O"]);
  });

  test("a quote that does not close", async () => {
    assert.deepEqual(await brief(put("f.csv", 'smiles,n\nC,1\nN,"open\nO,2\n')), [
      "2/1 C",
      "3/2! truncated-record: a quote opens here and does not close",
    ]);
  });
});

describe("SD files", () => {
  test("properties, places, CRLF, and a last record without its end mark", async () => {
    const path = put("a.sdf", `${BLOCK}\n${TAGS}$$$$\n${BLOCK}\n$$$$\n${BLOCK}`.replaceAll("\n", "\r\n"));
    const length = BLOCK.length + 1;
    assert.deepEqual(await brief(path), [
      `1/1 ${length} methanol`,
      `17/2 ${length} methanol`,
      `26/3 ${length} methanol`,
    ]);
    const first = (await read(path))[0];
    assert.deepEqual(isReject(first) || first.properties, { gap: "1.5", note: "first\nsecond" });
    assert.equal(isReject(first) || first.text, `${BLOCK}\n`);
    assert.deepEqual(await brief(put("b.mol", BLOCK)), [`1/1 ${length} methanol`]);
  });

  test("damaged records do not stop the rest", async () => {
    const cut = BLOCK.split("\n").slice(0, 5).join("\n");
    const path = put("c.sdf", `${cut}\n$$$$\n${BLOCK}\n$$$$\n$$$$\n${BLOCK}\n${BLOCK}\n$$$$\n${cut}`);
    assert.deepEqual(await brief(path), [
      '1/1! truncated-record: "$$$$" comes before "M  END"',
      `7/2 ${BLOCK.length + 1} methanol`,
      "16/3! no-atoms: the record is empty",
      '17/4! unparsable-record: 2 structures without "$$$$" between them',
      '34/5! truncated-record: the file ends before "M  END"',
    ]);
    assert.deepEqual(await brief(put("d.sdf", `${BLOCK}\n$$$$\n\n \n`)), [`1/1 ${BLOCK.length + 1} methanol`]);
  });

  test("zero bytes in one record", async () => {
    const path = put(
      "e.sdf",
      `${`${BLOCK}\n$$$$\n`.repeat(40)}${BLOCK.replace("C  ", "\0  ")}\n$$$$\n${BLOCK}\n$$$$\n`,
    );
    const items = await brief(path);
    assert.equal(items.length, 42);
    assert.equal(items[40], "361/41! binary-data: the record holds zero bytes");
  });
});

describe("XYZ files", () => {
  test("records, comment keys, damage", async () => {
    const good = '2\nname=co bonds="0-1:3" charge=0\nC 0 0 0\nO 0 0 1.1\n';
    const path = put("a.xyz", `${good}3\n\nH 0 0 0\n${good}junk\nmore\n${good}\n\n9\nx\nH 0 0 0\n`);
    const items = await brief(path);
    assert.deepEqual(items, [
      "1/1 50 co",
      "5/2! truncated-record: 1 of 3 atoms before the next record",
      "8/3 50 co",
      '12/4! unparsable-record: expected a number of atoms, got "junk"',
      "14/5 50 co",
      "20/6! truncated-record: the file ends after 1 of 9 atoms",
    ]);
    const first = (await read(path))[0];
    assert.deepEqual(isReject(first) || first.properties, { name: "co", bonds: "0-1:3", charge: "0" });
  });
});

describe("formats", () => {
  test("by content where the name says nothing, by force where it is wrong", async () => {
    assert.deepEqual(await brief(put("p1", `${BLOCK}\n$$$$\n`)), [`1/1 ${BLOCK.length + 1} methanol`]);
    assert.deepEqual(await brief(put("p2.gz", gzipSync("smiles,y\nC,1\n"))), ["2/1 C"]);
    assert.deepEqual(await brief(put("p3.dat", "1\n\nC 0 0 0\n")), ["1/1 10"]);
    assert.deepEqual(await brief(put("p4.data", "CCO a\n")), ["1/1 CCO a"]);
    assert.deepEqual(await brief(put("p5.csv", "CCO a\n"), { format: "smiles" }), ["1/1 CCO a"]);
  });

  test("archives", async () => {
    const archive = pack();
    archive.entry({ name: "read.me" }, "hello");
    archive.entry({ name: "x/a.sdf" }, `${BLOCK}\n$$$$\n`);
    archive.entry({ name: "b.smi.gz" }, gzipSync("CCO a\n"));
    archive.finalize();
    const pieces: Buffer[] = [];
    for await (const piece of archive) pieces.push(piece as Buffer);
    const bytes = Buffer.concat(pieces);
    for (const path of [
      put("a.tar", bytes),
      put("a.tar.gz", gzipSync(bytes)),
      put("a.tgz", gzipSync(bytes)),
      put("a.bin", bytes),
    ]) {
      const items = await read(path);
      assert.deepEqual(
        items.map((item) => [item.file, item.line]),
        [
          [`${path}/x/a.sdf`, 1],
          [`${path}/b.smi.gz`, 1],
        ],
      );
    }
    assert.match(await failure(put("cut.tar", bytes.subarray(0, 1700))), /cut.tar: the archive is damaged/);
    assert.match(
      await failure(put("no.tar", Buffer.concat([bytes.subarray(0, 1024), Buffer.alloc(1024)]))),
      /found none/,
    );
  });
});

describe("files that cannot be read", () => {
  test("missing, folder, empty, foreign, binary", async () => {
    mkdirSync(join(folder, "sub.sdf"));
    assert.equal(await failure(join(folder, "absent.smi")), "/absent.smi: there is no such file");
    assert.match(
      await failure(join(folder, "sub.sdf")),
      /^\/sub.sdf: expected the folder of a data set, with .*gdb9.sdf/,
    );
    assert.equal(await failure(join(folder, "sub.sdf"), { format: "sdf" }), "/sub.sdf: expected a file, got a folder");
    assert.equal(await failure(put("empty.smi", "")), "/empty.smi: the file is empty");
    assert.equal(
      await failure(put("a.zip", "PK\x03\x04rest")),
      "/a.zip: expected text, got a ZIP archive; unpack it first",
    );
    assert.match(await failure(put("u16.smi", Buffer.from("\uFEFFCCO\n", "utf16le"))), /UTF-16 text; save it as UTF-8/);
    assert.match(await failure(put("elf.sdf", Buffer.from([127, 69, 76, 70, 2, 1, 1, 0, 0, 0, 0]))), /got binary data/);
  });

  test("damaged gzip: what came before stays", async () => {
    const whole = gzipSync(
      Array.from({ length: 200_000 }, (_, i) => `${"C".repeat(1 + (i % 7))}O name${i * 7919}\n`).join(""),
    );
    const items: ReadItem[] = [];
    const path = put("cut.smi.gz", whole.subarray(0, whole.length >> 1));
    await assert.rejects(async () => {
      for await (const item of readRecords(path)) items.push(item);
    }, /cut\.smi\.gz: its gzip data is damaged near byte \d+ \(it ends too early\); \d+ records before that were read/);
    assert.ok(items.length > 50_000, `${items.length}`);
    assert.ok(items.every((item, i) => item.name === `name${i * 7919}`));
    const broken = Buffer.from(whole);
    broken.fill(0x55, whole.length >> 1, (whole.length >> 1) + 64);
    assert.match(await failure(put("bad.smi.gz", broken)), /gzip data is damaged near byte/);
    assert.match(
      await failure(put("tail.smi.gz", Buffer.concat([gzipSync("C\n"), Buffer.alloc(300_000, 7)]))),
      /damaged/,
    );
    assert.deepEqual(await brief(put("two.smi.gz", Buffer.concat([gzipSync("C\n"), gzipSync("N\n")]))), [
      "1/1 C",
      "2/2 N",
    ]);
  });
});

test("progress ends at the size of the file, and leaving early closes it", async () => {
  const bytes = gzipSync("CCO\n".repeat(500_000), { level: 0 });
  const path = put("progress.smi.gz", bytes);
  const seen: number[] = [];
  const items = await read(path, { onBytes: (done, total) => assert.equal(total, bytes.length) ?? seen.push(done) });
  assert.equal(items.length, 500_000);
  assert.ok(seen.length > 10);
  assert.equal(seen.at(-1), bytes.length);
  for (let i = 0; i < 50; i++) for await (const item of readRecords(path)) if (item) break;
});

test("any bytes under any name give items or a DatasetError", async () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom(`${BLOCK}\n`, "$$$$\n", TAGS, "2\nx\nC 0 0 0\n", "smiles,y\n", 'C,"\n', "CCO a\n", "\r\n")
      .map((text) => Buffer.from(text)),
  );
  const content = fc.array(piece, { minLength: 1, maxLength: 8 }).map((pieces) => Buffer.concat(pieces));
  const name = fc.constantFrom("f.smi", "f.csv", "f.tsv", "f.sdf", "f.xyz", "f", "f.tar", "f.sdf.gz");
  await fc.assert(
    fc.asyncProperty(content, name, fc.boolean(), async (bytes, file, zipped) => {
      try {
        await read(put(file, zipped ? gzipSync(bytes) : bytes));
      } catch (error) {
        assert.ok(error instanceof DatasetError, String(error));
      }
    }),
    { numRuns: 400 },
  );
});

describe("real files", () => {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  const data = join(root, "../shared/data");
  const skip = existsSync(data) ? false : "no ../shared/data";
  const expected: readonly (readonly [string, number, string])[] = [
    ["moleculenet/bace.csv", 1513, "Class"],
    ["moleculenet/hiv.csv.gz", 41127, "HIV_active"],
    ["moleculenet/toxcast.csv.gz", 8576, "APR_HepG2_CellCycleArrest_24h_dn"],
    ["pcqm4mv2/pcqm4mv2-2k.csv", 1999, "homo"],
    ["pcqm4mv2/pcqm4m-v2/raw/data.csv.gz", 1999, "homolumogap"],
    ["pcqm4mv2/pcqm4m-v2/pcqm4m-v2-train.sdf", 1999, "_CXSMILES_Data"],
    ["openff-industry/qm-00.sdf.gz", 7350, "Energy QCArchive"],
    ["qm9/qm9_small.csv", 14862, "homo"],
  ];
  for (const [name, count, property] of expected) {
    test(name, { skip }, async () => {
      const items = await read(join(data, name));
      assert.equal(items.filter((item) => !isReject(item)).length, count);
      assert.ok(items.every((item) => !isReject(item) && property in item.properties));
    });
  }

  test("a table without structures", { skip }, async () => {
    assert.match(
      await failure(join(data, "qm9/physicsml_tests_gdb9.csv")),
      /expected a SMILES column, got the columns , mol_id, A, B/,
    );
  });
});
