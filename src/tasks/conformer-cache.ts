// Generated geometries kept on disk between runs: append-only files of checksummed lines, one file for each writer.
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { GeneratedConformers } from "../chem/conformers.js";

/**
 * A folder of conformers by key. Every writer appends to a file of its own and a line counts only with its checksum, so
 * processes do not disturb each other and a kill costs at most the line it cut off. What other writers add after opening
 * is not seen.
 */
export interface ConformerCache {
  get(key: string): GeneratedConformers | undefined;
  put(key: string, found: GeneratedConformers): void;
  close(): void;
}

interface Entry {
  readonly key: string;
  readonly elements: string;
  readonly configured: number;
  readonly failure: string | null;
  readonly energies: readonly (number | null)[];
  /** float32, little-endian, base64. */
  readonly positions: readonly string[];
}

interface Place {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

const SUFFIX = ".conformers.jsonl";
/** Hex digits of the checksum in front of each line. */
const CHECKSUM = 16;

/** Names everything that a result depends on. */
export function conformerKey(parts: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}

/** @param writer tells this writer's file from those of the process's other threads */
export function openConformerCache(folder: string, writer: string): ConformerCache {
  mkdirSync(folder, { recursive: true });
  const places = new Map<string, Place>();
  for (const name of readdirSync(folder).sort()) if (name.endsWith(SUFFIX)) indexFile(join(folder, name), places);
  let file: { readonly path: string; readonly descriptor: number; size: number } | undefined;
  return {
    get(key) {
      const place = places.get(key);
      return place ? decode(readLine(place), key) : undefined;
    },
    put(key, found) {
      const line = encode(key, found);
      file ??= createFile(folder, writer);
      // One write, so that a line is whole or cut off, never mixed with another.
      writeSync(file.descriptor, line);
      places.set(key, { path: file.path, offset: file.size, length: line.length });
      file.size += line.length;
    },
    close() {
      if (file) closeSync(file.descriptor);
      file = undefined;
    },
  };
}

function createFile(folder: string, writer: string) {
  for (let number = 0; ; number++) {
    const path = join(folder, `${Date.now().toString(36)}-${process.pid}-${writer}-${number}${SUFFIX}`);
    if (!existsSync(path)) return { path, descriptor: openSync(path, "ax"), size: 0 };
  }
}

function indexFile(path: string, places: Map<string, Place>): void {
  const bytes = readFileSync(path);
  for (let offset = 0; offset < bytes.length; ) {
    const end = bytes.indexOf(10, offset);
    if (end < 0) return; // cut off by a kill
    const length = end + 1 - offset;
    const text = bytes.toString("latin1", offset, end);
    const key = /^[0-9a-f]{16} \{"key":"([0-9a-f]{32})"/.exec(text)?.[1];
    if (key && checksum(text.slice(CHECKSUM + 1)) === text.slice(0, CHECKSUM))
      places.set(key, { path, offset, length });
    offset = end + 1;
  }
}

function readLine({ path, offset, length }: Place): string {
  const bytes = Buffer.alloc(length);
  const descriptor = openSync(path, "r");
  try {
    readSync(descriptor, bytes, 0, length, offset);
  } finally {
    closeSync(descriptor);
  }
  return bytes.toString("latin1", 0, length - 1);
}

function checksum(text: string): string {
  return createHash("sha256").update(text, "latin1").digest("hex").slice(0, CHECKSUM);
}

function encode(key: string, found: GeneratedConformers): Buffer {
  const entry: Entry = {
    key,
    elements: Buffer.from(found.elements).toString("base64"),
    configured: found.configured,
    failure: found.failure?.replace(/[^\x20-\x7e]/g, "?") ?? null,
    energies: found.energies.map((energy) => (Number.isFinite(energy) ? energy : null)),
    positions: found.positions.map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength).toString("base64"),
    ),
  };
  const text = JSON.stringify(entry);
  return Buffer.from(`${checksum(text)} ${text}\n`, "latin1");
}

function decode(line: string, key: string): GeneratedConformers | undefined {
  const text = line.slice(CHECKSUM + 1);
  // The file may have changed since it was indexed.
  if (checksum(text) !== line.slice(0, CHECKSUM)) return undefined;
  const entry = JSON.parse(text) as Entry;
  if (entry.key !== key) return undefined;
  return {
    elements: new Uint8Array(Buffer.from(entry.elements, "base64")),
    configured: entry.configured,
    failure: entry.failure,
    energies: entry.energies.map((energy) => energy ?? Number.NaN),
    positions: entry.positions.map((base64) => {
      const bytes = new Uint8Array(Buffer.from(base64, "base64"));
      return new Float32Array(bytes.buffer, 0, bytes.length / 4);
    }),
    timedOut: false,
  };
}
