// Bytes that are read at any place, from memory or from a file.

/** Where the bytes come from; `read` gives exactly the bytes [begin, end). */
export interface ByteSource {
  /** For messages. */
  readonly name: string;
  readonly byteLength: number;
  read(begin: number, end: number): Uint8Array;
}

/** Bytes in memory as a source. */
export function bytesSource(bytes: Uint8Array, name: string): ByteSource {
  // A Buffer would pass on its own `slice`, which does not copy.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  return { name, byteLength: plain.length, read: (begin, end) => plain.subarray(begin, end) };
}
