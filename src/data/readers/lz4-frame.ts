// Unpacks LZ4 frames (lz4_Frame_format.md), the compression that Feather files have by default.
import { DatasetError } from "../../errors.js";

const FRAME_MAGIC = 0x184d2204;
/** Bits of the frame's flag byte. */
const BLOCK_CHECKSUMS = 0x10;
const CONTENT_SIZE = 0x08;
const DICTIONARY = 0x01;
const UNCOMPRESSED_BLOCK = 0x80000000;

/**
 * The content of one frame; checksums are skipped.
 * @throws DatasetError for anything that is no complete frame, or needs a dictionary
 */
export function decodeLz4Frame(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 7 || view.getUint32(0, true) !== FRAME_MAGIC) throw damaged("no frame begins here");
  const flags = bytes[4];
  if (flags & DICTIONARY) throw damaged("it needs a dictionary");
  let at = flags & CONTENT_SIZE ? 15 : 7;
  const output = new Output(flags & CONTENT_SIZE ? Number(view.getBigUint64(6, true)) : bytes.length * 4);
  for (;;) {
    if (at + 4 > bytes.length) throw damaged("it ends too early");
    const word = view.getUint32(at, true);
    at += 4;
    if (word === 0) return output.finish();
    const size = word & ~UNCOMPRESSED_BLOCK;
    if (at + size > bytes.length) throw damaged("a block ends too early");
    const block = bytes.subarray(at, at + size);
    if (word & UNCOMPRESSED_BLOCK) output.append(block);
    else decodeBlock(block, output);
    at += size + (flags & BLOCK_CHECKSUMS ? 4 : 0);
  }
}

/** Sequences of literals and copies of what came before, which may lie in an earlier block. */
function decodeBlock(block: Uint8Array, output: Output): void {
  let at = 0;
  const extended = (nibble: number) => {
    let length = nibble;
    if (nibble === 15) {
      for (let byte = 255; byte === 255; length += byte) {
        if (at >= block.length) throw damaged("a length ends too early");
        byte = block[at++];
      }
    }
    return length;
  };
  while (at < block.length) {
    const token = block[at++];
    const literals = extended(token >> 4);
    if (at + literals > block.length) throw damaged("literals end too early");
    output.append(block.subarray(at, at + literals));
    at += literals;
    if (at === block.length) return;
    if (at + 2 > block.length) throw damaged("an offset ends too early");
    const offset = block[at] | (block[at + 1] << 8);
    at += 2;
    output.repeat(offset, extended(token & 15) + 4);
  }
}

class Output {
  private bytes: Uint8Array;
  private length = 0;

  constructor(room: number) {
    // A damaged size must not ask for all memory; the array grows where it was honest.
    this.bytes = new Uint8Array(Math.min(Math.max(room, 64), 1 << 26));
  }

  append(values: Uint8Array): void {
    this.makeRoom(values.length);
    this.bytes.set(values, this.length);
    this.length += values.length;
  }

  repeat(offset: number, count: number): void {
    if (offset === 0 || offset > this.length) throw damaged("a copy points before the beginning");
    this.makeRoom(count);
    const { bytes } = this;
    for (let i = 0; i < count; i++, this.length++) bytes[this.length] = bytes[this.length - offset];
  }

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  private makeRoom(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.length + count, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}

function damaged(what: string): DatasetError {
  return new DatasetError(`LZ4 data is damaged: ${what}`);
}
