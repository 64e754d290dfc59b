// Files of a corpus as they lie on disk: checked against the manifest in pieces, then read at any place.

import { createHash } from "node:crypto";
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { DatasetError } from "../errors.js";
import type { StoredFile } from "./manifest.js";

/** Files kept open at a time: below the usual limit of 1024 a process. */
const OPEN_FILES = 128;
/** What is hashed at a time; one for all files, which are read one after another. */
const piece = new Uint8Array(2 ** 16);

/** Bytes that are asked of the system at a time. */
const LARGEST_READ = 2 ** 30;

/** Fills `out` with the bytes of an open file from `position` on. @returns how many there were: fewer where it ends before */
export function readFully(descriptor: number, out: NodeJS.ArrayBufferView, position: number): number {
  let done = 0;
  while (done < out.byteLength) {
    const got = readSync(descriptor, out, done, Math.min(out.byteLength - done, LARGEST_READ), position + done);
    if (got === 0) break;
    done += got;
  }
  return done;
}

/** Reads files by path and keeps them open, the longest open closed first. */
export class FilePool {
  private readonly descriptors = new Map<string, number>();

  /** Fills `out` with the bytes of a file from `position` on. @throws DatasetError when the file ends before */
  read(path: string, out: NodeJS.ArrayBufferView, position: number): void {
    const got = readFully(this.descriptor(path), out, position);
    if (got < out.byteLength)
      throw new DatasetError(`${path}: expected ${out.byteLength} bytes at ${position}, got ${got}`);
  }

  /** Bytes of a file. */
  sizeOf(path: string): number {
    return fstatSync(this.descriptor(path)).size;
  }

  close(): void {
    for (const descriptor of this.descriptors.values()) closeSync(descriptor);
    this.descriptors.clear();
  }

  private descriptor(path: string): number {
    const known = this.descriptors.get(path);
    if (known !== undefined) return known;
    if (this.descriptors.size >= OPEN_FILES) {
      const [oldest, descriptor] = this.descriptors.entries().next().value as [string, number];
      closeSync(descriptor);
      this.descriptors.delete(oldest);
    }
    const descriptor = openSync(path, "r");
    this.descriptors.set(path, descriptor);
    return descriptor;
  }
}

/**
 * Path of a file whose size and checksum are those of the manifest. Memory: one piece of the file.
 * @throws DatasetError naming the file if it is missing or damaged
 */
export function verifyFile(dir: string, stored: StoredFile, files: FilePool): string {
  const path = join(dir, stored.file);
  if (!existsSync(path)) throw new DatasetError(`${path}: expected a file of the corpus, got none`);
  const bytes = files.sizeOf(path);
  if (bytes !== stored.bytes) {
    throw new DatasetError(`${path}: expected ${stored.bytes} bytes, got ${bytes}: the file is damaged`);
  }
  const hash = createHash("sha256");
  for (let at = 0; at < bytes; at += piece.length) {
    const part = piece.subarray(0, bytes - at);
    files.read(path, part, at);
    hash.update(part);
  }
  const checksum = hash.digest("hex");
  if (checksum !== stored.sha256) {
    throw new DatasetError(`${path}: expected sha256 ${stored.sha256}, got ${checksum}: the file is damaged`);
  }
  return path;
}
