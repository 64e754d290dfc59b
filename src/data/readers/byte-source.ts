// Reads a file, packed by gzip or bzip2 or not, as chunks of bytes in flat memory, and says clearly why where it cannot.
import { type FileHandle, open } from "node:fs/promises";
import { createGunzip } from "node:zlib";
import { DatasetError } from "../../errors.js";
import { isBzip2, unpackBzip2 } from "./bzip2.js";

/** Told after every chunk: bytes read from the file (compressed, where it is), and its size. */
export type OnBytes = (read: number, total: number) => void;

const CHUNK_BYTES = 1 << 18;
/** Compressed chunks are smaller: each may grow a hundredfold. */
const PACKED_CHUNK_BYTES = 1 << 16;

const FOREIGN: readonly (readonly [magic: string, what: string])[] = [
  ["504b0304", "a ZIP archive; unpack it first"],
  ["fd377a585a00", "xz data; unpack it, or use gzip or bzip2"],
  ["28b52ffd", "Zstandard data; unpack it, or use gzip or bzip2"],
  ["50415231", "a Parquet file; name it .parquet"],
  ["4152524f5731", "an Arrow IPC file; name it .arrow"],
  ["894844460d0a1a0a", "an HDF5 file"],
  ["fffe", "UTF-16 text; save it as UTF-8"],
  ["feff", "UTF-16 text; save it as UTF-8"],
];

/**
 * The content of a file in chunks, unpacked where its first bytes are those of gzip or bzip2.
 *
 * @throws DatasetError if the file is missing, unreadable, a folder, empty, of a foreign kind, or damaged gzip or bzip2 (after
 *   all that could be unpacked was yielded).
 */
export async function* readBytes(path: string, onBytes?: OnBytes): AsyncGenerator<Buffer> {
  const handle = await openFile(path);
  try {
    const stat = await handle.stat();
    if (stat.isDirectory()) throw new DatasetError(`${path}: expected a file, got a folder`);
    const first = await readChunk(handle, PACKED_CHUNK_BYTES);
    if (first.length === 0) throw new DatasetError(`${path}: the file is empty`);
    refuseForeign(path, first);
    let read = first.length;
    onBytes?.(read, stat.size);
    const unpacker = unpackerOf(first);
    async function* rest(): AsyncGenerator<Buffer> {
      yield first;
      for (;;) {
        const chunk = await readChunk(handle, unpacker ? PACKED_CHUNK_BYTES : CHUNK_BYTES);
        if (chunk.length === 0) return;
        read += chunk.length;
        onBytes?.(read, stat.size);
        yield chunk;
      }
    }
    yield* unpacker === null ? rest() : unpacker(path, rest());
  } catch (error) {
    throw readFailure(path, error);
  } finally {
    await handle.close();
  }
}

/** What unpacks data, by its first bytes; null where nothing has to. */
function unpackerOf(first: Buffer): typeof unpackGzip | null {
  if (first[0] === 0x1f && first[1] === 0x8b) return unpackGzip;
  return isBzip2(first) ? unpackBzip2 : null;
}

/** Unpacks a file of an archive whose name says that it is packed. */
export function unpackByName(name: string, chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  if (name.endsWith(".gz")) return unpackGzip(name, chunks);
  return name.endsWith(".bz2") ? unpackBzip2(name, chunks) : chunks;
}

export async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (error) {
    throw readFailure(path, error);
  }
}

export function readFailure(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (error instanceof DatasetError || typeof code !== "string") return error;
  const known: Readonly<Record<string, string>> = {
    ENOENT: "there is no such file",
    EACCES: "no permission to read it",
    EISDIR: "expected a file, got a folder",
    ENOTDIR: "a part of its path is not a folder",
  };
  return new DatasetError(`${path}: ${known[code] ?? `it cannot be read (${code})`}`, { cause: error });
}

async function readChunk(handle: FileHandle, size: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(size);
  const { bytesRead } = await handle.read(buffer, 0, size, null);
  return buffer.subarray(0, bytesRead);
}

function refuseForeign(path: string, first: Buffer): void {
  const start = first.toString("hex", 0, 8);
  const foreign = FOREIGN.find(([magic]) => start.startsWith(magic));
  if (foreign) throw new DatasetError(`${path}: expected text, got ${foreign[1]}`);
}

/**
 * Unpacks gzip chunk by chunk. Not with `pipe`, which drops what it still holds when the data breaks off: everything up to
 * the damage is yielded first, but for what the unpacker had not handed over (16 kB at most).
 *
 * @throws DatasetError if the data is damaged or followed by something else.
 */
async function* unpackGzip(path: string, chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  const ready: Buffer[] = [];
  const state: { failure: Error | null; ended: boolean; wake: () => void } = { failure: null, ended: false, wake() {} };
  gunzip.on("data", (chunk: Buffer) => ready.push(chunk));
  gunzip.on("error", (error) => {
    state.failure = error;
    state.wake();
  });
  gunzip.on("end", () => {
    state.ended = true;
    state.wake();
  });
  try {
    for await (const chunk of chunks) {
      await new Promise<void>((resolve) => {
        state.wake = resolve;
        gunzip.write(chunk, () => resolve());
      });
      yield* ready.splice(0);
      if (state.failure || state.ended) break;
    }
    if (!state.failure && !state.ended) {
      await new Promise<void>((resolve) => {
        state.wake = resolve;
        gunzip.end();
      });
    }
    yield* ready.splice(0);
    if (state.failure) {
      const what =
        (state.failure as NodeJS.ErrnoException).code === "Z_BUF_ERROR" ? "it ends too early" : state.failure.message;
      throw new DatasetError(`${path}: its gzip data is damaged near byte ${gunzip.bytesWritten} (${what})`, {
        cause: state.failure,
      });
    }
  } finally {
    gunzip.destroy();
    await chunks.return(undefined);
  }
}
