// Folders of data sets (PCQM4Mv2, QM9, Uni-Mol) on fixtures and on real data where it is there, each with a malformed twin.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import type { RawRecord } from "../../chem/molecule.js";
import { readExclusions } from "./exclusions.js";
import { inputBytes, isReject } from "./index.js";
import { brief, data, failure, fixtures, folder, put, read, records, skip } from "./reading.test.support.js";
import { smilesElements, smilesWithCoordinates } from "./smiles-coordinates.js";

/** A chain of heavy atoms as an SDF record. */
function block(name: string, elements: readonly string[]): string {
  const atoms = elements.map(
    (element, i) => `${(i * 1.4).toFixed(4).padStart(10)}    0.0000    0.1000 ${element}   0  0`,
  );
  const bonds = elements.slice(1).map((_, i) => `${String(i + 1).padStart(3)}${String(i + 2).padStart(3)}  1  0`);
  const counts = `${String(elements.length).padStart(3)}${String(bonds.length).padStart(3)}  0  0  0  0  0  0  0  0999 V2000`;
  return [name, "     program          3D", "", counts, ...atoms, ...bonds, "M  END", "$$$$", ""].join("\n");
}

describe("PCQM4Mv2", () => {
  const table = (rows: string[]) => `idx,smiles,homolumogap\n${rows.join("\n")}\n`;
  const rows = ["0,CCO,1.5", "1,CN,2.5", "2,CCC,3", "3,CO,4", "4,C,5", "5,CC,6", "6,CCCC,7", "7,CCN,", "8,CF,"];
  const structures = [block("", ["C", "C", "O"]), block("", ["C", "N"]), block("", ["C", "C", "C"])];

  test("record i is row i; rows beyond the structures are 2D; parts of the split", async () => {
    put("pcqm/raw/data.csv.gz", gzipSync(table(rows)));
    put("pcqm/pcqm4m-v2-train.sdf", structures.join(""));
    cpSync(join(fixtures, "split_dict.pt"), join(folder, "pcqm/split_dict.pt"));
    const path = join(folder, "pcqm");
    let done = 0;
    const all = await records(path, { onBytes: (bytes) => (done = bytes) });
    assert.equal(done, inputBytes(path));
    assert.deepEqual(
      all.map((record) => [record.format, record.name, record.record, record.properties["homolumogap"]]),
      rows.map((row, i) => [i < 3 ? "mol" : "smiles", String(i), i + 1, row.split(",")[2]]),
    );
    const numbers = async (part: string) => (await records(path, { part })).map((record) => Number(record.name));
    assert.deepEqual(await numbers("train"), [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(await numbers("valid"), [6, 7]);
    assert.deepEqual(await numbers("test-dev"), [8]);
    assert.match(await failure(path, { part: "dev" }), /expected the part "dev", got train, valid, test-dev/);
  });

  test("the structures in their archive beside the folder", async () => {
    const archive = pack();
    archive.entry({ name: "pcqm4m-v2-train.sdf" }, structures.join(""));
    archive.finalize();
    const pieces: Buffer[] = [];
    for await (const piece of archive) pieces.push(piece as Buffer);
    put("packed/pcqm4m-v2-train.sdf.tar.gz", gzipSync(Buffer.concat(pieces)));
    put("packed/pcqm4m-v2/raw/data.csv.gz", gzipSync(table(rows)));
    const all = await records(join(folder, "packed/pcqm4m-v2"));
    assert.deepEqual(
      all.map((record) => record.format).join(),
      "mol,mol,mol,smiles,smiles,smiles,smiles,smiles,smiles",
    );
    assert.match(await failure(join(folder, "packed/pcqm4m-v2"), { part: "train" }), /there is no split_dict\.pt/);
  });

  test("malformed twins: shifted structures, a wrong index, more structures than rows, no rows", async () => {
    put("shifted/data.csv", table(rows));
    put("shifted/pcqm4m-v2-train.sdf", structures.slice(1).join(""));
    const shifted = await brief(join(folder, "shifted"));
    assert.match(shifted[0], /^unparsable-record: its row in .* has the heavy atoms C2 O1, the structure C1 N1$/);
    put("index/data.csv", table(["0,C,1", "2,CC,2"]));
    assert.match((await brief(join(folder, "index")))[1], /expected the row of index 1, got "2"/);
    put("long/data.csv", table(rows.slice(0, 1)));
    put("long/pcqm4m-v2-train.sdf", structures.join(""));
    assert.match(await failure(join(folder, "long")), /expected at most the 1 records that/);
    put("none/data.csv", "idx,smiles,homolumogap\n");
    assert.match(await failure(join(folder, "none")), /expected rows, got none/);
    put("badsplit/data.csv", table(rows));
    put("badsplit/split_dict.pt", readFileSync(join(fixtures, "split_dict.pt")).subarray(0, 300));
    assert.match(
      await failure(join(folder, "badsplit"), { part: "train" }),
      /split_dict\.pt: truncated: a zip archive without its directory/,
    );
  });

  test("2,000 real rows", { skip }, async () => {
    const all = await records(join(data, "pcqm4mv2/pcqm4m-v2"));
    assert.equal(all.length, 1999);
    assert.ok(all.every((record, i) => record.format === "mol" && record.properties["idx"] === String(i)));
  });
});

const METHANE = [
  "5",
  "gdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\t0.044749\t-40.47893\t-40.476062\t-40.475117\t-40.498597\t6.469\t",
  "C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689",
  "H\t 0.002150416\t-0.0060313176\t 1.9761204*^-3\t 0.133921",
  "H\t 1.0117308433\t 1.4637511618\t 2.7657481*^-4\t 0.133922",
  "H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923",
  "H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923",
  "1341.307\t1341.3284\t1341.365\t1562.6731\t1562.7453\t3038.3205\t3151.6034\t3151.6788\t3151.7078",
  "C\tC\t",
  "InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4",
  "",
].join("\n");

describe("QM9", () => {
  test("its own xyz: targets, exponents, atomization energies, by name and in an archive", async () => {
    const [record] = await records(put("qm9/dsgdb9nsd_000001.xyz", METHANE));
    assert.equal(record.name, "gdb_1");
    assert.equal(record.text.split("\n")[1], 'name=gdb_1 bonds="perceive" charge=0');
    assert.equal(record.text.split("\n")[3], "H 0.002150416 -0.0060313176 1.9761204e-3");
    assert.equal(record.properties["gap"], "0.5048");
    assert.equal(record.properties["cv"], "6.469");
    assert.equal(record.properties["smiles_relaxed"], "C");
    // -395.9996 kcal/mol in the tables that hold atomization energies (u0_atom of gdb_1)
    assert.ok(Math.abs(Number(record.properties["u0_atomization_eV"]) * 23.06054783 + 395.99959) < 0.01);
    assert.ok(Math.abs(Number(record.properties["gap_eV"]) - 13.7363) < 1e-4);
    put("qm9/dsgdb9nsd_000002.xyz", METHANE.replace("gdb 1", "gdb 2"));
    assert.deepEqual(
      (await records(join(folder, "qm9"))).map(({ name }) => name),
      ["gdb_1", "gdb_2"],
    );
  });

  test("malformed xyz twins", async () => {
    const twin = async (name: string, text: string) => (await brief(put(`twins/dsgdb9nsd_${name}.xyz`, text)))[0];
    assert.match(
      await twin("1", METHANE.split("\n").slice(0, 4).join("\n")),
      /^truncated-record: QM9 xyz: the file ends after 4 of 10 lines/,
    );
    assert.match(await twin("2", METHANE.replace("gdb 1", "abc 1")), /expected "gdb", an index and 15 values/);
    assert.match(await twin("3", METHANE.replace("5\n", "five\n")), /expected a number of atoms, got "five"/);
  });

  test("SD file with its table, found beside it or given; one that does not fit", async () => {
    const sdf = block("gdb_1", ["C", "O"]) + block("gdb_2", ["C"]);
    put("gdb9/gdb9.sdf", sdf);
    put("gdb9/gdb9.sdf.csv", "mol_id,homo,u0\ngdb_1,-0.2,-115.5\ngdb_2,-0.3,-40\n");
    for (const path of ["gdb9", "gdb9/gdb9.sdf"]) {
      const all = await records(join(folder, path), { derive: "qm9" });
      assert.deepEqual(
        all.map((record) => record.properties["homo"]),
        ["-0.2", "-0.3"],
      );
      assert.equal(
        Number(all[0].properties["u0_atomization_eV"]).toFixed(3),
        ((-115.5 + 37.846772 + 75.064579) * 27.211386).toFixed(3),
      );
    }
    const alone = put("alone.sdf", sdf);
    const table = (text: string) => ({ propertiesTable: put("table.csv", text) });
    assert.match(
      await failure(alone, table("mol_id,homo\ngdb_1,1\n")),
      /expected a row for each record, got 1, and more in/,
    );
    assert.match(
      await failure(alone, table("mol_id,homo\ngdb_1,1\ngdb_2,1\ngdb_3,1\n")),
      /got more than the 2 records/,
    );
    assert.match(
      await failure(alone, table("mol_id,homo\ngdb_1,1\ngdb_9,1\n")),
      /table\.csv:3: expected the row of gdb_2 \(record 2\), got that of gdb_9/,
    );
    assert.match(await failure(join(folder, "gdb9"), { part: "train" }), /part "train" asked for, but it has no split/);
  });

  test("the list of uncharacterized molecules in its official form", async () => {
    const heading = "The following molecules\n\n   Index  GDB17_SMILES  B3LYP_SMILES  Corina_SMILES  RMSD\n----\n";
    const list = put(
      "uncharacterized.txt",
      `${heading}    21   C#CC  C=CC  C#CC  0.1\n    58   CC  C  CC  0.2\n3054 compounds\n\n`,
    );
    const excluded = await readExclusions(list);
    const named = (name: string) =>
      excluded({ format: "mol", text: "", name, file: "", line: 1, record: 1, properties: {} });
    assert.deepEqual(["gdb_21", "21", "gdb_58", "gdb_3054", "gdb_2", "x"].map(named), [
      true,
      true,
      true,
      false,
      false,
      false,
    ]);
    await assert.rejects(
      readExclusions(put("no-list.txt", "nothing\nhere\n")),
      /expected lines that begin with the number/,
    );
  });

  test("real files", { skip }, async () => {
    const options = { propertiesTable: join(data, "qm9/physicsml_tests_gdb9.csv"), derive: "qm9" as const };
    for (const record of await records(join(data, "qm9/physicsml_tests_gdb9.sdf"), options)) {
      const [ours, theirs] = [Number(record.properties["u0_atomization_eV"]), Number(record.properties["u0_atom"])];
      assert.ok(Math.abs(ours * 23.06054783 - theirs) < 0.01, record.name);
    }
  });
});

describe("Uni-Mol's LMDB", () => {
  test("every conformer, labels, protocols 2 to 5 and both numpys; bad entries are rejects", async () => {
    const items = await read(join(fixtures, "unimol/train.lmdb"));
    const good = items.filter((item): item is RawRecord => !isReject(item));
    assert.deepEqual(
      good.slice(0, 6).map((item) => [item.text, item.properties["target"] ?? item.properties["target_0"]]),
      [
        ["CCO |(0,0.1,0.2;0.3,0.4,0.5;0.6,0.7,0.8)|", "0.5"],
        ["CCO |(1,1.1,1.2;1.3,1.4,1.5;1.6,1.7,1.8)|", "0.5"],
        ["CCO |(0,0.1,0.2;0.3,0.4,0.5;0.6,0.7,0.8)|", "1"],
        ["c1cc[nH]c1 |(0,0.1,0.2;0.3,0.4,0.5;0.6,0.7,0.8;0.9,1,1.1;1.2,1.3,1.4)|", "2.5"],
        ["[Na+].[Cl-] |(0,0.1,0.2;0.3,0.4,0.5)|", "3"],
        ["CC", "5"],
      ],
    );
    assert.equal(good[2].properties["target_1"], "NaN");
    assert.equal(good.length, 18);
    assert.deepEqual(
      items.filter(isReject).map((item) => item.reason),
      [
        "atoms and SMILES differ: expected N as atom 2 of CCN, got O",
        'pickle: refused: it asks for the Python object "os.system", which plain data does not need and which could run code; nothing was run',
      ],
    );
  });

  test("folders with parts, data.mdb, many pages", async () => {
    const path = join(fixtures, "unimol");
    assert.equal((await read(path)).length, 22);
    assert.equal((await read(path, { part: "valid" })).length, 2);
    assert.match(await failure(path, { part: "test" }), /expected the part "test", got train\.lmdb, valid\.lmdb/);
    const all = await records(join(fixtures, "many.lmdb"));
    assert.deepEqual(
      all.map((record) => Number(record.properties["target"])),
      Array.from({ length: 400 }, (_, i) => i),
    );
    mkdirSync(join(folder, "env"));
    symlinkSync(join(fixtures, "many.lmdb"), join(folder, "env/data.mdb"));
    assert.equal((await records(join(folder, "env"))).length, 400);
  });

  test("cut off, damaged, something else", async () => {
    const bytes = readFileSync(join(fixtures, "many.lmdb"));
    assert.match(
      await failure(put("cut.lmdb", bytes.subarray(0, 5 * 4096))),
      /the database is damaged at page \d+ \(it lies beyond the end/,
    );
    assert.match(await failure(put("tiny.lmdb", bytes.subarray(0, 4096))), /the database is cut off after 4096 bytes/);
    assert.match(await failure(put("text.lmdb", "CCO\n")), /expected an LMDB database/);
    const broken = Buffer.from(bytes);
    broken.fill(0x55, 3 * 4096, bytes.length);
    assert.match(await failure(put("broken.lmdb", broken)), /the database is damaged at page/);
  });

  test("atoms of a SMILES and coordinates", () => {
    assert.deepEqual(smilesElements("[nH]1c(Cl)[se]cc1[C@@H](Br)[13CH3]*[Sc]"), [
      ...["N", "C", "Cl", "Se", "C", "C", "C", "Br", "C", "*", "Sc"],
    ]);
    const kept = smilesWithCoordinates(
      "[H]/N=C/C",
      ["H", "N", "C", "C", "H"],
      Array.from({ length: 15 }, (_, i) => i * 1e-3),
    );
    assert.deepEqual(kept, {
      text: "[H]/N=C/C |(0,0.001,0.002;0.003,0.004,0.005;0.006,0.007,0.008;0.009,0.01,0.011)|",
    });
    const dropped = smilesWithCoordinates("[H]/N=C/C", ["N", "C", "C", "H"], new Array(12).fill(0));
    assert.match("reason" in dropped ? dropped.reason : "", /expected H as atom 0/);
    assert.match(JSON.stringify(smilesWithCoordinates("C", ["C"], [0])), /expected coordinates of 1 atoms/);
  });
});

test("a folder that is no data set", async () => {
  mkdirSync(join(folder, "other"));
  assert.match(
    await failure(join(folder, "other")),
    /expected the folder of a data set, with raw\/data\.csv\.gz \(PCQM4Mv2\)/,
  );
});
