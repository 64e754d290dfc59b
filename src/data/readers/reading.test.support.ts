// What the tests of the readers share: a folder for files, reading to the end, and where the fixtures lie.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import type { RawRecord } from "../../chem/molecule.js";
import { DatasetError } from "../../errors.js";
import { isReject, type ReaderOptions, type ReadItem, readRecords } from "./index.js";

export const folder = mkdtempSync(join(tmpdir(), "formats-"));
after(() => rmSync(folder, { recursive: true }));

export function put(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

export function repositoryRoot(): string {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  return root;
}

export const fixtures = join(repositoryRoot(), "test/fixtures/formats");
export const data = join(repositoryRoot(), "../shared/data");
export const skip = existsSync(data) ? false : "no ../shared/data";

export async function read(path: string, options?: ReaderOptions): Promise<ReadItem[]> {
  const items: ReadItem[] = [];
  for await (const item of readRecords(path, options)) items.push(item);
  return items;
}

export async function records(path: string, options?: ReaderOptions): Promise<RawRecord[]> {
  return (await read(path, options)).map((item) => (isReject(item) ? assert.fail(JSON.stringify(item)) : item));
}

/** `text name` or `code: reason` of each item. */
export async function brief(path: string, options?: ReaderOptions): Promise<string[]> {
  return (await read(path, options)).map((item) =>
    isReject(item) ? `${item.code}: ${item.reason}` : `${item.text} ${item.name}`.trimEnd(),
  );
}

export async function failure(path: string, options?: ReaderOptions): Promise<string> {
  try {
    await read(path, options);
  } catch (error) {
    assert.ok(error instanceof DatasetError, String(error));
    return error.message.replaceAll(folder, "");
  }
  return assert.fail("expected a DatasetError");
}
