// The cache of conformers under several writers, kills and damage.
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { GeneratedConformers } from "../chem/conformers.js";
import { conformerKey, openConformerCache } from "./conformer-cache.js";

const found: GeneratedConformers = {
  positions: [Float32Array.of(0, 1.25, -3, 4, 5, 6e-8), Float32Array.of(1, 2, 3, 4, 5, 6)],
  energies: [-1.5, Number.NaN],
  failure: null,
  timedOut: false,
  elements: Uint8Array.of(6, 8),
  configured: 1,
};
const failure: GeneratedConformers = {
  ...found,
  positions: [],
  energies: [],
  failure: "stereo: größer",
};

describe("openConformerCache", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "moleblend-conformers-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const key = (name: string) => conformerKey([name, 1]);
  const files = () => readdirSync(folder).map((name) => join(folder, name));

  it("gives back what was put, bit for bit, in this run and the next", () => {
    const first = openConformerCache(folder, "a");
    assert.equal(first.get(key("x")), undefined);
    first.put(key("x"), found);
    first.put(key("y"), failure);
    assert.deepEqual(first.get(key("x")), found);
    first.close();
    const second = openConformerCache(folder, "a");
    assert.deepEqual(second.get(key("x")), found);
    assert.deepEqual(second.get(key("y")), { ...failure, failure: "stereo: gr??er" });
  });

  it("writes no file until there is something to keep", () => {
    openConformerCache(folder, "a").close();
    assert.deepEqual(files(), []);
  });

  it("lets writers beside each other have files of their own", () => {
    const writers = [openConformerCache(folder, "a"), openConformerCache(folder, "a"), openConformerCache(folder, "b")];
    writers.forEach((writer, i) => {
      writer.put(key(`m${i}`), found);
    });
    assert.equal(files().length, 3);
    const all = openConformerCache(folder, "c");
    for (let i = 0; i < 3; i++) assert.deepEqual(all.get(key(`m${i}`)), found);
  });

  it("passes over a line that a kill cut off, and the lines after damage count", () => {
    const writer = openConformerCache(folder, "a");
    for (const name of ["x", "y", "z"]) writer.put(key(name), found);
    writer.close();
    const [path] = files();
    const bytes = readFileSync(path);
    const line = bytes.length / 3;
    truncateSync(path, 2 * line + 40);
    bytes[line + 60] ^= 1;
    writeFileSync(path, bytes.subarray(0, 2 * line + 40));
    appendFileSync(path, "");
    const next = openConformerCache(folder, "b");
    assert.deepEqual(next.get(key("x")), found);
    assert.equal(next.get(key("y")), undefined, "its checksum is wrong");
    assert.equal(next.get(key("z")), undefined, "it is cut off");
  });

  it("takes nothing from a file that changed after it was indexed", () => {
    const writer = openConformerCache(folder, "a");
    writer.put(key("x"), found);
    const reader = openConformerCache(folder, "b");
    const [path] = files();
    const bytes = readFileSync(path);
    bytes[100] ^= 1;
    writeFileSync(path, bytes);
    assert.equal(reader.get(key("x")), undefined);
  });

  it("names a result by all that it depends on", () => {
    const keys = [
      conformerKey([1, "CC"]),
      conformerKey([2, "CC"]),
      conformerKey([1, "C", "C"]),
      conformerKey(["1", "CC"]),
    ];
    assert.equal(new Set(keys).size, 4);
  });
});
