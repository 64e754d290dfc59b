// Reads LMDB databases (data format 1, 64 bit, little endian: what Python's lmdb writes) in key order, read-only and without its library.
import { type FileHandle, open } from "node:fs/promises";
import { DatasetError } from "../errors.js";

// Layout as in LMDB's mdb.c: structs MDB_page, MDB_meta, MDB_db and MDB_node.
const MAGIC = 0xbeefc0de;
const FORMAT_VERSION = 1;
const PAGE_HEADER = 16;
const P_BRANCH = 0x01;
const P_LEAF = 0x02;
const P_OVERFLOW = 0x04;
const P_META = 0x08;
const F_BIGDATA = 0x01;
const F_SUBDATA = 0x02;
const F_DUPDATA = 0x04;
const NO_PAGE = 0xffffffffffffffffn;
/** Deeper trees do not exist: LMDB's own cursors have room for 32 levels. */
const MAX_DEPTH = 32;

interface Meta {
  readonly pageSize: number;
  readonly transaction: bigint;
  readonly entries: number;
  readonly root: bigint;
}

export interface LmdbEntry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** One database file, open for reading. Other processes may read it; one that writes it meanwhile spoils what is read. */
export class LmdbFile {
  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    private readonly meta: Meta,
    readonly bytes: number,
  ) {}

  /** @throws DatasetError if the file is no LMDB database of this format (system errors pass) */
  static async open(path: string): Promise<LmdbFile> {
    const handle = await open(path, "r");
    try {
      const { size } = await handle.stat();
      return new LmdbFile(path, handle, await readMeta(path, handle, size), size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Number of entries. */
  get size(): number {
    return this.meta.entries;
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  /** All entries of the main database in the order of their keys. @throws DatasetError where the file is damaged */
  async *entries(): AsyncGenerator<LmdbEntry> {
    if (this.meta.root !== NO_PAGE) yield* this.below(this.meta.root, 0);
  }

  private async *below(pageNumber: bigint, depth: number): AsyncGenerator<LmdbEntry> {
    if (depth > MAX_DEPTH) throw this.damaged(pageNumber, "the tree is too deep");
    const page = await this.page(pageNumber, 1);
    const flags = page.readUInt16LE(10);
    const nodes = (page.readUInt16LE(12) - PAGE_HEADER) >> 1;
    if (!(flags & (P_BRANCH | P_LEAF)) || nodes < 0 || PAGE_HEADER + 2 * nodes > page.length) {
      throw this.damaged(pageNumber, "expected a branch or leaf page");
    }
    for (let i = 0; i < nodes; i++) {
      const at = page.readUInt16LE(PAGE_HEADER + 2 * i);
      if (at + 8 > page.length) throw this.damaged(pageNumber, "a node lies outside of it");
      if (flags & P_BRANCH) {
        const low = page.readUInt32LE(at);
        yield* this.below(BigInt(low) | (BigInt(page.readUInt16LE(at + 4)) << 32n), depth + 1);
      } else {
        yield await this.entry(pageNumber, page, at);
      }
    }
  }

  private async entry(pageNumber: bigint, page: Buffer, at: number): Promise<LmdbEntry> {
    const size = page.readUInt32LE(at);
    const flags = page.readUInt16LE(at + 4);
    const keySize = page.readUInt16LE(at + 6);
    if (flags & (F_SUBDATA | F_DUPDATA)) {
      throw new DatasetError(`${this.path}: expected plain entries, got a database within the database`);
    }
    const valueAt = at + 8 + keySize;
    const end = flags & F_BIGDATA ? valueAt + 8 : valueAt + size;
    if (end > page.length) throw this.damaged(pageNumber, "an entry lies outside of it");
    const key = page.subarray(at + 8, valueAt);
    if (!(flags & F_BIGDATA)) return { key, value: page.subarray(valueAt, end) };
    const overflow = page.readBigUInt64LE(valueAt);
    const pages = Math.ceil((PAGE_HEADER + size) / this.meta.pageSize);
    const content = await this.page(overflow, pages);
    if (!(content.readUInt16LE(10) & P_OVERFLOW)) throw this.damaged(overflow, "expected the pages of a large value");
    return { key, value: content.subarray(PAGE_HEADER, PAGE_HEADER + size) };
  }

  private async page(number: bigint, count: number): Promise<Buffer> {
    const { pageSize } = this.meta;
    const start = Number(number) * pageSize;
    if (number < 2n || start + count * pageSize > this.bytes)
      throw this.damaged(number, "it lies beyond the end of the file");
    const page = Buffer.allocUnsafe(count * pageSize);
    const { bytesRead } = await this.handle.read(page, 0, page.length, start);
    if (bytesRead !== page.length || page.readBigUInt64LE(0) !== number)
      throw this.damaged(number, "it bears another number");
    return page;
  }

  private damaged(page: bigint, what: string): DatasetError {
    return new DatasetError(`${this.path}: the database is damaged at page ${page} (${what})`);
  }
}

/** The newer of the two meta pages. */
async function readMeta(path: string, handle: FileHandle, size: number): Promise<Meta> {
  const first = await metaAt(handle, 0);
  if (!first) throw new DatasetError(`${path}: expected an LMDB database (data format 1, 64 bit), got something else`);
  const second = await metaAt(handle, first.pageSize);
  const meta = second && second.transaction > first.transaction ? second : first;
  if (size < 2 * meta.pageSize) throw new DatasetError(`${path}: the database is cut off after ${size} bytes`);
  return meta;
}

async function metaAt(handle: FileHandle, at: number): Promise<Meta | null> {
  const page = Buffer.alloc(168);
  const { bytesRead } = await handle.read(page, 0, page.length, at);
  const isMeta = bytesRead === page.length && (page.readUInt16LE(10) & P_META) !== 0;
  if (!isMeta || page.readUInt32LE(16) !== MAGIC || page.readUInt32LE(20) !== FORMAT_VERSION) return null;
  // magic, version, address, map size, two MDB_db of 48 bytes (free pages, main), last page, transaction
  const free = PAGE_HEADER + 24;
  const main = free + 48;
  const pageSize = page.readUInt32LE(free);
  if (pageSize < 512 || pageSize > 65536) return null;
  return {
    pageSize,
    transaction: page.readBigUInt64LE(main + 48 + 8),
    entries: Number(page.readBigUInt64LE(main + 32)),
    root: page.readBigUInt64LE(main + 40),
  };
}
