// The corpus store: bit-exact round trips, refusal of damage, and no half-written corpus that looks whole.
import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { tableFromIPC } from "apache-arrow";
import fc from "fast-check";
import type { Molecule } from "../chem/molecule.js";
import { ConfigError, DatasetError, ShapeError } from "../errors.js";
import { Random } from "../random.js";
import { openCorpus } from "./corpus.js";
import { CorpusWriter } from "./corpus-writer.js";
import type { Manifest } from "./manifest.js";

const root = mkdtempSync(join(tmpdir(), "moleblend-corpus-"));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const newFolder = () => join(root, `corpus-${folders++}`);

const origin = { sources: [], rdkitVersion: "test", options: { hydrogens: "remove" }, notes: {} };

function randomMolecule(seed: number, with3d: boolean, name = `m${seed}`): Molecule {
  const random = Random.fromSeed(seed);
  const atoms = 1 + random.below(20);
  const bonds = random.below(2 * atoms);
  return {
    name,
    atomFeatures: Uint8Array.from({ length: atoms * 9 }, () => random.below(119)),
    bonds: Uint16Array.from({ length: bonds * 2 }, () => random.below(atoms)),
    bondFeatures: Uint8Array.from({ length: bonds * 3 }, () => random.below(2)),
    positions: with3d ? Float32Array.from({ length: atoms * 3 }, () => random.normal()) : null,
    structureKey: `${(random.uint32() >>> 8).toString(16).padStart(8, "0")}${random.uint32().toString(16).padStart(8, "0")}`,
    labels: { gap: random.normal(), dipole: random.below(2) ? Number.NaN : 1 / 3 },
  };
}

function write(dir: string, molecules: readonly Molecule[], shardSize = 4): Manifest {
  const writer = new CorpusWriter(dir, { labels: ["gap", "dipole"], shardSize });
  for (const molecule of molecules) writer.append(molecule);
  return writer.finish(origin);
}

const ten = Array.from({ length: 10 }, (_, seed) => randomMolecule(seed, seed % 3 !== 0));

describe("corpus round trip", () => {
  const molecules = fc.array(fc.tuple(fc.integer(), fc.boolean(), fc.string({ unit: "grapheme" })), { maxLength: 40 });

  it("is bit exact", async () => {
    await fc.assert(
      fc.asyncProperty(molecules, fc.integer({ min: 1, max: 12 }), async (entries, shardSize) => {
        const written = entries.map(([seed, with3d, name]) => randomMolecule(seed, with3d, name));
        const dir = newFolder();
        write(dir, written, shardSize);
        const corpus = await openCorpus(dir);
        assert.equal(corpus.size, written.length);
        for (const index of Random.fromSeed(1).shuffle(written.map((_, at) => at))) {
          const { name, structureKey: _, labels: __, ...arrays } = written[index];
          assert.deepEqual(corpus.get(index), written[index]);
          assert.deepEqual(corpus.get(index, []), { ...written[index], labels: {} });
          assert.deepEqual(corpus.arrays(index), arrays);
          assert.equal(corpus.nameOf(index), name);
        }
        corpus.close();
      }),
      { numRuns: 30 },
    );
  });

  it("knows sizes, keys, geometry and labels without reading shards", async () => {
    const dir = newFolder();
    const manifest = write(dir, ten);
    for (const shard of manifest.shards) rmSync(join(dir, shard.file));
    const corpus = await openCorpus(dir);
    assert.deepEqual(
      [...corpus.atomCounts],
      ten.map((molecule) => molecule.atomFeatures.length / 9),
    );
    assert.deepEqual(
      [...corpus.readStructureKeys()],
      ten.map((molecule) => BigInt(`0x${molecule.structureKey}`)),
    );
    assert.deepEqual(
      [...corpus.has3d],
      ten.map((molecule) => (molecule.positions ? 1 : 0)),
    );
    assert.deepEqual(
      [...corpus.labelColumn("dipole")],
      ten.map((molecule) => molecule.labels["dipole"]),
    );
    assert.throws(() => corpus.labelColumn("mass"), /"mass".*gap, dipole/);
    assert.throws(() => corpus.get(10), RangeError);
    assert.throws(() => corpus.get(3), /shard-00000.arrow: expected a file of the corpus/);
  });

  it("counts what it holds", () => {
    const dir = newFolder();
    const { counts, shards } = write(dir, [...ten, ten[0]]);
    assert.deepEqual(
      shards.map((shard) => shard.rows),
      [4, 4, 3],
    );
    assert.equal(counts.molecules, 11);
    assert.equal(counts.structures, 10);
    assert.equal(counts.with3d, 6);
  });

  it("is a plain Arrow file with nulls where there is no geometry", () => {
    const dir = newFolder();
    write(dir, ten, 100);
    const table = tableFromIPC(readFileSync(join(dir, "shard-00000.arrow")));
    assert.equal(
      table.schema.fields.map((field) => `${field.name}:${field.type}`).join(" "),
      "name:Utf8 structureKey:Utf8 atomFeatures:List<Uint8> bonds:List<Uint16> bondFeatures:List<Uint8> positions:List<Float32> gap:Float64 dipole:Float64",
    );
    const positions = table.getChild("positions");
    assert.equal(positions?.get(0), null);
    assert.deepEqual(positions?.get(1)?.toArray(), ten[1].positions);
  });

  it("lets go of what it gives out: transferring a molecule leaves the corpus whole", async () => {
    const dir = newFolder();
    write(dir, ten);
    const corpus = await openCorpus(dir);
    const molecule = corpus.get(1);
    structuredClone(molecule, { transfer: [molecule.atomFeatures.buffer as ArrayBuffer] });
    assert.deepEqual(corpus.get(1), ten[1]);
  });
});

describe("a damaged corpus", () => {
  it("is refused by the name of the shard, with both checksums, when the shard is first read", async () => {
    const dir = newFolder();
    const manifest = write(dir, ten);
    const path = join(dir, manifest.shards[1].file);
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] ^= 1;
    writeFileSync(path, bytes);
    const corpus = await openCorpus(dir);
    assert.deepEqual(corpus.get(0), ten[0]);
    const message = new RegExp(`shard-00001.arrow: expected sha256 ${manifest.shards[1].sha256}, got [0-9a-f]{64}`);
    assert.throws(() => corpus.get(5), { name: "DatasetError", message });
    assert.throws(() => corpus.verify(), message);
  });

  it("is refused when a shard is cut short", async () => {
    const dir = newFolder();
    const manifest = write(dir, ten);
    const path = join(dir, manifest.shards[2].file);
    writeFileSync(path, readFileSync(path).subarray(0, 100));
    const corpus = await openCorpus(dir);
    assert.throws(() => corpus.get(9), /shard-00002.arrow: expected \d+ bytes, got 100/);
  });

  it("is refused when its index is damaged, its version is another, or its manifest is", async () => {
    const dir = newFolder();
    write(dir, ten);
    const manifestPath = join(dir, "manifest.json");
    const manifest = readFileSync(manifestPath, "utf8");
    writeFileSync(manifestPath, manifest.replace('"version": 1', '"version": 7'));
    await assert.rejects(openCorpus(dir), /expected corpus schema version 1, got 7/);
    writeFileSync(manifestPath, manifest.slice(0, 50));
    await assert.rejects(openCorpus(dir), /expected JSON, got a damaged file/);
    writeFileSync(manifestPath, "{}");
    await assert.rejects(openCorpus(dir), /expected format/);
    writeFileSync(manifestPath, manifest);
    writeFileSync(join(dir, "index.arrow"), "x");
    await assert.rejects(openCorpus(dir), /index.arrow: expected \d+ bytes, got 1/);
    rmSync(join(dir, "index.arrow"));
    await assert.rejects(openCorpus(dir), DatasetError);
  });
});

describe("CorpusWriter", () => {
  it("leaves nothing that opens when it never finishes", async () => {
    const dir = newFolder();
    const writer = new CorpusWriter(dir, { labels: ["gap", "dipole"], shardSize: 4 });
    for (const molecule of ten) writer.append(molecule);
    assert.ok(!existsSync(dir));
    await assert.rejects(openCorpus(dir), /no such corpus;.*left by a job that has not finished/);
    const partial = readdirSync(root).find((name) => name.startsWith(`${dir.slice(root.length + 1)}.partial-`)) ?? "";
    await assert.rejects(openCorpus(join(root, partial)), /shards without manifest.json.*never finished/);
    writer.abandon();
    assert.ok(!existsSync(join(root, partial)));
    assert.throws(() => writer.append(ten[0]), /was closed/);
  });

  it("removes what a crashed job left, and not what a running one writes", () => {
    const dir = newFolder();
    const first = new CorpusWriter(dir);
    const mine = readdirSync(root).find((name) => name.startsWith(`${dir.slice(root.length + 1)}.partial-`)) ?? "";
    const crashed = mine.replace(/\d+$/, "999999999");
    mkdirSync(join(root, crashed));
    assert.throws(() => new CorpusWriter(dir), /writing it already/);
    assert.ok(!existsSync(join(root, crashed)));
    assert.ok(existsSync(join(root, mine)));
    first.abandon();
  });

  it("gives an older corpus its name back when the job that replaced it died on the way", async () => {
    const dir = newFolder();
    write(dir, ten);
    const aside = `${dir}.partial-${hostname()}-999999999-replaced`;
    renameSync(dir, aside);
    new CorpusWriter(dir).abandon();
    assert.equal((await openCorpus(dir)).size, 10);
    cpSync(dir, aside, { recursive: true });
    new CorpusWriter(dir).abandon();
    assert.ok(!existsSync(aside));
  });

  it("replaces a corpus, but no other folder and no file", async () => {
    const dir = newFolder();
    write(dir, ten);
    write(dir, ten.slice(0, 3));
    assert.equal((await openCorpus(dir)).size, 3);
    const precious = newFolder();
    mkdirSync(precious);
    new CorpusWriter(precious).abandon();
    writeFileSync(join(precious, "thesis.txt"), "…");
    assert.throws(() => new CorpusWriter(precious), /nothing was overwritten/);
    assert.throws(() => new CorpusWriter(join(precious, "thesis.txt")), /got a file/);
  });

  it("lists rejects one a line and counts them by code", () => {
    const dir = newFolder();
    const writer = new CorpusWriter(dir);
    const reject = { file: "a.smi", line: 3, record: 3, name: "x", code: "empty-line", reason: "nothing here" };
    for (let n = 0; n < 1000; n++) writer.reject(reject);
    const manifest = writer.finish(origin);
    const lines = readFileSync(join(dir, "rejects.jsonl"), "utf8").trimEnd().split("\n");
    assert.equal(lines.length, 1000);
    assert.deepEqual(JSON.parse(lines[999]), reject);
    assert.deepEqual(manifest.rejects, { "empty-line": 1000 });
  });

  it("refuses molecules and options that cannot be stored", () => {
    const writer = new CorpusWriter(newFolder());
    const bad: Partial<Molecule>[] = [
      { atomFeatures: new Uint8Array(0) },
      { positions: new Float32Array(1) },
      { bondFeatures: new Uint8Array(1) },
      { structureKey: "xyz" },
    ];
    for (const part of bad) assert.throws(() => writer.append({ ...ten[1], ...part }), ShapeError);
    writer.abandon();
    assert.throws(() => new CorpusWriter(newFolder(), { shardSize: 0 }), ConfigError);
    assert.throws(() => new CorpusWriter(newFolder(), { labels: ["name"] }), ConfigError);
    assert.throws(() => new CorpusWriter(newFolder(), { labels: ["a", "a"] }), ConfigError);
  });
});
