// Unpacks bzip2 block by block in flat memory: one or several streams, every checksum compared before a byte is handed out.
import { DatasetError } from "../../errors.js";
import { BadBzip2, BitReader, OutOfBytes } from "./bzip2-bits.js";
import { hex, readBlock } from "./bzip2-block.js";

/** Compressed bytes to have at hand before a block is tried; most blocks are much shorter, and longer ones are tried again. */
const AHEAD = 1 << 20;
const BLOCK_UNIT = 100_000;
const BLOCK = "314159265359";
const STREAM_END = "177245385090";

/** Whether a file begins like one of bzip2: its mark, a size, and a block or the end. */
export function isBzip2(first: Buffer): boolean {
  const begin = first.toString("hex", 4, 10);
  return /^BZh[1-9]$/.test(first.toString("latin1", 0, 4)) && (begin === BLOCK || begin === STREAM_END);
}

/** Where a stream stands; null between two of them. */
interface Stream {
  readonly table: Uint32Array;
  /** Checksums of its blocks together. */
  crc: number;
}

interface Step {
  readonly stream: Stream | null;
  readonly pieces: readonly Buffer[];
}

function beginStream(bits: BitReader): Stream {
  const mark = [8, 8, 8, 8].map((count) => String.fromCharCode(bits.read(count))).join("");
  const [, size] = /^BZh([1-9])$/.exec(mark) ?? [];
  if (!size) throw new BadBzip2("something else follows");
  return { table: new Uint32Array(Number(size) * BLOCK_UNIT), crc: 0 };
}

/** The head of a stream, a block, or the end of a stream. @throws OutOfBytes, BadBzip2 */
function step(bits: BitReader, stream: Stream | null): Step {
  if (!stream) return { stream: beginStream(bits), pieces: [] };
  const mark = [24, 24].map((count) => bits.read(count).toString(16).padStart(6, "0")).join("");
  if (mark === BLOCK) {
    const { pieces, crc } = readBlock(bits, stream.table);
    return { stream: { ...stream, crc: (((stream.crc << 1) | (stream.crc >>> 31)) ^ crc) >>> 0 }, pieces };
  }
  if (mark !== STREAM_END) throw new BadBzip2("expected the beginning of a block");
  const expected = bits.readWord();
  if (expected !== stream.crc) throw new BadBzip2(`expected CRC-32 ${hex(expected)}, got ${hex(stream.crc)}`);
  bits.skip(-bits.position & 7);
  return { stream: null, pieces: [] };
}

/** Compressed bytes that are not used yet. */
class Pending {
  #bytes: Buffer = Buffer.alloc(0);
  #dropped = 0;
  #ended = false;
  /** In bits, from the first byte at hand. */
  position = 0;

  constructor(private readonly chunks: AsyncIterator<Buffer>) {}

  get bits(): BitReader {
    return new BitReader(this.#bytes, this.position);
  }

  get length(): number {
    return this.#bytes.length - (this.position >>> 3);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes used so far. */
  get used(): number {
    return this.#dropped + (this.position >>> 3);
  }

  /** Drops what was used and reads on until so many bytes are there, or all. */
  async fill(wanted: number): Promise<void> {
    if (this.#ended || this.length >= wanted) return;
    const drop = this.position >>> 3;
    const parts = [this.#bytes.subarray(drop)];
    let length = this.length;
    while (length < wanted && !this.#ended) {
      const next = await this.chunks.next();
      if (next.done) this.#ended = true;
      else {
        parts.push(next.value);
        length += next.value.length;
      }
    }
    this.#dropped += drop;
    this.position &= 7;
    this.#bytes = Buffer.concat(parts);
  }
}

/**
 * Unpacks bzip2 as it comes in. A block is handed out when its checksum is right; of a damaged file all blocks before the damage are.
 * @throws DatasetError if the data is damaged, ends too early or is followed by something else
 */
export async function* unpackBzip2(path: string, chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const pending = new Pending(chunks);
  let stream: Stream | null = null;
  let wanted = AHEAD;
  try {
    for (;;) {
      await pending.fill(wanted);
      if (!stream && pending.length === 0) return;
      const bits = pending.bits;
      try {
        const next: Step = step(bits, stream);
        stream = next.stream;
        pending.position = bits.position;
        wanted = AHEAD;
        yield* next.pieces;
      } catch (error) {
        if (!(error instanceof OutOfBytes) || pending.ended) throw failure(path, pending.used, error);
        wanted *= 2;
      }
    }
  } finally {
    await chunks.return(undefined);
  }
}

function failure(path: string, byte: number, error: unknown): unknown {
  if (!(error instanceof OutOfBytes || error instanceof BadBzip2)) return error;
  const what = error instanceof OutOfBytes ? "it ends too early" : error.message;
  return new DatasetError(`${path}: its bzip2 data is damaged near byte ${byte} (${what})`, { cause: error });
}
