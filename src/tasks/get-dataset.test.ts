// Data sets from a server on the loopback, unpacked and ready for `prepare`.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { DATASETS, type Dataset, findDataset } from "../data/datasets.js";
import { getDataset } from "./get-dataset.js";
import { prepare } from "./prepare.js";

const folder = mkdtempSync(join(tmpdir(), "get-dataset-"));
const served = new Map<string, Uint8Array>();
const server = createServer((request, response) => {
  const content = served.get(request.url ?? "");
  response.writeHead(content ? 200 : 404).end(content);
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
after(() => {
  rmSync(folder, { recursive: true });
  server.close();
});

const options = { environment: {}, retryDelay: 1 };

async function tarGz(entries: Readonly<Record<string, string>>): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(entries)) archive.entry({ name }, content);
  archive.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of archive) pieces.push(piece as Buffer);
  return gzipSync(Buffer.concat(pieces));
}

let sets = 0;
function dataset(files: readonly { file: string; content: Uint8Array; unpack?: "tar" | "zip" }[]): Dataset {
  const name = `set${sets++}`;
  const { port } = server.address() as AddressInfo;
  return {
    ...{
      name,
      title: name,
      licence: "none",
      home: "",
      verified: false,
      input: "in.smi",
      options: ["--exclude", "list.txt"],
    },
    files: files.map(({ file, content, unpack }) => {
      served.set(`/${name}/${file}`, content);
      return { url: `http://127.0.0.1:${port}/${name}/${file}`, file, ...(unpack ? { unpack } : {}) };
    }),
  };
}

describe("getDataset", () => {
  it("fetches and unpacks, says what to do next, and what comes of it can be prepared", async () => {
    const archive = await tarGz({ "in.smi": "CCO a\nCC b\n", "deep/readme": "hello" });
    const list = { file: "list.txt", content: Buffer.from("1\n") };
    const set = dataset([{ file: "set.tar.gz", content: archive, unpack: "tar" }, list]);
    const summary = await getDataset(set, folder, options);
    assert.deepEqual(summary.files[0].unpacked, ["in.smi", "deep/readme"]);
    assert.deepEqual(summary.prepare.slice(0, 5), [
      ...["moleblend", "prepare", join(folder, set.name, "in.smi"), "--exclude", join(folder, set.name, "list.txt")],
    ]);
    assert.equal((await prepare([summary.prepare[2]], join(folder, "corpus"), { workers: 0 })).molecules, 2);
    assert.ok((await getDataset(set, folder, options)).files.every((file) => file.present));
  });

  it("unpacks ZIP archives", async () => {
    let root = dirname(fileURLToPath(import.meta.url));
    while (!existsSync(join(root, "package.json"))) root = dirname(root);
    const zip = readFileSync(join(root, "test/fixtures/formats/split_dict.pt"));
    const set = dataset([{ file: "set.zip", content: zip, unpack: "zip" }]);
    await getDataset(set, folder, options);
    assert.equal(readFileSync(join(folder, set.name, "split_dict/version"), "utf8"), "3\n");
  });

  it("refuses archives that reach outside of the folder, and damaged ones", async () => {
    for (const name of ["../evil.txt", "/evil-of-a-test.txt"]) {
      const set = dataset([{ file: "set.tar.gz", content: await tarGz({ [name]: "x" }), unpack: "tar" }]);
      await assert.rejects(getDataset(set, folder, options), { name: "DatasetError", message: /would lie outside of/ });
    }
    assert.ok(!existsSync(join(folder, "evil.txt")));
    const cut = (await tarGz({ "in.smi": "CCO a\n".repeat(1000) })).subarray(0, 60);
    const set = dataset([{ file: "set.tar.gz", content: cut, unpack: "tar" }]);
    await assert.rejects(getDataset(set, folder, options), { name: "DatasetError", message: /the archive is damaged/ });
    const noZip = dataset([{ file: "set.zip", content: Buffer.from("PK nothing"), unpack: "zip" }]);
    await assert.rejects(getDataset(noZip, folder, options), {
      name: "DatasetError",
      message: /set\.zip: truncated: a zip archive without its directory/,
    });
  });

  it("says which data sets there are", async () => {
    await assert.rejects(getDataset("nope", folder, options), {
      name: "ConfigError",
      message: /expected one of pcqm4mv2, qm9, bbbp/,
    });
    assert.equal(findDataset("QM9").licence, "CC0 1.0");
    assert.equal(DATASETS.length, 13);
    for (const { files, licence } of DATASETS) {
      assert.ok(licence);
      for (const { url, md5 } of files) assert.ok(url.startsWith("https://") || md5 !== undefined, url);
    }
  });
});
