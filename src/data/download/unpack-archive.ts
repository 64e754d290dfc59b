// Takes downloaded archives apart in their own folder; an entry that would land outside of it is refused.
import { createReadStream, createWriteStream, readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, inflateRawSync } from "node:zlib";
import { extract } from "tar-stream";
import { DatasetError } from "../../errors.js";
import { openZip, readEntry } from "../python/zip-archive.js";
import { bytesSource } from "../random-access.js";

/**
 * Unpacks the files of a .tar.gz or .zip archive into a folder; each appears under its name only when it is whole.
 *
 * @returns the names of the files, as in the archive
 * @throws DatasetError where the archive is damaged or an entry's name leads out of the folder
 */
export async function unpackArchive(path: string, kind: "tar" | "zip", folder: string): Promise<readonly string[]> {
  const names: string[] = [];
  try {
    if (kind === "zip") {
      const archive = openZip(bytesSource(readFileSync(path), path), DatasetError, inflate);
      for (const name of archive.entries.keys()) {
        if (name.endsWith("/")) continue;
        const target = await targetOf(path, folder, name);
        await writeFile(`${target}.part`, readEntry(archive, name));
        await rename(`${target}.part`, target);
        names.push(name);
      }
      return names;
    }
    await unpackTar(path, folder, names);
    return names;
  } catch (error) {
    if (error instanceof DatasetError || (error as NodeJS.ErrnoException).syscall) throw error;
    const what = error instanceof Error ? error.message : String(error);
    throw new DatasetError(`${path}: the archive is damaged (${what})`, { cause: error });
  }
}

/** No more is unpacked than the archive says. */
function inflate(packed: Uint8Array, size: number): Uint8Array {
  const bytes = inflateRawSync(packed, { maxOutputLength: Math.max(size, 1) });
  if (bytes.length !== size) throw new RangeError(`expected ${size} bytes, got ${bytes.length}`);
  return bytes;
}

async function unpackTar(path: string, folder: string, names: string[]): Promise<void> {
  const archive = extract();
  const feeding = pipeline(createReadStream(path), createGunzip(), archive);
  // Its failure is met where the entries are read; here it must only not count as unheard.
  feeding.catch(() => undefined);
  for await (const entry of archive) {
    if (entry.header.type !== "file") {
      entry.resume();
      continue;
    }
    const target = await targetOf(path, folder, entry.header.name);
    await pipeline(entry, createWriteStream(`${target}.part`));
    await rename(`${target}.part`, target);
    names.push(entry.header.name);
  }
  await feeding;
}

async function targetOf(path: string, folder: string, name: string): Promise<string> {
  const root = resolve(folder);
  const target = resolve(root, name);
  if (!target.startsWith(root + sep)) {
    throw new DatasetError(
      `${path}: its entry ${JSON.stringify(name)} would lie outside of ${folder}; nothing more was unpacked`,
    );
  }
  await mkdir(dirname(target), { recursive: true });
  return target;
}
