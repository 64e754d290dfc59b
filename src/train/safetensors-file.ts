// Safetensors on disk: opened without reading the tensors, written with their checksum.

import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { ByteSource } from "../data/random-access.js";
import { readFully } from "../data/stored-file.js";
import { CheckpointError } from "../errors.js";
import { encodeSafetensors, type NamedTensor, openSafetensors, type Safetensors } from "./safetensors.js";

/** An open file; `close` it when the tensors have been read. */
export interface OpenSafetensors {
  readonly file: Safetensors;
  close(): void;
}

/** Bytes that are read or hashed at one go. */
const CHUNK = 8 * 2 ** 20;

/** A file whose bytes are read where they are asked for; `close` it when done. */
export interface OpenSource {
  readonly source: ByteSource;
  close(): void;
}

/** @throws CheckpointError if the file is missing or cannot be read */
export function openByteSource(path: string): OpenSource {
  const descriptor = openForReading(path);
  const read = (begin: number, end: number): Uint8Array => {
    const bytes = new Uint8Array(end - begin);
    const got = readFully(descriptor, bytes, begin);
    if (got < bytes.length) throw new CheckpointError(`${path}: truncated while it was read, at byte ${begin + got}`);
    return bytes;
  };
  return { source: { name: path, byteLength: fstatSync(descriptor).size, read }, close: () => closeSync(descriptor) };
}

function* partsOf({ byteLength, read }: ByteSource): Generator<Uint8Array> {
  for (let at = 0; at < byteLength; at += CHUNK) yield read(at, Math.min(at + CHUNK, byteLength));
}

/** SHA-256 in hex of a whole file. */
export function hashSource(source: ByteSource): string {
  const hash = createHash("sha256");
  for (const part of partsOf(source)) hash.update(part);
  return hash.digest("hex");
}

/** The bytes of a file, which is open while they are taken. @throws CheckpointError if it is missing or cannot be read */
export function* fileParts(path: string): Generator<Uint8Array> {
  const { source, close } = openByteSource(path);
  try {
    yield* partsOf(source);
  } finally {
    close();
  }
}

/**
 * Opens a file, after its SHA-256 (hex) was compared if one is given.
 * @throws CheckpointError if the file is missing, truncated, not safetensors or not the expected one.
 */
export function openSafetensorsFile(path: string, expectedSha256?: string): OpenSafetensors {
  const { source, close } = openByteSource(path);
  try {
    if (expectedSha256 !== undefined) compareSums(path, expectedSha256, hashSource(source));
    return { file: openSafetensors(source), close };
  } catch (error) {
    close();
    throw error;
  }
}

/** @throws CheckpointError naming the file and both checksums if they differ. */
export function compareSums(path: string, expected: string, got: string): void {
  if (expected !== got) throw new CheckpointError(`${path}: damaged: expected SHA-256 ${expected}, got ${got}`);
}

function openForReading(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new CheckpointError(`${path}: cannot be opened: ${(error as Error).message}`, { cause: error });
  }
}

/** Writes parts one after the other, waits until the disk has them, and gives their SHA-256 in hex. */
export async function writeDurably(path: string, parts: Iterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  const handle = await open(path, "w");
  try {
    for (const part of parts) {
      for (let at = 0; at < part.length; at += CHUNK) {
        const chunk = part.subarray(at, at + CHUNK);
        hash.update(chunk);
        await writeAll(handle, chunk);
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return hash.digest("hex");
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await handle.write(bytes, done)).bytesWritten;
}

/** Writes a safetensors file and gives its SHA-256 in hex. */
export function writeSafetensorsFile(
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<string> {
  return writeDurably(path, encodeSafetensors(tensors, metadata));
}
